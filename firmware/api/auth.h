// Who may come in: one first-login secret, and bearer tokens that it buys. Secrets are kept as hashes alone.
#pragma once

#include <mutex>
#include <string>

#include "base/result.h"
#include "config/store.h"

namespace sluice::api {

/// Any thread.
class Auth {
 public:
  /// The store is this class's alone as far as identity goes; open a Store of its own for it.
  explicit Auth(config::Store& store) : store_(store) {}

  /// Makes the first-login secret if there was never one, and writes it to this file, readable by its owner alone, for the console.
  [[nodiscard]] Result<void> ensure_first_login(const std::string& file);

  /// A new bearer token for the secret; kUnauthorised if it is wrong.
  [[nodiscard]] Result<std::string> login(const std::string& secret);

  /// Whether an Authorization header's value is good.
  [[nodiscard]] Result<void> check(const std::string& authorization);

 private:
  config::Store& store_;
  std::mutex mutex_;
};

}  // namespace sluice::api
