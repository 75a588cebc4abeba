// Drafts: edits that gather, what colleagues commit meanwhile, and the one revision that comes of it.
#include <doctest/doctest.h>
#include <google/protobuf/util/message_differencer.h>

#include <random>

#include "config/resources.h"
#include "tests/builders/store.h"

using namespace sluice;
using google::protobuf::util::MessageDifferencer;

namespace {

const config::Asker kAnn{"ann"}, kBob{"bob"}, kAdmin{"root", true};

config::Configuration::Edit with_filter(const std::string& name, const std::string& comment) {
  return [=](v1::Config& next) -> Result<void> {
    const auto* filters = config::find_collection("filters");
    const int i = config::find(next, filters, name);
    auto* filter = i < 0 ? next.add_filters() : next.mutable_filters(i);
    filter->set_name(name);
    filter->set_comment(comment);
    return {};
  };
}
config::Configuration::Edit without_filter(const std::string& name) {
  return [=](v1::Config& next) -> Result<void> {
    const auto* filters = config::find_collection("filters");
    config::remove_resource(next, filters, config::find(next, filters, name));
    return {};
  };
}

struct Desk : test::Appliance {
  std::string draft;
  Desk() {
    for (const char* name : {"a", "b", "c"}) REQUIRE(configuration->change({"admin", ""}, with_filter(name, "first")));
    draft = fresh();
  }
  std::string fresh() {
    const auto made = configuration->make_draft({"ann", "rack 4"});
    REQUIRE(made);
    return made->id;
  }
  Result<config::Outcome> edit(const config::Configuration::Edit& edit) { return configuration->change_draft(kAnn, draft, edit); }
  Result<config::Outcome> commit() { return configuration->commit_draft({"ann", ""}, kAnn, draft); }
  std::string comments() {
    std::string out;
    const auto view = configuration->view();
    for (const auto& map : view.config.filters()) out += map.name() + "=" + map.comment() + " ";
    return out;
  }
};

}  // namespace

TEST_CASE(
    "draft: edits gather, are seen by their author alone, change nothing, survive a restart, and are one revision with their comment") {
  Desk desk;
  const auto before = desk.configuration->view();
  REQUIRE(desk.edit(with_filter("a", "drafted")));
  REQUIRE(desk.edit(with_filter("d", "new")));
  REQUIRE(desk.edit(without_filter("b")));
  CHECK(desk.configuration->view().revision == before.revision);
  CHECK(MessageDifferencer::Equals(desk.configuration->view().config, before.config));
  desk.restart();
  const auto view = desk.configuration->view_draft(kAnn, desk.draft);
  REQUIRE(view);
  CHECK(view->changes.size() == 3);
  CHECK(view->conflicts.empty());
  CHECK(desk.configuration->view_draft(kBob, desk.draft).error().code == ErrorCode::kNotFound);
  CHECK(desk.configuration->change_draft(kBob, desk.draft, with_filter("a", "x")).error().code == ErrorCode::kNotFound);
  CHECK(desk.configuration->remove_draft(kBob, desk.draft).error().code == ErrorCode::kNotFound);
  CHECK(desk.configuration->drafts(kBob)->empty());
  CHECK(desk.configuration->drafts(kAdmin)->size() == 1);
  const auto committed = desk.commit();
  REQUIRE(committed);
  CHECK(committed->revision == before.revision + 1);
  CHECK(desk.comments() == "a=drafted c=first d=new ");
  CHECK(desk.configuration->revision(committed->revision)->comment == "rack 4");
  CHECK(desk.configuration->drafts(kAnn)->empty());
  // Back as one, too.
  REQUIRE(desk.configuration->revert({"ann", ""}, committed->revision));
  CHECK(desk.comments() == "a=first b=first c=first ");
}

TEST_CASE(
    "draft: what a colleague commits elsewhere is in it; what he commits in the same place is a conflict by name until it is decided") {
  Desk desk;
  REQUIRE(desk.edit(with_filter("a", "drafted")));
  REQUIRE(desk.configuration->change({"bob", ""}, with_filter("b", "bob's")));
  CHECK(desk.configuration->view_draft(kAnn, desk.draft)->config.filters(1).comment() == "bob's");
  REQUIRE(desk.configuration->change({"bob", ""}, with_filter("a", "bob's")));
  CHECK(desk.configuration->view_draft(kAnn, desk.draft)->conflicts == std::vector<std::string>{"filters/a"});
  const auto refused = desk.commit();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kConflict);
  CHECK(refused.error().message.find("filters/a") != std::string::npos);
  CHECK(desk.comments() == "a=bob's b=bob's c=first ");
  // An edit elsewhere does not decide it.
  REQUIRE(desk.edit(with_filter("c", "drafted")));
  CHECK_FALSE(desk.commit());
  REQUIRE(desk.configuration->rebase_draft(kAnn, desk.draft));
  CHECK(desk.configuration->view_draft(kAnn, desk.draft)->conflicts.empty());
  REQUIRE(desk.commit());
  CHECK(desk.comments() == "a=drafted b=bob's c=drafted ");
}

TEST_CASE("draft: what a colleague did the same way is no conflict, and a removed resource that it refers to is one by its path") {
  Desk desk;
  REQUIRE(desk.edit(with_filter("a", "the same")));
  REQUIRE(desk.configuration->change({"bob", ""}, with_filter("a", "the same")));
  const auto committed = desk.commit();
  REQUIRE(committed);
  CHECK_FALSE(committed->changed);

  desk.draft = desk.fresh();
  REQUIRE(desk.configuration->change({"bob", ""}, [](v1::Config& next) -> Result<void> {
    auto* port = next.add_ports();
    port->set_name("in1");
    port->set_role(v1::PortRole::NETWORK);
    return {};
  }));
  REQUIRE(desk.edit([](v1::Config& next) -> Result<void> {
    auto* group = next.add_port_groups();
    group->set_name("g");
    group->add_ports("in1");
    return {};
  }));
  REQUIRE(desk.configuration->change({"bob", ""}, [](v1::Config& next) -> Result<void> {
    config::remove_resource(next, config::find_collection("ports"), 0);
    return {};
  }));
  const auto refused = desk.commit();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kConflict);
  CHECK(refused.error().field_path == "port_groups[0].ports[0]");
  CHECK(desk.configuration->drafts(kAnn)->size() == 1);
}

TEST_CASE("draft: a rule whose filter a colleague removed can be taken out of it again") {
  Desk desk;
  REQUIRE(desk.configuration->change({"bob", ""}, [](v1::Config& next) -> Result<void> {
    auto* port = next.add_ports();
    port->set_name("in1");
    port->set_role(v1::PortRole::NETWORK);
    auto* map = next.add_maps();
    map->set_name("m");
    map->mutable_sources()->add_ports("in1");
    return {};
  }));
  REQUIRE(desk.edit([](v1::Config& next) -> Result<void> {
    auto* rule = next.mutable_maps(0)->add_rules();
    rule->set_filter("c");
    rule->set_action(v1::Action::PASS);
    return {};
  }));
  REQUIRE(desk.configuration->change({"bob", ""}, without_filter("c")));
  CHECK_FALSE(desk.commit());
  const auto mended = desk.edit([](v1::Config& next) -> Result<void> {
    next.mutable_maps(0)->clear_rules();
    return {};
  });
  REQUIRE_MESSAGE(mended, mended.error().field_path, ": ", mended.error().message);
  REQUIRE(desk.commit());
}

TEST_CASE("draft: what the data plane refuses stays a draft, a wrong edit is refused at once, and a dry run leaves it") {
  Desk desk;
  REQUIRE(desk.edit(with_filter("a", "refused")));
  desk.plane.refuses = [](const v1::Config& config) { return config.filters(0).comment() == "refused"; };
  CHECK(desk.commit().error().field_path == "maps[0]");
  CHECK(desk.configuration->drafts(kAnn)->size() == 1);
  CHECK(desk.edit(with_filter("not a name", "")).error().field_path == "filters[3].name");
  REQUIRE(desk.edit(with_filter("a", "better")));
  const auto tried = desk.configuration->commit_draft({"ann", ""}, kAnn, desk.draft, {.dry_run = true});
  REQUIRE(tried);
  CHECK(tried->changed);
  CHECK(desk.comments() == "a=first b=first c=first ");
  CHECK(desk.configuration->change_draft(kAnn, desk.draft, with_filter("a", "x"), {.confirm_s = 10}).error().field_path ==
        "confirm_timeout");
  for (int i = 0; i < 7; ++i) (void)desk.fresh();
  CHECK(desk.configuration->make_draft({"ann", ""}).error().code == ErrorCode::kExhausted);
  CHECK(desk.configuration->make_draft({"bob", ""}));
}

TEST_CASE("draft: two resources of one name are a conflict by that name, and references to each stay with it whatever is renamed") {
  Desk desk;
  const auto add_group = [](const std::string& name, const std::string& port) {
    return [=](v1::Config& next) -> Result<void> {
      auto* group = next.add_port_groups();
      group->set_name(name);
      group->add_ports(port);
      return {};
    };
  };
  const auto add_port = [](v1::Config& next) -> Result<void> {
    auto* port = next.add_ports();
    port->set_name("in1");
    port->set_role(v1::PortRole::NETWORK);
    return {};
  };
  REQUIRE(desk.edit(add_port));
  REQUIRE(desk.edit(add_group("anns", "in1")));
  REQUIRE(desk.configuration->change({"bob", ""}, add_port));
  REQUIRE(desk.configuration->change({"bob", ""}, add_group("bobs", "in1")));
  const auto bobs = desk.configuration->view().config.ports(0).id();
  CHECK(desk.configuration->view_draft(kAnn, desk.draft)->conflicts == std::vector<std::string>{"ports/in1 (two have this name)"});
  CHECK_FALSE(desk.commit());
  REQUIRE(desk.edit([&bobs](v1::Config& next) -> Result<void> {
    for (auto& port : *next.mutable_ports())
      if (port.id() != bobs) {
        config::refer_by_id(next, config::find_collection("ports"), "in1", port.id());
        port.set_name("in2");
      }
    return {};
  }));
  REQUIRE(desk.commit());
  const auto view = desk.configuration->view();
  for (const auto& group : view.config.port_groups()) CHECK(group.ports(0) == (group.name() == "bobs" ? "in1" : "in2"));
}

TEST_CASE("draft: who decides about a conflict that is another meanwhile is told, and so is who edits what another tab edited") {
  Desk desk;
  const auto only = [](const std::string& wanted) {
    config::ChangeOptions options;
    options.precondition = [wanted](const std::string& version) -> Result<void> {
      return version == wanted ? Result<void>() : Error{ErrorCode::kStale, "If-Match", ""};
    };
    return options;
  };
  REQUIRE(desk.edit(with_filter("a", "drafted")));
  const auto seen = desk.configuration->view_draft(kAnn, desk.draft)->version;
  REQUIRE(desk.configuration->change({"bob", ""}, with_filter("a", "unseen")));
  CHECK(desk.configuration->rebase_draft(kAnn, desk.draft, only(seen)).error().code == ErrorCode::kStale);
  CHECK(desk.configuration->commit_draft({"ann", ""}, kAnn, desk.draft, only(seen)).error().code == ErrorCode::kStale);
  const auto now = desk.configuration->view_draft(kAnn, desk.draft)->version;
  REQUIRE(desk.configuration->change_draft(kAnn, desk.draft, with_filter("b", "one tab"), only(now)));
  CHECK(desk.configuration->change_draft(kAnn, desk.draft, with_filter("b", "other tab"), only(now)).error().code == ErrorCode::kStale);
}

TEST_CASE("draft: any edits, gathered and committed, leave what they would have left one by one") {
  const auto seed = static_cast<unsigned>(std::random_device()());
  MESSAGE("seed ", seed);
  std::mt19937 rng(seed);
  for (int round = 0; round < 40; ++round) {
    Desk drafted, direct;
    for (int step = 0; step < 12; ++step) {
      const std::string name(1, static_cast<char>('a' + rng() % 6));
      const bool there = config::find(direct.configuration->view().config, config::find_collection("filters"), name) >= 0;
      const auto comment = std::to_string(rng() % 3);
      const auto kind = rng() % 3;
      const auto edit = kind == 0 && there   ? without_filter(name)
                        : kind == 1 && there ? config::Configuration::Edit([&](v1::Config& next) -> Result<void> {
                            const int last = next.filters_size() - 1;
                            next.mutable_filters()->SwapElements(0, last);
                            return {};
                          })
                                             : with_filter(name, comment);
      REQUIRE(drafted.edit(edit));
      REQUIRE(direct.configuration->change({"ann", ""}, edit));
    }
    REQUIRE(drafted.commit());
    CHECK(drafted.comments() == direct.comments());
  }
}
