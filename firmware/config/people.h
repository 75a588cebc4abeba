// Users, and what lets them in, on disk: outside the configuration, so that rollback and restore never touch them.
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

/// Ordered: who may more is greater.
using Role = v1::AccessRole::Value;

struct User {
  std::string name;
  Role role = v1::AccessRole::VIEWER;
  std::string hash;                  ///< of the password, Argon2id
  uint64_t password_expires_ns = 0;  ///< wall clock, of a first password, which has to be changed; 0: the password is the user's own
  uint64_t created_ns = 0;
};

/// A token or cookie that was handed out.
struct Pass {
  std::string hash;  ///< BLAKE2b-256 of it
  std::string id;
  std::string user;
  std::string kind;  ///< LOGIN, COOKIE, or TOKEN: for automation
  Role role = v1::AccessRole::VIEWER;
  std::string comment;
  bool restricted = false;  ///< by a first password: may only change that
  uint64_t created_ns = 0;
  uint64_t expires_ns = 0;
  std::string port = {};  ///< a tool's token: the id of the port whose health it reports, and all that it may; empty: no tool's
};

/// One thread at a time.
class People {
 public:
  [[nodiscard]] static Result<std::unique_ptr<People>> open(const std::string& path);
  ~People();

  [[nodiscard]] Result<std::vector<User>> users();
  [[nodiscard]] Result<std::vector<Pass>> passes();
  /// Makes or replaces him. passes: that remain his; all others end in the same transaction.
  [[nodiscard]] Result<void> put_user(const User& user, const std::vector<Pass>& passes);
  [[nodiscard]] Result<void> remove_user(const std::string& name);
  [[nodiscard]] Result<void> add_pass(const Pass& pass);
  /// Those that ended by then.
  [[nodiscard]] Result<void> remove_expired(uint64_t now_ns);
  [[nodiscard]] Result<void> remove_pass(const std::string& id);

 private:
  explicit People(std::unique_ptr<SQLite::Database> db);
  void insert(const Pass& pass);
  template <class Value>
  Result<void> run(const char* sql, const Value& value);

  std::unique_ptr<SQLite::Database> db_;
};

}  // namespace sluice::config
