// The database's schema: numbered steps, embedded in the binary, each applied once and in order.
#pragma once

#include "base/result.h"

namespace SQLite {
class Database;
}

namespace sluice::config {

/// Brings the database to this version's schema; PRAGMA user_version holds the last step applied. A database that is ahead of us
/// is refused and left alone. SQLite's exceptions pass through.
[[nodiscard]] Result<void> migrate(SQLite::Database& db);

}  // namespace sluice::config
