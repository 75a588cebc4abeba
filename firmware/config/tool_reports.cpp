#include "config/tool_reports.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include "config/database.h"

namespace sluice::config {

ToolReports::ToolReports(std::unique_ptr<SQLite::Database> db) : db_(std::move(db)) {}
ToolReports::~ToolReports() = default;

Result<std::unique_ptr<ToolReports>> ToolReports::open(const std::string& path) try {
  auto db = open_database(path);
  if (!db) return db.error();
  std::unique_ptr<ToolReports> out(new ToolReports(std::move(*db)));
  SQLite::Statement row(*out->db_, "SELECT port, milliseconds FROM tool_report");
  while (row.executeStep()) out->known_[row.getColumn(0).getString()] = row.getColumn(1).getUInt();
  return out;
} catch (const std::exception& e) {
  return database_error("reading which tools report", e);
}

std::map<std::string, uint32_t> ToolReports::all() const {
  const std::lock_guard lock(mutex_);
  return known_;
}

Result<void> ToolReports::write(const char* sql, const std::string& port, uint32_t milliseconds) try {
  SQLite::Statement put(*db_, sql);
  put.bind(1, port);
  if (put.getBindParameterCount() > 1) put.bind(2, milliseconds);
  put.exec();
  return {};
} catch (const std::exception& e) {
  return database_error("writing which tools report", e);
}

Result<void> ToolReports::remember(const std::string& port, uint32_t milliseconds) {
  const std::lock_guard lock(mutex_);
  if (const auto known = known_.find(port); known != known_.end() && known->second == milliseconds) return {};
  if (auto r = write("INSERT INTO tool_report VALUES (?, ?) ON CONFLICT (port) DO UPDATE SET milliseconds = excluded.milliseconds", port, milliseconds); !r)
    return r;
  known_[port] = milliseconds;
  return {};
}

Result<void> ToolReports::forget(const std::string& port) {
  const std::lock_guard lock(mutex_);
  if (!known_.contains(port)) return {};
  if (auto r = write("DELETE FROM tool_report WHERE port = ?", port, 0); !r) return r;
  known_.erase(port);
  return {};
}

}  // namespace sluice::config
