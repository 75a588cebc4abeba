// Who may do what is for admins to change, whatever the way.
#include <doctest/doctest.h>

#include <map>

#include "config/resources.h"
#include "tests/builders/store.h"

using namespace sluice;

namespace {

const config::Author kAdmin{"admin", "", true}, kOperator{"ann", "", false};
const config::Asker kAnn{"ann"};

Result<void> with_grant(v1::Config& next, const std::string& user) {
  if (next.tenants().empty()) next.add_tenants()->set_name("hr");
  auto* grant = next.grants().empty() ? next.add_grants() : next.mutable_grants(0);
  grant->set_name("first");
  grant->set_user(user);
  grant->set_tenant("hr");
  grant->set_role(v1::AccessRole::VIEWER);
  return {};
}

}  // namespace

TEST_CASE("grants: an operator changes them by no way: not by the whole, not by a draft, not by going back") {
  test::Appliance appliance;
  auto& configuration = *appliance.configuration;
  const auto grant_to = [](const std::string& user) { return [=](v1::Config& next) { return with_grant(next, user); }; };
  const auto made = configuration.change(kAdmin, grant_to("ann"));
  REQUIRE(made);
  REQUIRE(configuration.change(kAdmin, grant_to("bob")));
  const auto draft = configuration.make_draft(kOperator);
  REQUIRE(draft);
  REQUIRE(configuration.change_draft(kAnn, draft->id, grant_to("ann")));

  const auto clear_all = [](v1::Config& next) -> Result<void> {
    next.Clear();
    return {};
  };
  const auto clear_grants = [](v1::Config& next) -> Result<void> {
    next.clear_grants();
    return {};
  };
  const std::map<std::string, std::function<Result<config::Outcome>(const config::Author&)>> ways = {
      {"the whole", [&](const auto& who) { return configuration.change(who, clear_all); }},
      {"one resource", [&](const auto& who) { return configuration.change(who, clear_grants); }},
      {"a dry run", [&](const auto& who) { return configuration.change(who, clear_grants, {.dry_run = true}); }},
      {"a draft", [&](const auto& who) { return configuration.commit_draft(who, kAnn, draft->id); }},
      {"a rollback", [&](const auto& who) { return configuration.rollback(who, made->revision); }},
      {"a revert", [&](const auto& who) { return configuration.revert(who, made->revision + 1); }},
  };
  for (const auto& named : ways) {
    CAPTURE(named.first);
    const auto before = configuration.view();
    const auto refused = named.second(kOperator);
    REQUIRE(!refused);
    CHECK(refused.error().code == ErrorCode::kForbidden);
    CHECK((refused.error().field_path == "grants" || refused.error().field_path == "tenants"));
    CHECK(refused.error().message.find("only an ADMIN") != std::string::npos);
    CHECK(configuration.view().version == before.version);
    // The same by an admin goes through: it was the person, not the change.
    const auto allowed = named.second(kAdmin);
    CHECK_MESSAGE(allowed, allowed.error().field_path, " ", allowed.error().message);
    if (configuration.view().config.grants().empty() || configuration.view().config.grants(0).user() != "bob")
      REQUIRE(configuration.change(kAdmin, grant_to("bob")));
  }
}
