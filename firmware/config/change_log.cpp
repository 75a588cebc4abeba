#include "config/change_log.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>

#include <map>
#include <string_view>

#include "config/splice.h"

namespace sluice::config {
namespace {

/// Stands in `change` where a revision changed nothing: it was recorded all the same.
const Key kNothing{"", ""};
/// A body is written whole again after so many revisions: as many there may be whose last body can't be told if it is damaged. Fewer than
/// Configuration::fall_back() tries.
constexpr int64_t kMostBehind = 32;

/// Makes a row what it is on one side of a change: columns position, head, tail, and what is there in the place of the other side's. The
/// row is as on the other side.
void go_to(Rows& rows, const Key& key, SQLite::Statement& change, int first) {
  const auto position = change.getColumn(first);
  if (position.isNull()) return void(rows.erase(key));
  Row& row = rows[key];
  row.position = position.getInt();
  const auto between = change.getColumn(first + 3);
  const std::string_view bytes(static_cast<const char*>(between.getBlob()), static_cast<std::size_t>(between.getBytes()));
  const auto head = change.getColumn(first + 1);
  if (head.isNull()) return void(row.body = bytes);
  const auto tail = change.getColumn(first + 2).getInt64();
  if (!splice_into(row.body, static_cast<std::size_t>(head.getInt64()), static_cast<std::size_t>(tail), bytes)) row.body.clear();
}

Key key_at(SQLite::Statement& row) { return {row.getColumn(0).getString(), row.getColumn(1).getString()}; }

const Row* find(const Rows& rows, const Key& key) {
  const auto found = rows.find(key);
  return found == rows.end() ? nullptr : &found->second;
}

void bind_blob(SQLite::Statement& statement, int index, const std::string& bytes) {
  statement.bind(index, bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

Rows ChangeLog::rows_at(int64_t revision) {
  Rows rows;
  std::map<Key, int64_t> written;  // by which revision
  SQLite::Statement stored(db_, "SELECT kind, id, body, position, revision FROM resource");
  while (stored.executeStep()) {
    const Key key = key_at(stored);
    rows[key] = {stored.getColumn(2).getString(), stored.getColumn(3).getInt()};
    written[key] = stored.getColumn(4).getInt64();
  }
  SQLite::Statement undo(db_, "SELECT kind, id, position_before, head, tail, before, revision FROM change WHERE revision > ? ORDER BY revision DESC");
  undo.bind(1, revision);
  while (undo.executeStep()) {
    const Key key = key_at(undo);
    if (const auto whole = written.find(key); whole != written.end() && undo.getColumn(6).getInt64() > whole->second) continue;
    go_to(rows, key, undo, 2);
  }
  SQLite::Statement redo(db_,
                         "SELECT c.kind, c.id, c.position_after, c.head, c.tail, c.after FROM resource r JOIN change c "
                         "ON c.kind = r.kind AND c.id = r.id AND c.revision > r.revision WHERE c.head IS NOT NULL AND c.revision <= ? "
                         "ORDER BY c.revision");
  redo.bind(1, revision);
  while (redo.executeStep()) go_to(rows, key_at(redo), redo, 2);
  return rows;
}

std::vector<Change> ChangeLog::changes_of(int64_t revision, const Rows& after) {
  std::vector<Change> out;
  SQLite::Statement row(db_, "SELECT kind, id, position_before, head, tail, before FROM change WHERE revision = ?");
  row.bind(1, revision);
  while (row.executeStep()) {
    Change change{key_at(row), {}, {}};
    if (change.key == kNothing) continue;
    Rows one;
    if (const Row* const now = find(after, change.key)) change.after = one[change.key] = *now;
    go_to(one, change.key, row, 2);
    if (const Row* const before = find(one, change.key)) change.before = *before;
    out.push_back(std::move(change));
  }
  return out;
}

/// Whether the body of a resource that stays need not be written whole.
bool ChangeLog::may_splice(const Key& key, int64_t revision) {
  SQLite::Statement row(db_, "SELECT revision FROM resource WHERE kind = ? AND id = ?");
  SQLite::bind(row, key.first, key.second);
  return row.executeStep() && revision - row.getColumn(0).getInt64() < kMostBehind;
}

void ChangeLog::write(int64_t revision, const Rows& before, const Rows& after) {
  SQLite::Statement put(db_, "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?, ?)");
  SQLite::Statement remove(db_, "DELETE FROM resource WHERE kind = ? AND id = ?");
  SQLite::Statement log(db_,
                        "INSERT INTO change (revision, kind, id, position_before, position_after, head, tail, before, after) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  bool recorded = false;
  const auto record = [&](const Key& key, const Row* was, const Row* is, const std::optional<Splice>& splice) {
    recorded = true;
    log.reset();
    log.clearBindings();
    SQLite::bind(log, revision, key.first, key.second);
    if (was) log.bind(4, was->position), bind_blob(log, 8, splice ? splice->before : was->body);
    if (is) log.bind(5, is->position);
    if (splice) bind_blob(log, 9, splice->after);  // a whole one is found in the resource, or as what the next whole one was before
    if (splice) log.bind(6, static_cast<int64_t>(splice->head)), log.bind(7, static_cast<int64_t>(splice->tail));
    log.exec();
  };
  for (const auto& [key, row] : after) {
    const Row* const was = find(before, key);
    if (was && *was == row) continue;
    auto splice = was ? splice_between(was->body, row.body) : std::optional<Splice>();
    if (splice && !may_splice(key, revision)) splice.reset();
    record(key, was, &row, splice);
    if (splice) continue;
    put.reset();
    SQLite::bind(put, key.first, key.second, row.position);
    bind_blob(put, 4, row.body);
    put.bind(5, revision);
    put.exec();
  }
  for (const auto& [key, row] : before) {
    if (after.contains(key)) continue;
    record(key, &row, nullptr, {});
    remove.reset();
    SQLite::bind(remove, key.first, key.second);
    remove.exec();
  }
  if (!recorded) record(kNothing, nullptr, nullptr, {});
}

void ChangeLog::forget(int64_t last, int64_t newest, const Rows& now) {
  // Bodies that need what is forgotten are written whole.
  SQLite::Statement behind(db_,
                           "SELECT DISTINCT c.kind, c.id FROM change c JOIN resource r ON c.kind = r.kind AND c.id = r.id "
                           "WHERE c.revision <= ? AND c.revision > r.revision");
  behind.bind(1, last);
  std::vector<Key> keys;
  while (behind.executeStep()) keys.push_back(key_at(behind));
  SQLite::Statement put(db_, "UPDATE resource SET body = ?, position = ?, revision = ? WHERE kind = ? AND id = ?");
  for (const Key& key : keys) {
    const Row& row = now.at(key);
    put.reset();
    bind_blob(put, 1, row.body);
    put.bind(2, row.position);
    put.bind(3, newest);
    put.bind(4, key.first);
    put.bind(5, key.second);
    put.exec();
  }
  SQLite::Statement old(db_, "DELETE FROM change WHERE revision <= ?");
  old.bind(1, last);
  old.exec();
}

}  // namespace sluice::config
