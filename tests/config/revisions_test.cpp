#include <SQLiteCpp/SQLiteCpp.h>
#include <doctest/doctest.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "config/confirmation_watch.h"
#include "config/resources.h"
#include "tests/builders/broker.h"
#include "tests/builders/failing_disk.h"
#include "tests/builders/store.h"

using namespace sluice;
using google::protobuf::util::MessageDifferencer;
using test::Appliance;

namespace {

config::Configuration::Edit add_port(const std::string& name) {
  return [name](v1::Config& c) -> Result<void> {
    auto* port = c.add_ports();
    port->set_name(name);
    port->set_role(v1::PortRole::TOOL);
    return {};
  };
}

config::Configuration::Edit comment_on(const std::string& name, const std::string& comment) {
  return [name, comment](v1::Config& c) -> Result<void> {
    c.mutable_ports(config::find(c, config::find_collection("ports"), name))->set_comment(comment);
    return {};
  };
}

config::Configuration::Edit remove_port(const std::string& name) {
  return [name](v1::Config& c) -> Result<void> {
    config::remove_resource(c, config::find_collection("ports"), config::find(c, config::find_collection("ports"), name));
    return {};
  };
}

std::string names(const config::Configuration& configuration) {
  std::string out;
  const auto view = configuration.view();
  for (const auto& port : view.config.ports())
    out += (out.empty() ? "" : " ") + port.name() + (port.comment().empty() ? "" : "=" + port.comment());
  return out;
}

/// What undo_unconfirmed() does when its time has come, however long that takes.
void wait_for_undo(config::Configuration& configuration) {
  while (const auto next = configuration.undo_unconfirmed()) std::this_thread::sleep_until(*next);
}

/// Two revisions, of which the data plane takes the first alone.
void refuse_the_last(Appliance& a) {
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "bad")));
  a.restart();
  a.plane.refuses = [](const v1::Config& c) { return c.ports_size() && c.ports(0).comment() == "bad"; };
  REQUIRE(a.configuration->resume());
}

void execute(const std::string& path, const std::string& sql) { SQLite::Database(path, SQLite::OPEN_READWRITE).exec(sql); }

}  // namespace

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

TEST_CASE("confirmation: what nobody confirms is undone in its time, and what is confirmed stays") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "risky"), {.dry_run = false, .confirm_s = 3600}));
  CHECK(a.configuration->revision(2)->confirmation->state == "PENDING");
  CHECK(a.configuration->confirm(1).error().code == ErrorCode::kConflict);
  REQUIRE(a.configuration->confirm(2));
  CHECK(a.configuration->confirm(2).error().code == ErrorCode::kConflict);
  CHECK_FALSE(a.configuration->undo_unconfirmed());

  REQUIRE(a.configuration->change({"ann", ""}, add_port("y"), {.dry_run = false, .confirm_s = 1}));
  {
    const config::ConfirmationWatch watch(*a.configuration);
    while (a.configuration->revision(3)->confirmation->state == "PENDING") std::this_thread::yield();
  }
  CHECK(names(*a.configuration) == "x=risky");
  CHECK(a.configuration->revision(3)->confirmation->state == "UNDONE");
  CHECK(a.configuration->revision(4)->author == "sluice");
  CHECK(a.configuration->faults().empty());
}

TEST_CASE("confirmation: a restart in the middle neither confirms nor forgets, whatever the wall clock was set to") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "risky"), {.dry_run = false, .confirm_s = 3600}));
  a.restart();
  auto next = a.configuration->undo_unconfirmed();
  REQUIRE(next);
  CHECK(*next > std::chrono::steady_clock::now() + std::chrono::seconds(3000));
  CHECK(names(*a.configuration) == "x=risky");

  execute(a.path, "UPDATE confirmation SET deadline_ns = deadline_ns + 1000000000 * 86400 * 365");  // the clock was a year ahead
  a.restart();
  next = a.configuration->undo_unconfirmed();
  REQUIRE(next);
  CHECK(*next < std::chrono::steady_clock::now() + std::chrono::seconds(3601));

  execute(a.path, "UPDATE confirmation SET deadline_ns = 0");  // ran out while the daemon was down
  a.restart();
  wait_for_undo(*a.configuration);
  CHECK(names(*a.configuration) == "x");
}

TEST_CASE("confirmation: a colleague's later change stays, and where it is of the same resource the undoing is refused visibly") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "risky"), {.dry_run = false, .confirm_s = 1}));
  REQUIRE(a.configuration->change({"bob", ""}, add_port("y")));
  wait_for_undo(*a.configuration);
  CHECK(names(*a.configuration) == "x y");

  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "risky"), {.dry_run = false, .confirm_s = 1}));  // 5
  REQUIRE(a.configuration->change({"bob", ""}, comment_on("x", "risky, but mine")));
  wait_for_undo(*a.configuration);
  CHECK(names(*a.configuration) == "x=risky, but mine y");
  CHECK(a.configuration->revision(5)->confirmation->state == "FAILED");
  REQUIRE(a.configuration->faults().size() == 1);
  CHECK(a.configuration->faults()[0].find("revision 5 was not confirmed in time") != std::string::npos);
  a.restart();
  CHECK(a.configuration->faults().size() == 1);
  REQUIRE(a.configuration->confirm(5));
  CHECK(a.configuration->faults().empty());
}

TEST_CASE("confirmation: while the data plane is away nothing is undone halfway, and it is tried again") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x"), {.dry_run = false, .confirm_s = 1}));
  execute(a.path, "UPDATE confirmation SET deadline_ns = 0");
  a.restart();
  a.plane.prepare_error = Error{ErrorCode::kUnreachable, "", "gone"};
  CHECK(a.configuration->undo_unconfirmed());
  CHECK(names(*a.configuration) == "x");
  a.plane.prepare_error.reset();
  wait_for_undo(*a.configuration);
  CHECK(names(*a.configuration).empty());
}

TEST_CASE("confirmation: what has to be undone is not forgotten meanwhile, however much else is changed") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "risky"), {.dry_run = false, .confirm_s = 3600}));
  REQUIRE(a.configuration->change({"bob", ""}, add_port("y")));
  for (unsigned i = 0; i < config::kMostRevisions + 5; ++i)
    REQUIRE(a.configuration->change({"bob", ""}, comment_on("y", std::to_string(i))));
  execute(a.path, "UPDATE confirmation SET deadline_ns = 0");
  a.restart();
  wait_for_undo(*a.configuration);
  CHECK(names(*a.configuration) == "x y=" + std::to_string(config::kMostRevisions + 4));
}

TEST_CASE("confirmation: an undoing that the disk refuses is told, and tried again") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x"), {.dry_run = false, .confirm_s = 1}));
  execute(a.path, "UPDATE confirmation SET deadline_ns = 0");
  a.configuration.reset();
  a.store.reset();
  {
    test::FailingDisk disk;
    a.restart();
    disk.arm(test::Fault::kError, 0);
    CHECK(a.configuration->undo_unconfirmed());
    REQUIRE(a.configuration->faults().size() == 1);
    CHECK(a.configuration->faults()[0].find("revision 1 was not confirmed in time and is not undone yet") != std::string::npos);
    CHECK(names(*a.configuration) == "x");
    wait_for_undo(*a.configuration);
    CHECK(names(*a.configuration).empty());
    CHECK(a.configuration->faults().empty());
    a.configuration.reset();
    a.store.reset();
  }
  a.restart();
  CHECK(a.configuration->revision(1)->confirmation->state == "UNDONE");
}

TEST_CASE("confirmation: one at a time, and what undoes a revision that waits settles it") {
  Appliance a;
  const config::ChangeOptions confirmed{.dry_run = false, .confirm_s = 3600};
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "risky"), confirmed));  // 2
  for (const auto& refused : {a.configuration->change({"ann", ""}, comment_on("x", "more"), confirmed),
                              a.configuration->revert({"ann", ""}, 2, confirmed), a.configuration->rollback({"ann", ""}, 1, confirmed)}) {
    REQUIRE_FALSE(refused);
    CHECK(refused.error().field_path == "confirm_timeout");
  }
  REQUIRE(a.configuration->rollback({"bob", ""}, 1));
  CHECK(a.configuration->revision(2)->confirmation->state == "UNDONE");
  CHECK_FALSE(a.configuration->undo_unconfirmed());
  REQUIRE(a.configuration->change({"bob", ""}, comment_on("x", "risky")));  // the same again, and meant
  a.restart();
  CHECK_FALSE(a.configuration->undo_unconfirmed());
  CHECK(names(*a.configuration) == "x=risky");
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

TEST_CASE("boot: the refused revision put again, unchanged, leaves every way back open") {
  Appliance a;
  refuse_the_last(a);
  a.plane.refuses = [](const v1::Config&) { return false; };
  CHECK(a.configuration->rollback({"ann", ""}, 2)->revision == 3);  // the same resources as are stored
  CHECK(a.configuration->faults().empty());
  a.restart();
  CHECK(names(*a.configuration) == "x=bad");
  REQUIRE(a.configuration->rollback({"ann", ""}, 1));
  CHECK(names(*a.configuration) == "x");
  CHECK(a.configuration->config_at(0)->ports_size() == 0);
}

TEST_CASE("boot: beyond what is remembered, a labelled revision is fallen back to; an empty one is kept too") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("good")));
  REQUIRE(a.configuration->set_label(1, "works"));
  REQUIRE(a.configuration->change({"ann", ""}, remove_port("good")));
  REQUIRE(a.configuration->set_label(2, "empty"));
  for (unsigned i = 0; i < config::kMostRevisions + 5; ++i)
    REQUIRE(a.configuration->change({"ann", ""}, [i](v1::Config& c) -> Result<void> {
      c.mutable_system()->set_name(std::to_string(i));
      return {};
    }));
  CHECK(a.configuration->config_at(2)->has_system() == false);
  a.restart();
  a.plane.refuses = [](const v1::Config& c) { return c.ports_size() == 0; };
  REQUIRE(a.configuration->resume());
  CHECK(names(*a.configuration) == "good");
  CHECK(a.plane.published == 1);

  a.restart();
  a.plane.prepare_error = Error{ErrorCode::kUnreachable, "", "gone"};
  CHECK(a.configuration->resume().error().code == ErrorCode::kUnreachable);
  CHECK(a.configuration->faults().empty());  // says nothing of the revision
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

TEST_CASE("boot: a last revision that is damaged or from a newer version gives way to the last good one, and says so") {
  const std::string newer = "UPDATE resource SET body = CAST(body || x'f8ff0f01' AS BLOB)";  // a field of number 32,767
  for (const std::string& sabotage :
       std::vector<std::string>{"UPDATE resource SET body = x'ff'", newer, newer + "; UPDATE revision SET digest = NULL",
                                "UPDATE resource SET body = (SELECT before FROM change WHERE revision = 2)",
                                "UPDATE resource SET position = 7", "DELETE FROM resource"}) {
    CAPTURE(sabotage);
    Appliance a;
    REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
    REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "last")));
    execute(a.path, sabotage);
    a.restart();
    CHECK(names(*a.configuration) == "x");
    CHECK(a.configuration->view().revision == 1);
    REQUIRE(a.configuration->faults().size() == 1);
    CHECK(a.configuration->faults()[0].starts_with("revision 2 cannot be used"));
    REQUIRE(a.configuration->resume());
    CHECK(a.plane.published == 1);
    // The way out: what is in force becomes the newest revision.
    REQUIRE(a.configuration->rollback({"ann", ""}, 1));
    CHECK(a.configuration->view().revision == 3);
    CHECK(a.configuration->faults().empty());
    a.restart();
    CHECK(names(*a.configuration) == "x");
    CHECK(a.configuration->faults().empty());
  }
}

TEST_CASE("boot: a long map that is damaged where many revisions rest on it gives way to the last good one") {
  Appliance a;
  const auto with_comment = [](const std::string& comment) -> config::Configuration::Edit {
    return [comment](v1::Config& c) -> Result<void> {
      if (c.maps_size() == 0) {
        c.add_maps()->set_name("m");
        c.mutable_maps(0)->mutable_sources();
        for (unsigned r = 0; r < 200; ++r) c.mutable_maps(0)->add_rules()->set_action(v1::Action::PASS);
        for (auto& rule : *c.mutable_maps(0)->mutable_rules()) rule.set_comment(std::string(200, 'c'));
      }
      c.mutable_maps(0)->mutable_rules(100)->set_comment(comment);
      return {};
    };
  };
  for (unsigned n = 1; n <= 95; ++n) REQUIRE(a.configuration->change({"ann", ""}, with_comment(std::to_string(n))));
  execute(a.path, "UPDATE resource SET body = x'ff' WHERE kind = 'maps'");
  a.restart();
  CHECK(a.configuration->view().revision == 64);  // the 65th was written whole
  CHECK(a.configuration->view().config.maps(0).rules(100).comment() == "64");
  REQUIRE(a.configuration->faults().size() == 1);
  REQUIRE(a.configuration->change({"ann", ""}, with_comment("mended")));
  a.restart();
  CHECK(a.configuration->faults().empty());
  CHECK(a.configuration->view().config.maps(0).rules(100).comment() == "mended");
}

TEST_CASE("confirmation: a revision that is damaged while it waits is undone all the same") {
  Appliance a;
  REQUIRE(a.configuration->change({"ann", ""}, add_port("x")));
  REQUIRE(a.configuration->change({"ann", ""}, comment_on("x", "waits"), {.dry_run = false, .confirm_s = 1}));
  execute(a.path, "UPDATE resource SET body = x'ff'");
  a.restart();
  CHECK(a.configuration->view().revision == 1);
  wait_for_undo(*a.configuration);
  CHECK(a.configuration->faults().empty());
  CHECK(a.configuration->view().revision == 3);
  CHECK(names(*a.configuration) == "x");
  CHECK(a.configuration->revision(2)->confirmation->state == "UNDONE");
}

TEST_CASE("boot: a last revision that the data plane refuses gives way to the last one that it takes") {
  Appliance a;
  refuse_the_last(a);
  CHECK(a.plane.published == 1);
  CHECK(names(*a.configuration) == "x");
  CHECK(a.configuration->faults().size() == 1);
  CHECK(a.configuration->change({"ann", ""}, comment_on("x", "good"))->revision == 3);
  CHECK(a.configuration->faults().empty());
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
