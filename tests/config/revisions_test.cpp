#include <doctest/doctest.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <fstream>

#include "config/resources.h"
#include "tests/builders/broker.h"
#include "tests/builders/edits.h"
#include "tests/builders/store.h"

using namespace sluice;
using google::protobuf::util::MessageDifferencer;
using test::Appliance;
using test::add_port, test::comment_on, test::remove_port, test::names;

TEST_CASE("store: what is committed is loaded again, in order, and every change is logged once") {
  const test::Folder folder;
  const auto path = (folder.path / "s.sqlite").string();
  const auto first =
      test::make_config(R"({"system": {"name": "lab"}, "maps": [{"name": "b", "sources": {}}, {"name": "a", "sources": {}}]})");
  {
    auto store = config::Store::open(path);
    REQUIRE(store);
    CHECK(*(*store)->commit(config::rows_of(first), config::digest(config::rows_of(first)), {"ann", "begin"}) == 1);
    v1::Config second = first;
    second.mutable_maps()->SwapElements(0, 1);
    CHECK(*(*store)->commit(config::rows_of(second), config::digest(config::rows_of(second)), {"bob", "other order"}) == 2);
  }
  auto store = config::Store::open(path);
  REQUIRE(store);
  CHECK(*(*store)->newest() == 2);
  const auto loaded = config::config_of(*(*store)->rows_at(2));
  REQUIRE(loaded);
  CHECK(loaded->maps(0).name() == "a");
  CHECK(loaded->system().name() == "lab");
  const auto revisions = (*store)->revisions(10);
  CHECK(revisions->at(0).author == "bob");
  CHECK(revisions->at(1).comment == "begin");
}

TEST_CASE("store: a file that is no database, and one from a newer version, are refused with the reason") {
  const test::Folder folder;
  const auto garbage = (folder.path / "garbage").string();
  std::ofstream(garbage) << std::string(5000, 'x');
  CHECK(config::Store::open(garbage).error().message.find("not a database") != std::string::npos);
  const auto newer = (folder.path / "newer").string();
  REQUIRE(config::Store::open(newer));
  CHECK(std::system(("sqlite3 " + newer + " 'PRAGMA user_version = 99' 2>/dev/null || python3 -c \"import sqlite3; sqlite3.connect('" +
                     newer + "').execute('PRAGMA user_version = 99')\"")
                        .c_str()) == 0);
  const auto refused = config::Store::open(newer);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("newer") != std::string::npos);
}

TEST_CASE("configuration: nothing changes unless every step succeeds, and nothing is lost when only publishing fails") {
  const test::Folder folder;
  auto store = config::Store::open((folder.path / "s.sqlite").string());
  REQUIRE(store);
  test::Plane plane;
  config::Configuration configuration(**store, plane);
  REQUIRE(configuration.load());
  const auto add = add_port;
  CHECK(configuration.change({"ann", ""}, add("a"))->revision == 1);
  CHECK(plane.published == 1);
  CHECK_FALSE(configuration.change({"ann", ""}, [](v1::Config&) -> Result<void> { return {}; })->changed);
  CHECK(configuration.change({"ann", ""}, add("b"), {.dry_run = true, .confirm_s = {}})->changed);
  CHECK(configuration.view().config.ports_size() == 1);

  plane.prepare_error = Error{ErrorCode::kInvalid, "ports[1]", "no"};
  CHECK(configuration.change({"ann", ""}, add("b")).error().field_path == "ports[1]");
  CHECK(configuration.view().revision == 1);
  CHECK((*store)->rows_at(1)->size() == 1);

  plane.prepare_error.reset();
  plane.publish_error = Error{ErrorCode::kUnreachable, "", "gone"};
  const auto outcome = configuration.change({"ann", ""}, add("b"));
  REQUIRE(outcome);
  CHECK(outcome->revision == 2);
  CHECK_FALSE(outcome->warnings.empty());
  plane.publish_error.reset();
  REQUIRE(configuration.resume());
  CHECK(plane.purpose == config::Purpose::kResume);  // no device of today may refuse what was committed
  CHECK(plane.published == 2);
}

TEST_CASE("configuration: of an edit that is tried, refused or given up nothing is left for the next one") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  CHECK_FALSE(a.configuration->change({"ann", ""}, [](v1::Config& c) -> Result<void> {
    c.clear_ports();
    return Error{ErrorCode::kInvalid, "ports", "changed my mind"};
  }));
  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "1")));
  CHECK(names(*a.configuration) == "x=1");
  CHECK_FALSE(a.configuration->change({"ann", ""}, add_port("x")));  // its name is taken
  REQUIRE(a.configuration->change({"ann", ""}, add_port("tried"), {.dry_run = true}));
  REQUIRE(a.configuration->change({"ann", ""}, add_port("y")));
  CHECK(names(*a.configuration) == "x=1 y");
  REQUIRE(a.configuration->rollback({"ann", ""}, 1));
  REQUIRE(a.configuration->change({"ann", ""}, add_port("z")));
  CHECK(names(*a.configuration) == "x z");
}

TEST_CASE("revisions: a rollback brings back what was, ids included, as a new revision") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  const auto then = a.configuration->view().config;
  REQUIRE(a.configuration->change({"ann", ""}, remove_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  CHECK(a.configuration->config_at(3)->ports(0).id() != then.ports(0).id());
  const auto outcome = a.configuration->rollback({"bob", "back"}, 1);
  REQUIRE(outcome);
  CHECK(outcome->revision == 4);
  CHECK(MessageDifferencer::Equals(a.configuration->view().config, then));
  CHECK(a.plane.published == 4);
  CHECK_FALSE(a.configuration->rollback({"bob", ""}, 1)->changed);
  CHECK(a.configuration->rollback({"bob", ""}, 0)->changes.size() == 1);
  CHECK(a.configuration->rollback({"bob", ""}, 99).error().code == ErrorCode::kNotFound);
  a.restart();
  CHECK(names(*a.configuration).empty());
  CHECK(MessageDifferencer::Equals(*a.configuration->config_at(1), then));
}

TEST_CASE("revisions: the inverse of one keeps what came later, and is refused where that stands against it") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "one")));  // 2
  REQUIRE(a.configuration->change({"bob", ""}, add_port("y")));           // 3
  CHECK(a.configuration->revert({"ann", ""}, 2)->revision == 4);
  CHECK(names(*a.configuration) == "x y");
  const auto undone_already = a.configuration->revert({"ann", ""}, 2);
  REQUIRE(undone_already);
  CHECK_FALSE(undone_already->changed);

  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "two")));    // 5
  REQUIRE(a.configuration->change({"bob", ""}, comment_on("x", "three")));  // 6
  const auto refused = a.configuration->revert({"ann", ""}, 5);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kConflict);
  CHECK(refused.error().message.find("ports/x") != std::string::npos);
  CHECK(names(*a.configuration) == "x=three y");
}

TEST_CASE("revisions: an inverse that would leave a reference without its resource is refused by the reference's path") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, [](v1::Config& c) -> Result<void> {
    auto* group = c.add_tool_groups();
    group->set_name("g");
    group->add_members()->set_port("x");
    return {};
  }));
  const auto refused = a.configuration->revert({"ann", ""}, 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kConflict);
  CHECK(refused.error().field_path == "tool_groups[0].members[0].port");
}

TEST_CASE("revisions: of those that are long past the changes are forgotten, a labelled one stays") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "kept")));
  REQUIRE(a.configuration->set_label(2, "works"));
  const std::string long_comment(1000, 'c');
  for (unsigned i = 0; i < config::kMostRevisions + 5; ++i)
    REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", std::to_string(i))));
  CHECK(a.configuration->revision(2)->label == "works");
  CHECK_FALSE(a.configuration->revision(2)->changes_known);
  CHECK(a.configuration->revision(1).error().code == ErrorCode::kNotFound);
  CHECK(a.configuration->rollback({"ann", ""}, 3).error().code == ErrorCode::kNotFound);
  CHECK(a.configuration->revert({"ann", ""}, 2).error().code == ErrorCode::kNotFound);
  REQUIRE(a.configuration->rollback({"ann", ""}, 2));
  CHECK(names(*a.configuration) == "x=kept");
  CHECK(a.configuration->revisions(10000)->size() <= config::kMostRevisions + 2);
}

TEST_CASE("revisions: a revert brings a resource back to its place, and who only moved is nobody's conflict") {
  Appliance a;
  for (const char* name : {"p", "q", "r"}) REQUIRE(a.configuration->change({"ann", ""}, add_port(name)));
  REQUIRE(a.configuration->change({"ann", ""}, remove_port("p")));  // 4: q and r move up
  REQUIRE(a.configuration->change({"bob", ""}, comment_on("r", "bob's")));
  REQUIRE(a.configuration->change({"bob", ""}, add_port("s")));
  REQUIRE(a.configuration->revert({"ann", ""}, 4));
  CHECK(names(*a.configuration) == "p q r=bob's s");

  REQUIRE(a.configuration->change({"ann", ""}, [](v1::Config& c) -> Result<void> {
    c.mutable_ports()->SwapElements(0, 3);
    return {};
  }));  // 8
  REQUIRE(a.configuration->change({"bob", ""}, comment_on("q", "too")));
  REQUIRE(a.configuration->revert({"ann", ""}, 8));
  CHECK(names(*a.configuration) == "p q=too r=bob's s");
  a.restart();
  CHECK(names(*a.configuration) == "p q=too r=bob's s");
}

TEST_CASE("diff: words are whole characters, however long what changed") {
  v1::Config before, after;
  before.mutable_system();
  std::string text = "x";
  for (int i = 0; i < 200; ++i) text += "\xc3\xa9";
  for (int shift = 0; shift < 2; ++shift) {
    after.mutable_system()->set_name(text.substr(static_cast<std::size_t>(shift)));
    const auto line = config::in_words(config::diff(before, after)).at(0);
    const auto cut = line.find(" ...");
    REQUIRE(cut != std::string::npos);
    CHECK(line.substr(cut - 2, 2) == "\xc3\xa9");
  }
}

TEST_CASE("diff: says what came, went, changed and moved, and nothing else") {
  auto before =
      test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK", "labels": {"rack": "4"}}, {"name": "in2", "role": "NETWORK"}],
    "maps": [{"name": "a", "sources": {"ports": ["in1"]}, "rules": [{"action": "PASS"}, {"match": {"ip": {"src": ["10.0.0.0/8"]}}, "action": "DROP"},
      {"match": {"ip": {"version": 4}}, "action": "PASS"}]}, {"name": "b", "sources": {}}]})");
  CHECK(config::diff(before, before).empty());
  auto after = before;
  after.mutable_maps()->SwapElements(0, 1);
  auto& map = *after.mutable_maps(1);
  map.mutable_rules()->SwapElements(0, 2);
  map.mutable_rules()->SwapElements(1, 2);  // 3rd, 1st, 2nd: one moved
  map.mutable_rules(2)->mutable_match()->mutable_ip()->set_src(0, "10.1.0.0/16");
  map.mutable_sources()->add_ports("in2");
  (*after.mutable_ports(0)->mutable_labels())["rack"] = "5";
  after.mutable_ports(1)->set_mtu(9000);
  after.mutable_system()->set_name("rack7");
  after.add_address_sets()->set_name("hr");
  const std::string moved = before.maps(0).rules(2).id(), changed = before.maps(0).rules(1).id();
  const auto words = config::in_words(config::diff(before, after));
  const std::vector<std::string> wanted{"system: name: \"\" became \"rack7\"",
                                        "port in1: labels.rack: \"4\" became \"5\"",
                                        "port in2: mtu: 1500 became 9000",
                                        "map a: sources.ports: \"in2\" added",
                                        "map a: rules[" + changed + "].match.ip.src: \"10.0.0.0/8\" removed",
                                        "map a: rules[" + changed + "].match.ip.src: \"10.1.0.0/16\" added",
                                        "map a: rules[" + moved + "].position: moved from 2 to 0",
                                        "map b: position: moved from 1 to 0",
                                        "address set hr added"};
  CHECK(words.size() == wanted.size());
  for (const auto& line : wanted) CHECK_MESSAGE(std::find(words.begin(), words.end(), line) != words.end(), line);
  CHECK(config::interrupted_ports(config::diff(before, after)) == std::vector<std::string>{"in2"});
}
