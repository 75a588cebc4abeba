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

  struct Word {
    uint32_t milliseconds = 0;  ///< for which it holds
    bool down = false;
    std::string reason;
    friend bool operator==(const Word&, const Word&) = default;
  };
  /// What tools said last, by their ports' ids.
  [[nodiscard]] std::map<std::string, Word> all() const;
  /// Writes to the disk only what is new, and of one port once a second at most, but that it is down.
  [[nodiscard]] Result<void> remember(const std::string& port, const Word& word);
  [[nodiscard]] Result<void> forget(const std::string& port);

 private:
  explicit ToolReports(std::unique_ptr<SQLite::Database> db);
  struct Known {
    Word said, written;
    uint64_t written_ns = 0;  ///< monotonic
  };

  mutable std::mutex mutex_;
  std::unique_ptr<SQLite::Database> db_;
  std::map<std::string, Known> known_;
};

}  // namespace sluice::config
