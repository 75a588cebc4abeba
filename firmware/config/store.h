// The configuration on disk: SQLite, one transaction a revision. What commit() acknowledged is there after a power cut.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sluice/v1/config.pb.h"

namespace SQLite {
class Database;
}

namespace sluice::config {

struct Revision {
  uint64_t number = 0;
  uint64_t created_ns = 0;
  std::string author;
  std::string comment;
};

/// One thread at a time.
class Store {
 public:
  /// Opens or makes the database and brings its schema up to date. Errors: unreadable, or written by a newer version.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(const std::string& path);
  ~Store();

  struct Loaded {
    uint64_t revision = 0;  ///< 0: nothing was ever committed
    v1::Config config;
  };
  [[nodiscard]] Result<Loaded> load();

  /// Writes `after` as the next revision: changed resource rows, the revision, the change log; all or nothing, on disk when it
  /// returns. `before` is what load() or the last commit left.
  [[nodiscard]] Result<uint64_t> commit(const v1::Config& before, const v1::Config& after, const std::string& author,
                                        const std::string& comment);

  /// The newest first.
  [[nodiscard]] Result<std::vector<Revision>> revisions(unsigned limit);

  // ---- Identity: secrets as hashes, outside the configuration ----
  [[nodiscard]] Result<void> set_secret(const std::string& name, const std::string& hash);
  /// Empty: there is none.
  [[nodiscard]] Result<std::string> secret(const std::string& name);
  [[nodiscard]] Result<void> add_token(const std::string& hash, uint64_t expires_ns);
  [[nodiscard]] Result<bool> token_is_valid(const std::string& hash, uint64_t now_ns);

 private:
  explicit Store(std::unique_ptr<SQLite::Database> db);
  std::unique_ptr<SQLite::Database> db_;
};

}  // namespace sluice::config
