#include "api/auth.h"

#include <doctest/doctest.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "api/routes.h"
#include "tests/builders/store.h"

using namespace sluice;
using v1::AccessRole;

namespace {

constexpr uint64_t kSecond = 1'000'000'000, kHour = 3600 * kSecond;

struct Telemetry final : api::Telemetry {
  Result<v1::Status> status() override { return v1::Status(); }
  Result<v1::Ledger> ledger() override { return v1::Ledger(); }
  Result<v1::Explanation> explain(const v1::Explain&) override { return v1::Explanation(); }
  Result<void> start_measurement(const v1::Config&) override { return {}; }
  Result<v1::Measurement> end_measurement() override { return v1::Measurement(); }
  Result<void> start_survey() override { return {}; }
  Result<v1::DedupAdvice> end_survey() override { return v1::DedupAdvice(); }
  Result<void> take_out(const std::string&, const std::string&, uint32_t) override { return {}; }
  Result<void> report_health(const v1::ReportHealth&) override { return {}; }
  Result<void> identify(const std::string&, uint32_t) override { return {}; }
};

/// An appliance with its users, and clocks that the test turns.
struct House {
  test::Appliance appliance;
  std::unique_ptr<config::People> people;
  std::unique_ptr<api::Auth> auth;
  uint64_t now = 1'000 * kHour;
  uint64_t steady = kHour;
  std::string file = (appliance.folder.path / "first-login").string();

  House() { restart(); }
  void restart() {
    auth.reset();
    people.reset();
    auto opened = config::People::open(appliance.path);
    REQUIRE(opened);
    people = std::move(*opened);
    auto made = api::Auth::open(
        *people, file, [this] { return now; }, [this] { return steady; });
    REQUIRE_MESSAGE(made, made.error().message);
    auth = std::move(*made);
  }
  std::string on_the_console() const {
    std::string line;
    std::ifstream in(file);
    std::getline(in, line);
    return line;
  }
  static api::Request from(const std::string& address) {
    api::Request request{.method = "POST", .host = "box"};
    request.peer = address;
    return request;
  }
  Result<api::Issued> login(const std::string& user, const std::string& password, const std::string& address = "192.0.2.1") {
    return auth->login(from(address), user, password, "LOGIN");
  }
  /// A request that comes with this token, and who sends it.
  api::Request with(const std::string& token) {
    api::Request request = from("192.0.2.1");
    request.authorization = "Bearer " + token;
    if (const auto caller = auth->identify(request)) request.caller = *caller;
    return request;
  }
  /// A user with a password of his own, and his token.
  std::string somebody(const std::string& name, config::Role role) {
    REQUIRE(auth->add_user(name, role, "first-password"));
    const auto issued = login(name, "first-password");
    REQUIRE(issued);
    REQUIRE(auth->change_password(with(issued->token), "first-password", "own-password"));
    return issued->token;
  }
};

}  // namespace

TEST_CASE("auth: the first password stands on the console, buys nothing but its change, and is gone with it") {
  House house;
  const auto first = house.on_the_console();
  REQUIRE(first.size() == 23);
  const auto issued = house.login("admin", first);
  REQUIRE(issued);
  CHECK(issued->pass.restricted);
  const auto request = house.with(issued->token);
  CHECK(request.caller.restricted);
  CHECK(house.auth->change_password(request, first, "short").error().field_path == "new_password");
  CHECK(house.auth->change_password(request, first, first).error().field_path == "new_password");
  CHECK(house.auth->change_password(request, "something else", "long enough now").error().code == ErrorCode::kForbidden);
  CHECK(house.on_the_console() == first);
  REQUIRE(house.auth->change_password(request, first, "long enough now"));
  CHECK_FALSE(house.auth->identify(request)->restricted);
  CHECK(house.on_the_console().empty());
  CHECK_FALSE(house.login("admin", first));
  house.restart();
  CHECK(house.on_the_console().empty());
  CHECK(house.auth->identify(request)->role == AccessRole::ADMIN);
  CHECK_FALSE(house.login("admin", "long enough now")->pass.restricted);
}

TEST_CASE("auth: a first password that nobody uses for a day ends, and the console has another; a user's own ends without one") {
  House house;
  const auto first = house.on_the_console();
  REQUIRE(house.auth->add_user("ann", AccessRole::VIEWER, "first-password"));
  house.now += 23 * kHour;
  house.auth->tidy();
  CHECK(house.on_the_console() == first);
  house.now += 2 * kHour;
  CHECK_FALSE(house.login("admin", first));
  house.auth->tidy();
  const auto second = house.on_the_console();
  CHECK(second != first);
  CHECK(house.login("admin", second));
  CHECK(house.login("ann", "first-password"));
  house.now += 7 * 24 * kHour;
  CHECK_FALSE(house.login("ann", "first-password"));
}

TEST_CASE("auth: power that fails between the writing of a first password and its use leaves one that works on the console") {
  House house;
  // The file was renewed, the database was not.
  std::ofstream(house.file) << "never-stored\n";
  house.now += 25 * kHour;
  house.restart();
  house.auth->tidy();
  CHECK(house.login("admin", house.on_the_console()));
  // The password was changed, the file was not taken away.
  const auto stale = house.on_the_console();
  REQUIRE(house.auth->change_password(house.with(house.login("admin", stale)->token), stale, "long enough now"));
  std::ofstream(house.file) << stale << "\n";
  house.restart();
  CHECK(house.on_the_console().empty());
}

TEST_CASE("auth: who does not exist is refused with the same words and the same delays as who does") {
  House house;
  std::vector<std::string> known, unknown;
  for (int i = 0; i < 6; ++i) {
    const auto a = house.login("admin", "wrong", "192.0.2.7"), b = house.login("nobody", "wrong", "192.0.2.8");
    REQUIRE_FALSE(a);
    REQUIRE_FALSE(b);
    known.push_back(a.error().message);
    unknown.push_back(b.error().message);
    CHECK(a.error().code == b.error().code);
  }
  CHECK(known == unknown);
  CHECK(known.back().find("try again in") != std::string::npos);
  // Another address is not delayed by that, and neither is another user at the same one.
  CHECK(house.login("admin", house.on_the_console(), "192.0.2.9"));
  CHECK(house.login("ann", "wrong", "192.0.2.7").error().code == ErrorCode::kUnauthorised);
  // The right password has to wait as well: else the delay would tell.
  CHECK(house.login("admin", house.on_the_console(), "192.0.2.7").error().code == ErrorCode::kTooMany);
  house.steady += 60 * kSecond;
  CHECK(house.login("admin", house.on_the_console(), "192.0.2.7"));
  // One customer's addresses of IPv6 are one.
  for (int i = 0; i < 6; ++i) (void)house.login("admin", "wrong", "2001:db8:1:2::" + std::to_string(i));
  CHECK(house.login("admin", "wrong", "2001:db8:1:2:3:4:5:6").error().code == ErrorCode::kTooMany);
  CHECK(house.login("admin", "wrong", "2001:db8:1:3::1").error().code == ErrorCode::kUnauthorised);
  // However it is written, and with a zone.
  for (int i = 0; i < 6; ++i) (void)house.login("admin", "wrong", "fe80::" + std::to_string(i) + ":2:3:4%eth0");
  CHECK(house.login("admin", "wrong", "fe80::9:8:3:4").error().code == ErrorCode::kTooMany);
  CHECK(house.login("admin", "wrong", "fe80:0:0:1::1").error().code == ErrorCode::kUnauthorised);
}

TEST_CASE("throttle: waits double up to a minute, are per sender, and the memory of them is bounded") {
  api::Throttle throttle(2);
  uint64_t now = kHour;
  const auto wait = [&](const std::string& who) { return throttle.wait_ns(who, now) / kSecond; };
  std::vector<uint64_t> waits;
  for (int i = 0; i < 11; ++i) throttle.failed("a", now), waits.push_back(wait("a"));
  CHECK(waits == std::vector<uint64_t>{0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60});
  CHECK(wait("b") == 0);
  throttle.succeeded("a");
  CHECK(wait("a") == 0);
  for (int i = 0; i < 5; ++i) throttle.failed("a", now);
  now += 2 * kHour;
  throttle.failed("a", now);
  CHECK(wait("a") == 0);
  for (std::size_t i = 0; i < api::Throttle::kMost; ++i) throttle.failed("other " + std::to_string(i), now + 1);
  for (int i = 0; i < 2; ++i) throttle.failed("a", now + 2);
  CHECK(wait("a") == 0);  // was forgotten in between
}

TEST_CASE("auth: a role taken away is taken away from the next request on, and so is a user, a token, a password") {
  House house;
  const auto token = house.somebody("ann", AccessRole::OPERATOR);
  CHECK(house.with(token).caller.role == AccessRole::OPERATOR);
  REQUIRE(house.auth->change_user("ann", AccessRole::VIEWER, std::nullopt));
  CHECK(house.with(token).caller.role == AccessRole::VIEWER);
  REQUIRE(house.auth->change_user("ann", AccessRole::ADMIN, std::nullopt));
  CHECK(house.with(token).caller.role == AccessRole::OPERATOR);  // what it was made with
  const auto other = house.login("ann", "own-password");
  REQUIRE(house.auth->change_password(house.with(token), "own-password", "another-password"));
  CHECK(house.auth->identify(house.with(token)));
  CHECK_FALSE(house.auth->identify(house.with(other->token)));
  REQUIRE(house.auth->change_user("ann", std::nullopt, "reset-by-an-admin"));
  CHECK_FALSE(house.auth->identify(house.with(token)));
  CHECK(house.login("ann", "reset-by-an-admin")->pass.restricted);
  const auto last = house.login("ann", "reset-by-an-admin");
  REQUIRE(house.auth->remove_user("ann"));
  CHECK_FALSE(house.auth->identify(house.with(last->token)));
  house.restart();
  CHECK_FALSE(house.auth->identify(house.with(last->token)));
}

TEST_CASE("auth: the console makes no admin of an admin who is none any more, nor overrules another admin's first password") {
  House house;
  REQUIRE(house.auth->add_user("bob", AccessRole::ADMIN, "first-password"));
  REQUIRE(house.auth->change_user("admin", AccessRole::VIEWER, "reset-by-bob-01"));
  house.now += 8 * 24 * kHour;
  house.auth->tidy();
  CHECK(house.auth->user("admin")->role == AccessRole::VIEWER);
  CHECK(house.on_the_console().empty());
  CHECK_FALSE(house.login("admin", "reset-by-bob-01"));
}

TEST_CASE("auth: a token that ended this moment makes no other, and an old password that is still being compared opens nothing") {
  House house;
  const auto stolen = house.with(house.somebody("ann", AccessRole::OPERATOR));
  REQUIRE(house.auth->change_user("ann", std::nullopt, "reset-by-an-admin"));
  CHECK(house.auth->add_token(stolen.caller, "", AccessRole::OPERATOR, 3650).error().code == ErrorCode::kUnauthorised);
  CHECK_FALSE(house.auth->change_password(stolen, "reset-by-an-admin", "taken over, is it"));
  // Many logins by the old one around its change: each is refused, or restricted, or ended by it.
  std::vector<std::thread> guesses;
  std::mutex mutex;
  std::vector<std::string> tokens;
  std::atomic<bool> stop{false};
  for (int i = 0; i < 2; ++i)
    guesses.emplace_back([&] {
      while (!stop) {
        const auto issued = house.login("ann", "reset-by-an-admin");
        const std::lock_guard lock(mutex);
        if (issued) tokens.push_back(issued->token);
      }
    });
  for (bool changed = false; !changed;) {
    const auto issued = house.login("ann", "reset-by-an-admin");
    if (issued)
      changed = static_cast<bool>(house.auth->change_password(house.with(issued->token), "reset-by-an-admin", "her own password"));
  }
  stop = true;
  for (auto& thread : guesses) thread.join();
  for (const auto& token : tokens) CHECK_FALSE(house.auth->identify(house.with(token)));
}

TEST_CASE("auth: the last admin stays") {
  House house;
  CHECK(house.auth->remove_user("admin").error().code == ErrorCode::kConflict);
  CHECK(house.auth->change_user("admin", AccessRole::VIEWER, std::nullopt).error().field_path == "role");
  REQUIRE(house.auth->add_user("bob", AccessRole::ADMIN, "first-password"));
  REQUIRE(house.auth->remove_user("admin"));
  CHECK(house.auth->remove_user("bob").error().code == ErrorCode::kConflict);
  CHECK(house.on_the_console().empty());
}

TEST_CASE(
    "auth: a token has no more than its maker, does not beget one that outlives it, ends when it is over, and is another's to nobody") {
  House house;
  const auto ann = house.with(house.somebody("ann", AccessRole::OPERATOR)), bob = house.with(house.somebody("bob", AccessRole::VIEWER));
  CHECK(house.auth->add_token(ann.caller, "", AccessRole::ADMIN, 1).error().field_path == "role");
  const auto token = house.auth->add_token(ann.caller, "ci", AccessRole::VIEWER, 2);
  REQUIRE(token);
  const auto child = house.auth->add_token(house.with(token->token).caller, "", AccessRole::VIEWER, 3650);
  CHECK(child->pass.expires_ns == token->pass.expires_ns);
  CHECK(house.auth->passes(bob.caller).size() == 1);
  CHECK(house.auth->revoke(bob.caller, token->pass.id).error().code == ErrorCode::kNotFound);
  CHECK(house.auth->identify(house.with(token->token))->role == AccessRole::VIEWER);
  house.now += 49 * kHour;
  CHECK_FALSE(house.auth->identify(house.with(token->token)));
  house.auth->tidy();
  const auto stored = house.people->passes();
  REQUIRE(stored);
  for (const auto& pass : *stored) CHECK(pass.expires_ns > house.now);
}

TEST_CASE("auth: a script that logs in for every request ends its oldest login, and nobody else's") {
  House house;
  const auto ann = house.somebody("ann", AccessRole::OPERATOR);
  auto local = House::from("local");
  local.local = true;
  const auto first = house.auth->login(local, "admin", "", "LOGIN");
  REQUIRE(first);
  CHECK_FALSE(first->pass.restricted);
  for (int i = 0; i < 100; ++i) {
    ++house.now;
    REQUIRE(house.auth->login(local, "admin", "", "LOGIN"));
  }
  CHECK_FALSE(house.auth->identify(house.with(first->token)));
  CHECK(house.auth->identify(house.with(ann)));
}

TEST_CASE("auth: a cookie works for our own pages alone where something may change") {
  House house;
  house.somebody("ann", AccessRole::OPERATOR);
  auto login = House::from("192.0.2.1");
  login.origin = "https://evil";
  CHECK(house.auth->login(login, "ann", "own-password", "COOKIE").error().field_path == "Origin");
  login.origin = "https://box";
  const auto issued = house.auth->login(login, "ann", "own-password", "COOKIE");
  REQUIRE(issued);
  const auto status = [&](const std::string& method, const std::string& origin, const std::string& cookie) {
    api::Request request{.method = method, .cookie = cookie, .origin = origin, .host = "box"};
    const auto caller = house.auth->identify(request);
    return caller ? caller->user : to_string(caller.error().code);
  };
  const std::string cookie = "a=b; __Host-sluice=" + issued->token + "; c=d";
  CHECK(status("GET", "", cookie) == "ann");
  CHECK(status("PUT", "https://box", cookie) == "ann");
  for (const char* origin : {"", "https://evil", "http://box", "https://box.evil", "null", "https://box:8443"})
    for (const char* method : {"POST", "PUT", "PATCH", "DELETE"}) CHECK_MESSAGE(status(method, origin, cookie) == "FORBIDDEN", origin);
  for (const char* broken : {"__Host-sluice=", "__Host-sluice=x", "; ", ";;  ", "=", "sluice=x; __Host-sluic", ""})
    CHECK_MESSAGE(status("GET", "", broken) == "UNAUTHORISED", broken);
}

// ---- Which role may what ----

namespace {

/// What each route asks for, told once more and by other means than the route table: by what it does.
api::Access expected(const api::Route& route) {
  static const std::set<std::string> open = {"GET /", "GET /api/v1/openapi.json", "POST /api/v1/login"};
  static const std::set<std::string> self = {"POST /api/v1/logout", "GET /api/v1/me", "PUT /api/v1/me/password"};
  static const std::set<std::string> changes_nothing = {"POST /api/v1/explain", "POST /api/v1/tokens", "DELETE /api/v1/tokens/{id}"};
  const std::string name = route.method + " " + route.pattern;
  if (open.contains(name)) return api::Access::kOpen;
  if (self.contains(name)) return api::Access::kSelf;
  if (route.pattern.starts_with("/api/v1/users")) return api::Access::kAdmin;
  if (route.pattern.starts_with("/api/v1/drafts")) return api::Access::kOperator;  // of those who may edit
  if (route.pattern == "/api/v1/ports/{name}/health") return api::Access::kTool;
  const bool about_people = route.pattern.starts_with("/api/v1/tenants") || route.pattern.starts_with("/api/v1/grants");
  if (about_people && route.method != "GET") return api::Access::kAdmin;
  return route.method == "GET" || changes_nothing.contains(name) ? api::Access::kViewer : api::Access::kOperator;
}

/// The routes that let somebody in who should stay out, or keep somebody out who should come in.
std::vector<std::string> violations(const std::vector<api::Route>& routes) {
  struct Somebody {
    const char* who;
    std::optional<api::Caller> caller;
    api::Access reaches;  ///< all that ask for no more; a tool: those that are open, and this alone
    unsigned otherwise;
  };
  const std::vector<Somebody> all = {
      {"a stranger", std::nullopt, api::Access::kOpen, 401},
      {"first password", api::Caller{"admin", AccessRole::ADMIN, "1", true}, api::Access::kSelf, 403},
      {"no role", api::Caller{"x", AccessRole::UNSPECIFIED, "1"}, api::Access::kSelf, 403},
      {"viewer", api::Caller{"v", AccessRole::VIEWER, "1"}, api::Access::kViewer, 403},
      {"operator", api::Caller{"o", AccessRole::OPERATOR, "1"}, api::Access::kOperator, 403},
      {"admin", api::Caller{"a", AccessRole::ADMIN, "1"}, api::Access::kAdmin, 403},
      {"a tool of an admin's", api::Caller{"a", AccessRole::ADMIN, "1", false, "port"}, api::Access::kTool, 403},
  };
  std::vector<std::string> out;
  for (const auto& somebody : all) {
    api::Router router([&](const api::Request&) -> Result<api::Caller> {
      return somebody.caller ? Result<api::Caller>(*somebody.caller) : Error{ErrorCode::kUnauthorised, "", ""};
    });
    for (auto route : routes) {
      route.handle = [](const auto&, const auto&) { return api::Response{299, "", "", {}}; };
      router.add(std::move(route));
    }
    for (const auto& route : routes) {
      const unsigned status = router.handle({.method = route.method, .path = route.pattern}).status;
      const bool is_tool = somebody.caller && !somebody.caller->port.empty();
      const api::Access asked = expected(route);
      const bool comes_in = is_tool ? asked == api::Access::kOpen || asked == somebody.reaches : asked <= somebody.reaches;
      if (status != (comes_in ? 299 : somebody.otherwise))
        out.push_back(route.method + " " + route.pattern + " answers " + somebody.who + " with " + std::to_string(status));
    }
  }
  return out;
}

}  // namespace

TEST_CASE("authorisation: each route lets in whom it should and nobody else, and one that does not is noticed") {
  House house;
  Telemetry telemetry;
  api::Router router([&](const api::Request& r) { return house.auth->identify(r); });
  api::Events events(*house.appliance.configuration, telemetry);
  const auto tool_reports = config::ToolReports::open(house.appliance.path);
  REQUIRE(tool_reports);
  api::add_routes(router, *house.appliance.configuration, telemetry, *house.auth, events, **tool_reports);
  CHECK(router.routes().size() > 100);
  CHECK(violations(router.routes()) == std::vector<std::string>());
  // Each route in turn asks for less, or more, than it should.
  for (std::size_t i = 0; i < router.routes().size(); ++i)
    for (const int step : {-1, 1}) {
      auto routes = router.routes();
      const int access = static_cast<int>(routes[i].access) + step;
      if (access < 0 || access > static_cast<int>(api::Access::kAdmin)) continue;
      routes[i].access = static_cast<api::Access>(access);
      const auto found = violations(routes);
      CHECK_MESSAGE(!found.empty(), routes[i].method, " ", routes[i].pattern);
      for (const auto& line : found)
        CHECK_MESSAGE(line.starts_with(routes[i].method + " " + routes[i].pattern + " "), line, " with ", routes[i].pattern);
    }
}
