#include "config/people.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>

#include "config/database.h"

namespace sluice::config {
namespace {

uint64_t number_at(SQLite::Statement& row, int column) { return static_cast<uint64_t>(row.getColumn(column).getInt64()); }

/// What nobody knows may least.
Role role_at(SQLite::Statement& row, int column) {
  Role role = v1::AccessRole::UNSPECIFIED;
  (void)v1::AccessRole::Value_Parse(row.getColumn(column).getString(), &role);
  return role;
}

}  // namespace

People::People(std::unique_ptr<SQLite::Database> db) : db_(std::move(db)) {}
People::~People() = default;

Result<std::unique_ptr<People>> People::open(const std::string& path) {
  auto db = open_database(path);
  if (!db) return db.error();
  return std::unique_ptr<People>(new People(std::move(*db)));
}

Result<std::vector<User>> People::users() try {
  std::vector<User> out;
  SQLite::Statement row(*db_, "SELECT name, role, hash, password_expires_ns, created_ns FROM user");
  while (row.executeStep())
    out.push_back({row.getColumn(0).getString(), role_at(row, 1), row.getColumn(2).getString(), number_at(row, 3), number_at(row, 4)});
  return out;
} catch (const std::exception& e) {
  return database_error("reading users", e);
}

Result<std::vector<Pass>> People::passes() try {
  std::vector<Pass> out;
  SQLite::Statement row(*db_, "SELECT hash, id, user, kind, role, comment, restricted, created_ns, expires_ns, port FROM pass");
  while (row.executeStep())
    out.push_back({row.getColumn(0).getString(), row.getColumn(1).getString(), row.getColumn(2).getString(), row.getColumn(3).getString(),
                   role_at(row, 4), row.getColumn(5).getString(), row.getColumn(6).getInt() != 0, number_at(row, 7), number_at(row, 8),
                   row.getColumn(9).getString()});
  return out;
} catch (const std::exception& e) {
  return database_error("reading passes", e);
}

void People::insert(const Pass& pass) {
  SQLite::Statement put(*db_, "INSERT INTO pass VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  put.bind(1, pass.hash.data(), static_cast<int>(pass.hash.size()));
  put.bind(2, pass.id);
  put.bind(3, pass.user);
  put.bind(4, pass.kind);
  put.bind(5, v1::AccessRole::Value_Name(pass.role));
  put.bind(6, pass.comment);
  put.bind(7, pass.restricted ? 1 : 0);
  put.bind(8, static_cast<int64_t>(pass.created_ns));
  put.bind(9, static_cast<int64_t>(pass.expires_ns));
  put.bind(10, pass.port);
  put.exec();
}

Result<void> People::put_user(const User& user, const std::vector<Pass>& passes) try {
  SQLite::Transaction transaction(*db_, SQLite::TransactionBehavior::IMMEDIATE);
  SQLite::Statement put(*db_,
                        "INSERT INTO user VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET role = excluded.role, hash = "
                        "excluded.hash, password_expires_ns = excluded.password_expires_ns");
  SQLite::bind(put, user.name, v1::AccessRole::Value_Name(user.role), user.hash, static_cast<int64_t>(user.password_expires_ns),
               static_cast<int64_t>(user.created_ns));
  put.exec();
  SQLite::Statement end(*db_, "DELETE FROM pass WHERE user = ?");
  end.bind(1, user.name);
  end.exec();
  for (const auto& pass : passes) insert(pass);
  transaction.commit();
  return {};
} catch (const std::exception& e) {
  return database_error("writing a user", e);
}

template <class Value>
Result<void> People::run(const char* sql, const Value& value) try {
  SQLite::Statement statement(*db_, sql);
  statement.bind(1, value);
  statement.exec();
  return {};
} catch (const std::exception& e) {
  return database_error(sql, e);
}

Result<void> People::remove_user(const std::string& name) { return run("DELETE FROM user WHERE name = ?", name); }
Result<void> People::remove_pass(const std::string& id) { return run("DELETE FROM pass WHERE id = ?", id); }
Result<void> People::remove_expired(uint64_t now_ns) { return run("DELETE FROM pass WHERE expires_ns <= ?", static_cast<int64_t>(now_ns)); }

Result<void> People::add_pass(const Pass& pass) try {
  insert(pass);
  return {};
} catch (const std::exception& e) {
  return database_error("writing a pass", e);
}

}  // namespace sluice::config
