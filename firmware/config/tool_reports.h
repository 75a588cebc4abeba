// Which tools have reported their health, on disk: one that hangs while the appliance restarts is missed, as one is that hangs while it runs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"

namespace SQLite {
class Database;
}

namespace sluice::config {

/// Any thread.
class ToolReports {
 public:
  [[nodiscard]] static Result<std::unique_ptr<ToolReports>> open(const std::string& path);
  ~ToolReports();

  /// Of ports whose tools report, by id: for how many milliseconds each word holds.
  [[nodiscard]] std::map<std::string, uint32_t> all() const;
  /// Writes to the disk only what is new.
  [[nodiscard]] Result<void> remember(const std::string& port, uint32_t milliseconds);
  [[nodiscard]] Result<void> forget(const std::string& port);

 private:
  explicit ToolReports(std::unique_ptr<SQLite::Database> db);
  Result<void> write(const char* sql, const std::string& port, uint32_t milliseconds);

  mutable std::mutex mutex_;
  std::unique_ptr<SQLite::Database> db_;
  std::map<std::string, uint32_t> known_;
};

}  // namespace sluice::config
