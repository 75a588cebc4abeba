// What nobody confirms, and what can not be used at start: the ways back to what was in force before.
#include <SQLiteCpp/SQLiteCpp.h>
#include <doctest/doctest.h>

#include <thread>

#include "config/confirmation_watch.h"
#include "tests/builders/edits.h"
#include "tests/builders/failing_disk.h"
#include "tests/builders/store.h"

using namespace sluice;
using test::Appliance;
using test::add_port, test::comment_on, test::remove_port, test::names;

namespace {

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
