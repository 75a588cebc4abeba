#include <SQLiteCpp/SQLiteCpp.h>
#include <doctest/doctest.h>

#include <filesystem>
#include <random>

#include "config/splice.h"
#include "config/store.h"
#include "tests/builders/failing_disk.h"
#include "tests/builders/store.h"

using namespace sluice;
using config::Change;
using config::Key;
using config::Row;
using config::Rows;

namespace {

/// A store, and every revision as it was committed: what the store has to give back.
struct History {
  test::Folder folder;
  std::string path = (folder.path / "s.sqlite").string();
  std::unique_ptr<config::Store> store;
  std::vector<Rows> all{Rows()};

  History() { reopen(); }
  void reopen() {
    store.reset();
    auto opened = config::Store::open(path);
    REQUIRE_MESSAGE(opened, opened.error().message);
    store = std::move(*opened);
  }
  void commit(const Rows& rows) {
    const auto number = store->commit(rows, config::digest(rows), {"ann", ""});
    REQUIRE_MESSAGE(number, number.error().message);
    all.push_back(rows);
    REQUIRE(*number == all.size() - 1);
  }
  void check(uint64_t revision) {
    CAPTURE(revision);
    const auto rows = store->rows_at(revision);
    REQUIRE_MESSAGE(rows, rows.error().message);
    REQUIRE(*rows == all[revision]);
  }
  void check_changes(uint64_t revision) {
    CAPTURE(revision);
    const auto changes = store->changes_of(revision);
    REQUIRE_MESSAGE(changes, changes.error().message);
    const Rows &before = all[revision - 1], &after = all[revision];
    Rows again = before;
    for (const Change& change : *changes) {
      REQUIRE((change.before ? before.at(change.key) == *change.before : !before.contains(change.key)));
      if (change.after) again[change.key] = *change.after;
      else again.erase(change.key);
    }
    REQUIRE(again == after);
  }
  [[nodiscard]] int64_t count(const std::string& sql) const {
    return SQLite::Database(path).execAndGet(sql).getInt64();
  }
  void execute(const std::string& sql) {
    store.reset();
    SQLite::Database(path, SQLite::OPEN_READWRITE).exec(sql);
    reopen();
  }
};

std::string random_body(std::mt19937& random, std::size_t size) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>('a' + random() % 3);  // so that what differs begins and ends alike now and then
  return out;
}

/// A few bytes, or none, more, fewer or others; now and then all.
void edit(std::mt19937& random, std::string& body) {
  if (random() % 12 == 0 || body.empty()) return void(body = random_body(random, random() % 60'000));
  const std::size_t at = random() % body.size(), gone = std::min<std::size_t>(random() % 40, body.size() - at);
  body.replace(at, gone, random_body(random, random() % 40));
}

Rows one(const std::string& body) { return {{{"maps", "m"}, {body, 0}}}; }

/// A long body, of which each revision says its number.
std::string numbered(unsigned n) {
  std::string out(50'000, 'x');
  return out.replace(20'000, 4, std::to_string(1000 + n));
}

}  // namespace

TEST_CASE("splice: of two bodies says the least that differs, and gives either from the other") {
  const std::string head(20'000, 'h'), tail(20'000, 't');
  const auto check = [](const std::string& before, const std::string& after, std::size_t differ) {
    const auto splice = config::splice_between(before, after);
    REQUIRE(splice);
    CHECK(std::max(splice->before.size(), splice->after.size()) == differ);
    std::string body = before;
    CHECK(config::splice_into(body, splice->head, splice->tail, splice->after));
    CHECK(body == after);
    CHECK(config::splice_into(body, splice->head, splice->tail, splice->before));
    CHECK(body == before);
  };
  check(head + "old" + tail, head + "new!" + tail, 4);
  check(head + tail, head + "more" + tail, 4);
  check(head + tail, head + tail, 0);
  check(head, head + "h", 1);  // every place is alike
  check("x" + head, head, 1);
  CHECK_FALSE(config::splice_between("short", "shorter"));
  CHECK_FALSE(config::splice_between(head + tail, head + head + tail));
  CHECK_FALSE(config::splice_between(head, tail));
  std::string body = "body";
  CHECK_FALSE(config::splice_into(body, 3, 2, "x"));
  CHECK_FALSE(config::splice_into(body, SIZE_MAX, 1, "x"));
  CHECK_FALSE(config::splice_into(body, 1, SIZE_MAX, "x"));
  CHECK(body == "body");
  CHECK(config::splice_into(body, 2, 2, "-"));
  CHECK(body == "bo-dy");
}

TEST_CASE("change log: every revision of long and short bodies is given back as it was committed, whatever came after") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  History history;
  Rows rows;
  for (unsigned n = 0; n < 260; ++n) {
    const Key key{random() % 2 ? "maps" : "filters", std::to_string(random() % 3)};
    if (!rows.contains(key)) rows[key] = {random_body(random, 30'000), 0};
    else if (random() % 10 == 0) rows.erase(key);
    else edit(random, rows[key].body);
    if (rows.contains(key) && random() % 5 == 0) rows[key].position = static_cast<int>(random() % 4);
    history.commit(rows);
    if (n == 40) REQUIRE(history.store->set_label(history.all.size() - 1, "kept"));
    if (random() % 20 == 0) history.reopen();
    history.check(random() % history.all.size());
  }
  CHECK(history.count("SELECT count(*) FROM change WHERE head IS NOT NULL") > 100);
  CHECK(history.count("SELECT count(*) FROM change WHERE head IS NULL") > 20);
  for (uint64_t revision = 1; revision < history.all.size(); ++revision) {
    history.check(revision);
    history.check_changes(revision);
  }
}

TEST_CASE("change log: a change of a few bytes of a long body costs a few bytes, and the body is written whole now and then") {
  History history;
  for (unsigned n = 0; n < 70; ++n) history.commit(one(numbered(n)));
  CHECK(history.count("SELECT max(length(after)) FROM change WHERE revision = 2") < 10);
  CHECK(history.count("SELECT count(*) FROM change WHERE head IS NULL") == 3);  // the first, the 33rd and the 65th
  CHECK(history.count("SELECT revision FROM resource") == 65);
}

TEST_CASE("change log: when old changes are forgotten, bodies that need them are written whole before") {
  History history;
  const auto with_other = [](unsigned n) {
    Rows rows = one(numbered(3));
    rows[{"system", ""}] = {std::to_string(n), 0};
    return rows;
  };
  for (unsigned n = 0; n < 4; ++n) history.commit(one(numbered(n)));
  for (unsigned n = 0; n < config::kMostRevisions + 2; ++n) history.commit(with_other(n));
  const auto newest = history.all.size() - 1;
  CHECK(history.store->rows_at(4).error().code == ErrorCode::kNotFound);
  CHECK(history.count("SELECT count(*) FROM change WHERE kind = 'maps'") == 0);
  history.reopen();
  history.check(newest);
  history.check(newest - config::kMostRevisions + 1);
  history.check_changes(newest);
}

TEST_CASE("change log: a damaged splice leaves what came before it, and the next revision") {
  for (const std::string sabotage : {"UPDATE change SET after = CAST(after || 'x' AS BLOB) WHERE revision = 3", "UPDATE change SET head = 49999 WHERE revision = 3",
                                     "UPDATE change SET tail = -1 WHERE revision = 3", "UPDATE change SET after = x'' WHERE revision = 3"}) {
    CAPTURE(sabotage);
    History history;
    for (unsigned n = 0; n < 3; ++n) history.commit(one(numbered(n)));
    history.execute(sabotage);
    const auto damaged = history.store->rows_at(3);
    REQUIRE_FALSE(damaged);
    CHECK(damaged.error().message == "revision 3 is damaged: it is not as it was written");
    history.check(2);
    history.check(1);
    // As when an operator goes back to the last good one.
    history.commit(history.all[2]);
    history.check(4);
    history.reopen();
    history.commit(one(numbered(9)));
    history.check(5);
    history.check(4);
  }
}

TEST_CASE("change log: a power cut while a splice is written leaves the revision whole or absent") {
  for (unsigned operation = 0;; ++operation) {
    CAPTURE(operation);
    History history;
    history.commit(one(numbered(0)));
    history.store.reset();
    unsigned operations = 0;
    bool acknowledged = false;
    {
      test::FailingDisk disk;
      history.reopen();
      disk.arm(test::Fault::kCut, operation);
      acknowledged = static_cast<bool>(history.store->commit(one(numbered(1)), config::digest(one(numbered(1))), {"ann", ""}));
      operations = disk.operations();
      history.store.reset();
    }
    history.reopen();
    history.all.push_back(one(numbered(1)));
    const auto newest = history.store->newest();
    REQUIRE(newest);
    CHECK((acknowledged ? *newest == 2 : *newest == 1 || *newest == 2));
    history.check(*newest);
    if (operations <= operation) break;  // beyond the last
  }
}
