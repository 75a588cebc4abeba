#include "config/tool_reports.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>

#include "base/clock.h"
#include "config/database.h"

namespace sluice::config {

ToolReports::ToolReports(std::unique_ptr<SQLite::Database> db) : db_(std::move(db)) {}
ToolReports::~ToolReports() = default;

Result<std::unique_ptr<ToolReports>> ToolReports::open(const std::string& path) try {
  auto db = open_database(path);
  if (!db) return db.error();
  std::unique_ptr<ToolReports> out(new ToolReports(std::move(*db)));
  SQLite::Statement row(*out->db_, "SELECT port, milliseconds, down, reason FROM tool_report");
  while (row.executeStep()) {
    const Word word{row.getColumn(1).getUInt(), row.getColumn(2).getInt() != 0, row.getColumn(3).getString()};
    out->known_[row.getColumn(0).getString()] = {.said = word, .written = word};
  }
  return out;
} catch (const std::exception& e) {
  return database_error("reading which tools report", e);
}

std::map<std::string, ToolReports::Word> ToolReports::all() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, Word> out;
  for (const auto& [port, known] : known_) out[port] = known.said;
  return out;
}

Result<void> ToolReports::remember(const std::string& port, const Word& word) try {
  constexpr uint64_t kSecond = 1'000'000'000;
  const std::lock_guard lock(mutex_);
  Known& known = known_[port];
  known.said = word;
  // A tool may say something else each time: the disk gets it with one of its next words. That it is down it may say only once.
  const uint64_t now = monotonic_ns();
  const bool is_new = known.written_ns == 0 || now - known.written_ns >= kSecond || (word.down && !known.written.down);
  if (known.written == word || !is_new) return {};
  SQLite::Statement put(*db_, "INSERT INTO tool_report (port, milliseconds, down, reason) VALUES (?, ?, ?, ?) ON CONFLICT (port) DO UPDATE SET "
                              "milliseconds = excluded.milliseconds, down = excluded.down, reason = excluded.reason");
  SQLite::bind(put, port, word.milliseconds, word.down ? 1 : 0, word.reason);
  put.exec();
  known.written = word, known.written_ns = now;
  return {};
} catch (const std::exception& e) {
  return database_error("writing what a tool reports", e);
}

Result<void> ToolReports::forget(const std::string& port) try {
  const std::lock_guard lock(mutex_);
  if (!known_.contains(port)) return {};
  SQLite::Statement end(*db_, "DELETE FROM tool_report WHERE port = ?");
  end.bind(1, port);
  end.exec();
  known_.erase(port);
  return {};
} catch (const std::exception& e) {
  return database_error("writing what a tool reports", e);
}

}  // namespace sluice::config
