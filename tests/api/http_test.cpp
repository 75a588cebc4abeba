#include "api/http.h"

#include <doctest/doctest.h>

#include <map>

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
  api::Router router([](const api::Request& r) -> Result<api::Caller> {
    if (r.authorization == "yes") return api::Caller{"ann", v1::AccessRole::OPERATOR};
    return Error{ErrorCode::kUnauthorised, "Authorization", "is required"};
  });
  router.add({"GET", "/open", "", api::Access::kOpen, {}, {}, {}, 200, [](const auto&, const auto&) { return api::Response{}; }});
  router.add({"PUT", "/maps/{name}", "", api::Access::kOperator, {}, {}, {}, 200, [&ran](const auto&, const api::Arguments& a) {
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

TEST_CASE("router: a verb belongs to its resource, and a parameter that no route has or that is out of its bounds is refused by its name") {
  api::Router router([](const api::Request&) -> Result<api::Caller> { return api::Caller{"ann", v1::AccessRole::ADMIN}; });
  const auto tell = [](const char* what) {
    return [what](const api::Request&, const api::Arguments& a) { return api::Response{200, std::string(what) + " " + a[0], "", {}}; };
  };
  router.add({"POST", "/maps/{name}:rename", "", api::Access::kAdmin, {}, {}, {}, 200, tell("rename")});
  router.add({"PUT",
              "/maps/{name}",
              "",
              api::Access::kAdmin,
              {},
              {},
              {{"dry_run", "", api::Parameter::Type::kFlag},
               {"limit", "", api::Parameter::Type::kNumber, 1, 10},
               {"comment", "", api::Parameter::Type::kText, 0, 3}},
              200,
              tell("put")});
  CHECK(router.handle({.method = "POST", .path = "/maps/x:rename"}).body == "rename x");
  CHECK(router.handle({.method = "POST", .path = "/maps/02:00:rename"}).body == "rename 02:00");
  CHECK(router.handle({.method = "POST", .path = "/maps/:rename"}).status == 405);  // no name before the verb
  CHECK(router.handle({.method = "POST", .path = "/maps/x"}).status == 405);
  const auto put = [&](const std::string& name, const std::string& value) {
    return router.handle({.method = "PUT", .path = "/maps/x", .query = {{name, value}}});
  };
  CHECK(put("dry_run", "true").status == 200);
  CHECK(put("limit", "10").status == 200);
  for (const auto& query :
       std::map<std::string, std::string>{{"dryrun", "true"}, {"dry_run", "yes"}, {"limit", "11"}, {"comment", "1234"}, {"", ""}})
    CHECK_MESSAGE(put(query.first, query.second).status == 422, query.first, "=", query.second);
  for (const char* value : {"", "0", "-1", "1x", "99999999999999999999"}) CHECK_MESSAGE(put("limit", value).status == 422, value);
  CHECK(put("dryrun", "true").body.find("it has dry_run, limit, comment") != std::string::npos);
}
