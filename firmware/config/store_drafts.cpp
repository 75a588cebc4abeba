// Drafts on disk.
#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>

#include "config/database.h"
#include "config/store.h"

namespace sluice::config {
namespace {

constexpr const char* kDraftColumns = "SELECT id, user, comment, created_ns, changed_ns FROM draft ";

std::optional<Row> row_at(SQLite::Statement& row, int body, int position) {
  if (row.getColumn(position).isNull()) return std::nullopt;
  return Row{row.getColumn(body).getString(), row.getColumn(position).getInt()};
}

Draft draft_at(SQLite::Database& db, SQLite::Statement& row) {
  Draft out{row.getColumn(0).getString(),
            row.getColumn(1).getString(),
            row.getColumn(2).getString(),
            static_cast<uint64_t>(row.getColumn(3).getInt64()),
            static_cast<uint64_t>(row.getColumn(4).getInt64()),
            {}};
  SQLite::Statement changes(db, "SELECT kind, id, before, position_before, after, position_after, moved FROM draft_change WHERE draft = ?");
  changes.bind(1, out.id);
  while (changes.executeStep())
    out.changes.push_back({{changes.getColumn(0).getString(), changes.getColumn(1).getString()},
                           row_at(changes, 2, 3),
                           row_at(changes, 4, 5),
                           changes.getColumn(6).getInt() != 0});
  return out;
}

}  // namespace

Result<std::vector<Draft>> Store::drafts() try {
  std::vector<Draft> out;
  SQLite::Statement row(*db_, std::string(kDraftColumns) + "ORDER BY created_ns, id");
  while (row.executeStep()) out.push_back(draft_at(*db_, row));
  return out;
} catch (const std::exception& e) {
  return database_error("reading drafts", e);
}

Result<Draft> Store::draft(const std::string& id) try {
  SQLite::Statement row(*db_, std::string(kDraftColumns) + "WHERE id = ?");
  row.bind(1, id);
  if (!row.executeStep()) return Error{ErrorCode::kNotFound, "", "there is no draft \"" + id + "\""};
  return draft_at(*db_, row);
} catch (const std::exception& e) {
  return database_error("reading a draft", e);
}

Result<void> Store::put_draft(const Draft& draft) try {
  SQLite::Transaction transaction(*db_, SQLite::TransactionBehavior::IMMEDIATE);
  SQLite::Statement put(*db_,
                        "INSERT INTO draft VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET comment = excluded.comment, changed_ns = "
                        "excluded.changed_ns");
  SQLite::bind(put, draft.id, draft.user, draft.comment, static_cast<int64_t>(draft.created_ns), static_cast<int64_t>(draft.changed_ns));
  put.exec();
  SQLite::Statement clear(*db_, "DELETE FROM draft_change WHERE draft = ?");
  clear.bind(1, draft.id);
  clear.exec();
  SQLite::Statement add(*db_, "INSERT INTO draft_change VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  for (const auto& change : draft.changes) {
    add.reset();
    add.clearBindings();
    SQLite::bind(add, draft.id, change.key.first, change.key.second);
    const auto bind_row = [&add](const std::optional<Row>& row, int body, int position) {
      if (!row) return;
      add.bind(body, row->body.data(), static_cast<int>(row->body.size()));
      add.bind(position, row->position);
    };
    bind_row(change.before, 4, 6);
    bind_row(change.after, 5, 7);
    add.bind(8, change.moved ? 1 : 0);
    add.exec();
  }
  transaction.commit();
  return {};
} catch (const std::exception& e) {
  return database_error("writing a draft", e);
}

Result<void> Store::remove_draft(const std::string& id) try {
  SQLite::Statement remove(*db_, "DELETE FROM draft WHERE id = ?");
  remove.bind(1, id);
  if (remove.exec() == 0) return Error{ErrorCode::kNotFound, "", "there is no draft \"" + id + "\""};
  return {};
} catch (const std::exception& e) {
  return database_error("removing a draft", e);
}

}  // namespace sluice::config
