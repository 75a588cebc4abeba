#include "config/store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>

#include <map>

#include "base/clock.h"
#include "config/migrate.h"
#include "config/resources.h"

namespace sluice::config {
namespace {

Error failed(const char* what, const std::exception& e) {
  return {ErrorCode::kInternal, "", std::string("database: ") + what + ": " + e.what()};
}

/// A resource as a row.
struct Row {
  std::string body;
  int position = 0;
  bool operator==(const Row&) const = default;
};
using Key = std::pair<std::string, std::string>;  // kind, id

constexpr const char* kSystem = "system";

/// Labels are a Protobuf map, whose order in bytes is free: deterministic, so that equal resources are equal rows.
std::string bytes_of(const google::protobuf::Message& message) {
  std::string out;
  google::protobuf::io::StringOutputStream stream(&out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return out;
}

std::map<Key, Row> rows_of(const v1::Config& config) {
  std::map<Key, Row> rows;
  if (config.has_system()) rows[{kSystem, ""}] = {bytes_of(config.system()), 0};
  for (const auto* collection : collections())
    for (int i = 0; i < count(config, collection); ++i) {
      const auto& m = resource(config, collection, i);
      rows[{collection->name(), id_of(m)}] = {bytes_of(m), i};
    }
  return rows;
}

}  // namespace

Store::Store(std::unique_ptr<SQLite::Database> db) : db_(std::move(db)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::string& path) try {
  auto db = std::make_unique<SQLite::Database>(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, 5000);
  // FULL: an acknowledged commit is on the disk, also in WAL mode.
  db->exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
  if (auto r = migrate(*db); !r) return r.error();
  return std::unique_ptr<Store>(new Store(std::move(db)));
} catch (const std::exception& e) {
  return failed(("opening " + path).c_str(), e);
}

Result<Store::Loaded> Store::load() try {
  Loaded out;
  out.revision = static_cast<uint64_t>(db_->execAndGet("SELECT coalesce(max(number), 0) FROM revision").getInt64());
  SQLite::Statement rows(*db_, "SELECT kind, id, body FROM resource ORDER BY kind, position");
  while (rows.executeStep()) {
    const std::string kind = rows.getColumn(0).getString();
    const std::string body = rows.getColumn(2).getString();
    const auto* collection = find_collection(kind);
    auto* m = kind == kSystem ? out.config.mutable_system()
              : collection    ? out.config.GetReflection()->AddMessage(&out.config, collection)
                              : static_cast<google::protobuf::Message*>(nullptr);
    if (!m || !m->ParseFromString(body))
      return Error{ErrorCode::kInternal, kind + "/" + rows.getColumn(1).getString(), "cannot be read from the database"};
  }
  return out;
} catch (const std::exception& e) {
  return failed("reading the configuration", e);
}

Result<uint64_t> Store::commit(const v1::Config& before, const v1::Config& after, const std::string& author,
                               const std::string& comment) try {
  const auto old_rows = rows_of(before);
  const auto new_rows = rows_of(after);
  SQLite::Transaction transaction(*db_, SQLite::TransactionBehavior::IMMEDIATE);
  const int64_t number = db_->execAndGet("SELECT coalesce(max(number), 0) + 1 FROM revision").getInt64();
  SQLite::Statement revision(*db_, "INSERT INTO revision VALUES (?, ?, ?, ?)");
  SQLite::bind(revision, number, static_cast<int64_t>(wall_ns()), author, comment);
  revision.exec();

  SQLite::Statement put(*db_, "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?, ?)");
  SQLite::Statement remove(*db_, "DELETE FROM resource WHERE kind = ? AND id = ?");
  SQLite::Statement log(*db_, "INSERT INTO change VALUES (?, ?, ?, ?, ?, ?, ?)");
  const auto record = [&](const Key& key, const Row* was, const Row* is) {
    log.reset();
    log.clearBindings();
    log.bind(1, number);
    log.bind(2, key.first);
    log.bind(3, key.second);
    if (was) log.bind(4, was->body.data(), static_cast<int>(was->body.size())), log.bind(6, was->position);
    if (is) log.bind(5, is->body.data(), static_cast<int>(is->body.size())), log.bind(7, is->position);
    log.exec();
  };
  for (const auto& [key, row] : new_rows) {
    const auto was = old_rows.find(key);
    if (was != old_rows.end() && was->second == row) continue;
    put.reset();
    put.bind(1, key.first);
    put.bind(2, key.second);
    put.bind(3, row.position);
    put.bind(4, row.body.data(), static_cast<int>(row.body.size()));
    put.bind(5, number);
    put.exec();
    record(key, was == old_rows.end() ? nullptr : &was->second, &row);
  }
  for (const auto& [key, row] : old_rows) {
    if (new_rows.contains(key)) continue;
    remove.reset();
    remove.bind(1, key.first);
    remove.bind(2, key.second);
    remove.exec();
    record(key, &row, nullptr);
  }
  transaction.commit();
  return static_cast<uint64_t>(number);
} catch (const std::exception& e) {
  return failed("committing a revision", e);
}

Result<std::vector<Revision>> Store::revisions(unsigned limit) try {
  std::vector<Revision> out;
  SQLite::Statement rows(*db_, "SELECT number, created_ns, author, comment FROM revision ORDER BY number DESC LIMIT ?");
  rows.bind(1, limit);
  while (rows.executeStep())
    out.push_back({static_cast<uint64_t>(rows.getColumn(0).getInt64()), static_cast<uint64_t>(rows.getColumn(1).getInt64()),
                   rows.getColumn(2).getString(), rows.getColumn(3).getString()});
  return out;
} catch (const std::exception& e) {
  return failed("reading revisions", e);
}

Result<void> Store::set_secret(const std::string& name, const std::string& hash) try {
  SQLite::Statement put(*db_, "INSERT OR REPLACE INTO secret VALUES (?, ?, ?)");
  SQLite::bind(put, name, hash, static_cast<int64_t>(wall_ns()));
  put.exec();
  return {};
} catch (const std::exception& e) {
  return failed("writing a secret", e);
}

Result<std::string> Store::secret(const std::string& name) try {
  SQLite::Statement row(*db_, "SELECT hash FROM secret WHERE name = ?");
  row.bind(1, name);
  return row.executeStep() ? row.getColumn(0).getString() : std::string();
} catch (const std::exception& e) {
  return failed("reading a secret", e);
}

Result<void> Store::add_token(const std::string& hash, uint64_t expires_ns) try {
  SQLite::Statement put(*db_, "INSERT INTO token VALUES (?, ?, ?)");
  put.bind(1, hash.data(), static_cast<int>(hash.size()));
  put.bind(2, static_cast<int64_t>(wall_ns()));
  put.bind(3, static_cast<int64_t>(expires_ns));
  put.exec();
  return {};
} catch (const std::exception& e) {
  return failed("writing a token", e);
}

Result<bool> Store::token_is_valid(const std::string& hash, uint64_t now_ns) try {
  SQLite::Statement row(*db_, "SELECT 1 FROM token WHERE hash = ? AND expires_ns > ?");
  row.bind(1, hash.data(), static_cast<int>(hash.size()));
  row.bind(2, static_cast<int64_t>(now_ns));
  return row.executeStep();
} catch (const std::exception& e) {
  return failed("reading tokens", e);
}

}  // namespace sluice::config
