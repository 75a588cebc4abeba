// The one database file of the management daemon.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace SQLite {
class Database;
}

namespace sluice::config {

/// Opens or makes the database and brings its schema up to date. What a transaction on it acknowledged is there after a power cut.
/// Errors: unreadable, or written by a newer version.
[[nodiscard]] Result<std::unique_ptr<SQLite::Database>> open_database(const std::string& path);

/// What a library's exception says, as an error of ours.
[[nodiscard]] Error database_error(const std::string& what, const std::exception& e);

}  // namespace sluice::config
