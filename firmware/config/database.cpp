#include "config/database.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include "config/migrate.h"

namespace sluice::config {

Error database_error(const std::string& what, const std::exception& e) {
  return {ErrorCode::kInternal, "", "database: " + what + ": " + e.what()};
}

Result<std::unique_ptr<SQLite::Database>> open_database(const std::string& path) try {
  constexpr int kBusyMs = 5000;
  auto db = std::make_unique<SQLite::Database>(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMs);
  // FULL: an acknowledged commit is on the disk, also in WAL mode.
  db->exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
  if (auto r = migrate(*db); !r) return r.error();
  return db;
} catch (const std::exception& e) {
  return database_error("opening " + path, e);
}

}  // namespace sluice::config
