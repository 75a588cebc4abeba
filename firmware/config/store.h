// The configuration on disk: SQLite, one transaction a revision. What commit() acknowledged is there after a power cut.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/rows.h"

namespace SQLite {
class Database;
}

namespace sluice::config {

/// Who changes something, and why.
struct Author {
  std::string name;
  std::string comment;
  bool administers = false;  ///< may decide who may do what: changes tenants and grants
};

/// A revision that is undone unless it is confirmed.
struct Confirmation {
  /// PENDING; CONFIRMED; UNDONE, by time or by hand; FAILED: it was to be undone and could not be.
  std::string state;
  uint32_t timeout_s = 0;
  uint64_t deadline_ns = 0;  ///< wall clock
  std::string reason;        ///< of FAILED
};

struct Revision {
  uint64_t number = 0;
  uint64_t created_ns = 0;
  std::string author;
  std::string comment;
  std::string label;
  bool changes_known = false;  ///< of those that are long past they are forgotten
  std::optional<Confirmation> confirmation;
};

/// Edits of one user that are not in force yet.
struct Draft {
  std::string id;
  std::string user;
  std::string comment;
  uint64_t created_ns = 0, changed_ns = 0;
  std::vector<Change> changes;
};

/// Of the changes, the newest are kept: so many revisions, and no more bytes than this. A labelled revision is kept whole.
inline constexpr uint64_t kMostRevisions = 1000;
inline constexpr uint64_t kMostChangeBytes = 64U << 20;
inline constexpr uint64_t kMostLabels = 64;

/// One thread at a time.
class Store {
 public:
  /// Opens or makes the database and brings its schema up to date. Errors: unreadable, or written by a newer version.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(const std::string& path);
  ~Store();

  /// Number of the newest revision; 0: nothing was ever committed.
  [[nodiscard]] Result<uint64_t> newest();
  /// All resources as a revision left them. Errors: kNotFound if the way back to it is forgotten; kInternal if what is stored is not
  /// what was written.
  [[nodiscard]] Result<Rows> rows_at(uint64_t revision);

  /// Makes `after` the next revision: changed resource rows, the revision, the change log; all or nothing, on disk when it returns.
  /// confirm_s: the revision waits so many seconds for its confirmation. undone: unconfirmed revisions that this one undoes.
  [[nodiscard]] Result<uint64_t> commit(const Rows& after, const std::string& digest_of_after, const Author& author,
                                        std::optional<uint32_t> confirm_s = {}, const std::vector<uint64_t>& undone = {});

  /// The newest first, from those below `below`.
  [[nodiscard]] Result<std::vector<Revision>> revisions(unsigned limit, uint64_t below = INT64_MAX);
  [[nodiscard]] Result<Revision> revision(uint64_t number);
  /// Errors: kNotFound if they are forgotten.
  [[nodiscard]] Result<std::vector<Change>> changes_of(uint64_t revision);
  /// Empty: takes the label away.
  [[nodiscard]] Result<void> set_label(uint64_t revision, const std::string& label);

  /// Revisions whose confirmation is PENDING or FAILED.
  [[nodiscard]] Result<std::vector<Revision>> unconfirmed();
  [[nodiscard]] Result<void> set_confirmation(uint64_t revision, const std::string& state, const std::string& reason);

  // ---- Drafts ----
  /// The oldest first.
  [[nodiscard]] Result<std::vector<Draft>> drafts();
  [[nodiscard]] Result<Draft> draft(const std::string& id);
  /// Makes or replaces it.
  [[nodiscard]] Result<void> put_draft(const Draft& draft);
  [[nodiscard]] Result<void> remove_draft(const std::string& id);

 private:
  explicit Store(std::unique_ptr<SQLite::Database> db);
  void forget_old_changes(int64_t newest, const Rows& now);
  std::unique_ptr<SQLite::Database> db_;
  Rows last_committed_;  ///< so that the next commit() need not read them
  int64_t last_number_ = -1;
};

}  // namespace sluice::config
