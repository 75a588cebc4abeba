// The resources as they are stored, and what each revision changed of them: tables `resource` and `change`.
//
// A resource's row has the body that was written whole last. Of long bodies (16,384 rules are millions of bytes) later revisions store splices:
// those up to a revision are applied to the body, or undone from it.
#pragma once

#include <cstdint>
#include <vector>

#include "config/rows.h"

namespace SQLite {
class Database;
}

namespace sluice::config {

/// In the transaction of whoever calls; SQLite's exceptions pass through.
class ChangeLog {
 public:
  explicit ChangeLog(SQLite::Database& db) : db_(db) {}

  /// All resources as a revision left them; the changes since then must be known. A body whose splices do not fit is empty: whoever needs to
  /// know asks for the digest.
  [[nodiscard]] Rows rows_at(int64_t revision);
  /// after: rows_at() the revision.
  [[nodiscard]] std::vector<Change> changes_of(int64_t revision, const Rows& after);

  /// before: rows_at() the revision before.
  void write(int64_t revision, const Rows& before, const Rows& after);
  /// Forgets what revisions up to `last` changed. now: rows_at() the newest revision.
  void forget(int64_t last, int64_t newest, const Rows& now);

 private:
  [[nodiscard]] bool may_splice(const Key& key, int64_t revision);
  SQLite::Database& db_;
};

}  // namespace sluice::config
