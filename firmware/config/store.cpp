#include "config/store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>

#include <algorithm>
#include <string_view>

#include "base/clock.h"
#include "config/change_log.h"
#include "config/database.h"

namespace sluice::config {
namespace {

Row row_at(SQLite::Statement& statement, int body, int position) {
  return {statement.getColumn(body).getString(), statement.getColumn(position).getInt()};
}

void bind_blob(SQLite::Statement& statement, int index, const std::string& bytes) {
  statement.bind(index, bytes.data(), static_cast<int>(bytes.size()));
}

/// One row of select_revisions().
Revision revision_at(SQLite::Statement& row) {
  Revision out;
  out.number = static_cast<uint64_t>(row.getColumn(0).getInt64());
  out.created_ns = static_cast<uint64_t>(row.getColumn(1).getInt64());
  out.author = row.getColumn(2).getString();
  out.comment = row.getColumn(3).getString();
  out.label = row.getColumn(4).getString();
  out.changes_known = row.getColumn(5).getInt() != 0;
  if (!row.getColumn(6).isNull())
    out.confirmation = Confirmation{row.getColumn(6).getString(), static_cast<uint32_t>(row.getColumn(7).getInt()),
                                    static_cast<uint64_t>(row.getColumn(8).getInt64()), row.getColumn(9).getString()};
  return out;
}
/// Stands in `kept` where a revision has no resources: it was kept all the same.
const Key kNothing{"", ""};

/// rest: condition and order, in SQL.
std::string select_revisions(std::string_view rest) {
  std::string sql =
      "SELECT r.number, r.created_ns, r.author, r.comment, r.label, EXISTS (SELECT 1 FROM change c WHERE c.revision = r.number), "
      "f.state, f.timeout_s, f.deadline_ns, f.reason FROM revision r LEFT JOIN confirmation f ON f.revision = r.number ";
  return sql.append(rest);
}

Error no_such_revision(uint64_t number) { return {ErrorCode::kNotFound, "", "there is no revision " + std::to_string(number)}; }

}  // namespace

Store::Store(std::unique_ptr<SQLite::Database> db) : db_(std::move(db)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::string& path) {
  auto db = open_database(path);
  if (!db) return db.error();
  return std::unique_ptr<Store>(new Store(std::move(*db)));
}

Result<uint64_t> Store::newest() try {
  return static_cast<uint64_t>(db_->execAndGet("SELECT coalesce(max(number), 0) FROM revision").getInt64());
} catch (const std::exception& e) {
  return database_error("reading revisions", e);
}

Result<Rows> Store::rows_at(uint64_t revision) try {
  const auto last = newest();
  if (!last) return last.error();
  if (revision > *last) return no_such_revision(revision);
  if (revision == 0 && *last == 0) return Rows{};

  Rows rows;
  SQLite::Statement kept(*db_, "SELECT kind, id, body, position FROM kept WHERE revision = ?");
  kept.bind(1, static_cast<int64_t>(revision));
  while (kept.executeStep()) rows[{kept.getColumn(0).getString(), kept.getColumn(1).getString()}] = row_at(kept, 2, 3);
  if (!rows.empty()) {
    rows.erase(kNothing);
  } else {
    SQLite::Statement known(*db_, "SELECT count(DISTINCT revision) FROM change WHERE revision > ?");
    known.bind(1, static_cast<int64_t>(revision));
    known.executeStep();
    if (static_cast<uint64_t>(known.getColumn(0).getInt64()) != *last - revision)
      return Error{ErrorCode::kNotFound, "",
                   "the changes since revision " + std::to_string(revision) + " are forgotten; label a revision to keep it"};
    rows = ChangeLog(*db_).rows_at(static_cast<int64_t>(revision));
  }
  SQLite::Statement written(*db_, "SELECT digest FROM revision WHERE number = ?");
  written.bind(1, static_cast<int64_t>(revision));
  if (written.executeStep() && !written.getColumn(0).isNull() && written.getColumn(0).getString() != digest(rows))
    return Error{ErrorCode::kInternal, "", "revision " + std::to_string(revision) + " is damaged: it is not as it was written"};
  return rows;
} catch (const std::exception& e) {
  return database_error("reading a revision", e);
}

Result<uint64_t> Store::commit(const Rows& after, const std::string& digest_of_after, const Author& author, std::optional<uint32_t> confirm_s,
                               const std::vector<uint64_t>& undone) try {
  SQLite::Transaction transaction(*db_, SQLite::TransactionBehavior::IMMEDIATE);
  const int64_t number = db_->execAndGet("SELECT coalesce(max(number), 0) + 1 FROM revision").getInt64();
  ChangeLog log(*db_);
  const Rows read = last_number_ == number - 1 ? Rows() : log.rows_at(number - 1);
  const Rows& before = last_number_ == number - 1 ? last_committed_ : read;
  SQLite::Statement revision(*db_, "INSERT INTO revision (number, created_ns, author, comment, digest) VALUES (?, ?, ?, ?, ?)");
  SQLite::bind(revision, number, static_cast<int64_t>(wall_ns()), author.name, author.comment);
  bind_blob(revision, 5, digest_of_after);
  revision.exec();

  log.write(number, before, after);
  for (const uint64_t one : undone) {
    SQLite::Statement settle(*db_, "UPDATE confirmation SET state = 'UNDONE', reason = '' WHERE revision = ?");
    settle.bind(1, static_cast<int64_t>(one));
    settle.exec();
  }
  if (confirm_s) {
    SQLite::Statement wait(*db_, "INSERT INTO confirmation VALUES (?, ?, ?, 'PENDING', '')");
    SQLite::bind(wait, number, *confirm_s, static_cast<int64_t>(wall_ns() + *confirm_s * 1'000'000'000ULL));
    wait.exec();
  }
  forget_old_changes(number, after);
  Rows committed = after;
  transaction.commit();
  last_committed_ = std::move(committed);
  last_number_ = number;
  return static_cast<uint64_t>(number);
} catch (const std::exception& e) {
  return database_error("committing a revision", e);
}

/// Within commit()'s transaction.
void Store::forget_old_changes(int64_t newest, const Rows& now) {
  SQLite::Statement beyond(
      *db_,
      "SELECT coalesce(max(revision), 0) FROM (SELECT revision, sum(bytes) OVER (ORDER BY revision DESC) AS total FROM "
      "(SELECT revision, sum(coalesce(length(before), 0) + coalesce(length(after), 0)) AS bytes FROM change GROUP BY revision)) "
      "WHERE total > ?");
  beyond.bind(1, static_cast<int64_t>(kMostChangeBytes));
  beyond.executeStep();
  // One that waits for its confirmation may have to be undone: its changes, and those since, stay.
  const int64_t waiting =
      db_->execAndGet("SELECT coalesce(min(revision), 9223372036854775807) FROM confirmation WHERE state = 'PENDING'").getInt64();
  const int64_t last =
      std::min({std::max(beyond.getColumn(0).getInt64(), newest - static_cast<int64_t>(kMostRevisions)), newest - 1, waiting - 1});
  if (last <= 0) return;
  ChangeLog(*db_).forget(last, newest, now);
  for (const char* sql :
       {"DELETE FROM confirmation WHERE revision <= ? AND state IN ('CONFIRMED', 'UNDONE')",
        "DELETE FROM revision WHERE number <= ? AND label = '' AND number NOT IN (SELECT revision FROM confirmation)"}) {
    SQLite::Statement statement(*db_, sql);
    statement.bind(1, last);
    statement.exec();
  }
}

Result<std::vector<Revision>> Store::revisions(unsigned limit, uint64_t below) try {
  std::vector<Revision> out;
  SQLite::Statement rows(*db_, select_revisions("WHERE r.number < ? ORDER BY r.number DESC LIMIT ?"));
  SQLite::bind(rows, static_cast<int64_t>(below), limit);
  while (rows.executeStep()) out.push_back(revision_at(rows));
  return out;
} catch (const std::exception& e) {
  return database_error("reading revisions", e);
}

Result<Revision> Store::revision(uint64_t number) try {
  SQLite::Statement row(*db_, select_revisions("WHERE r.number = ?"));
  row.bind(1, static_cast<int64_t>(number));
  if (!row.executeStep()) return no_such_revision(number);
  return revision_at(row);
} catch (const std::exception& e) {
  return database_error("reading a revision", e);
}

Result<std::vector<Change>> Store::changes_of(uint64_t revision) try {
  const auto known = this->revision(revision);
  if (!known) return known.error();
  if (!known->changes_known) return Error{ErrorCode::kNotFound, "", "what revision " + std::to_string(revision) + " changed is forgotten"};
  const auto after = rows_at(revision);
  if (!after) return after.error();
  return ChangeLog(*db_).changes_of(static_cast<int64_t>(revision), *after);
} catch (const std::exception& e) {
  return database_error("reading changes", e);
}

Result<void> Store::set_label(uint64_t number, const std::string& label) try {
  const auto rows = rows_at(number);
  if (!rows) return rows.error();
  SQLite::Transaction transaction(*db_, SQLite::TransactionBehavior::IMMEDIATE);
  const auto statement = [&](const char* sql) {
    SQLite::Statement s(*db_, sql);
    s.bind(1, static_cast<int64_t>(number));
    return s;
  };
  auto others = statement("SELECT count(*) FROM revision WHERE label != '' AND number != ?");
  others.executeStep();
  if (!label.empty() && others.getColumn(0).getInt64() >= static_cast<int64_t>(kMostLabels))
    return Error{ErrorCode::kExhausted, "label",
                 "there are " + std::to_string(kMostLabels) + " labelled revisions; take one's label away first"};
  auto set = statement("UPDATE revision SET label = ?2 WHERE number = ?1");
  set.bind(2, label);
  if (set.exec() == 0) return no_such_revision(number);
  statement("DELETE FROM kept WHERE revision = ?").exec();
  if (!label.empty()) {
    SQLite::Statement keep(*db_, "INSERT INTO kept VALUES (?, ?, ?, ?, ?)");
    Rows all = *rows;
    if (all.empty()) all[kNothing] = {};
    for (const auto& [key, row] : all) {
      keep.reset();
      SQLite::bind(keep, static_cast<int64_t>(number), key.first, key.second, row.position);
      bind_blob(keep, 5, row.body);
      keep.exec();
    }
  }
  transaction.commit();
  return {};
} catch (const std::exception& e) {
  return database_error("labelling a revision", e);
}

Result<std::vector<Revision>> Store::unconfirmed() try {
  std::vector<Revision> out;
  SQLite::Statement rows(*db_, select_revisions("WHERE f.state IN ('PENDING', 'FAILED') ORDER BY r.number"));
  while (rows.executeStep()) out.push_back(revision_at(rows));
  return out;
} catch (const std::exception& e) {
  return database_error("reading confirmations", e);
}

Result<void> Store::set_confirmation(uint64_t revision, const std::string& state, const std::string& reason) try {
  SQLite::Statement put(*db_, "UPDATE confirmation SET state = ?, reason = ? WHERE revision = ?");
  SQLite::bind(put, state, reason, static_cast<int64_t>(revision));
  if (put.exec() == 0) return no_such_revision(revision);
  return {};
} catch (const std::exception& e) {
  return database_error("writing a confirmation", e);
}

}  // namespace sluice::config
