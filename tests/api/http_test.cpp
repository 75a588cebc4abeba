#include "api/http.h"

#include <doctest/doctest.h>

#include "api/router.h"

using namespace sluice;

TEST_CASE("http: a target is decoded, and a malformed one is none") {
  const auto t = api::parse_target("/api/v1/maps/a%20b?dry_run=true&comment=x+y%26z&flag");
  REQUIRE(t);
  CHECK(t->path == "/api/v1/maps/a b");
  CHECK(t->query.at("comment") == "x y&z");
  CHECK(t->query.at("flag").empty());
  CHECK(api::parse_target("/%e2%82%ac%f0%9f%9a%b0")->path == "/\xe2\x82\xac\xf0\x9f\x9a\xb0");
  for (const char* bad : {"", "x", "/%", "/%4", "/%zz", "/%00", "/a\nb", "/?a=%0a", "http://host/", "/%ff", "/?c=%c0%80", "/%ed%a0%80",
                          "/%f4%90%80%80", "/%e2%82"}) {
    CAPTURE(bad);
    CHECK_FALSE(api::parse_target(bad));
  }
}

TEST_CASE("router: a route that is not open is closed to everybody without authority, before its handler runs") {
  bool ran = false;
  api::Router router([](const api::Request& r) -> Result<void> {
    if (r.authorization == "yes") return {};
    return Error{ErrorCode::kUnauthorised, "Authorization", "is required"};
  });
  router.add({"GET", "/open", "", true, [](const auto&, const auto&) { return api::Response{}; }});
  router.add({"PUT", "/maps/{name}", "", false, [&ran](const auto&, const api::Arguments& a) {
                ran = true;
                return api::Response{200, a[0], "", {}};
              }});
  CHECK(router.handle({.method = "GET", .path = "/open"}).status == 200);
  CHECK(router.handle({.method = "PUT", .path = "/maps/x"}).status == 401);
  CHECK_FALSE(ran);
  CHECK(router.handle({.method = "PUT", .path = "/maps/x", .authorization = "yes"}).body == "x");
  CHECK(router.handle({.method = "GET", .path = "/maps/x", .authorization = "yes"}).status == 405);
  CHECK(router.handle({.method = "PUT", .path = "/maps/", .authorization = "yes"}).status == 404);
  CHECK(router.handle({.method = "PUT", .path = "/maps/x/y", .authorization = "yes"}).status == 404);
}
