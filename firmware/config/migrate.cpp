#include "config/migrate.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include "config/migrations.h"  // generated from schema/*.sql

namespace sluice::config {

Result<void> migrate(SQLite::Database& db) {
  const int have = db.execAndGet("PRAGMA user_version").getInt();
  const int want = static_cast<int>(kMigrations.size());
  if (have > want)
    return Error{ErrorCode::kInvalid, "",
                 "the database has schema " + std::to_string(have) + ", this version knows " + std::to_string(want) +
                     "; it was written by a newer Sluice"};
  for (int step = have; step < want; ++step) {
    SQLite::Transaction transaction(db);
    db.exec(kMigrations[static_cast<std::size_t>(step)]);
    db.exec("PRAGMA user_version = " + std::to_string(step + 1));
    transaction.commit();
  }
  return {};
}

}  // namespace sluice::config
