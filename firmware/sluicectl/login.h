// Where the appliance is, and who one is there.
#pragma once

#include <string>

#include "base/result.h"

namespace sluice {

struct Login {
  std::string url;  ///< "https://192.0.2.10"
  std::string token;
  std::string cacert;  ///< file; empty: the system's
  std::string socket;  ///< of a daemon on this machine, instead of a URL
};

/// What is empty is filled in from SLUICE_URL, SLUICE_TOKEN, SLUICE_CACERT, then from what `sluicectl login` has kept. Errors: no appliance
/// is named anywhere.
[[nodiscard]] Result<Login> complete(Login given);
/// For the next time; a file that its owner alone reads.
[[nodiscard]] Result<void> keep(const Login& login);
/// Whether this is the token that is kept.
[[nodiscard]] bool is_kept(const Login& login);
void forget();
/// From the terminal without an echo, or the first line of standard input.
[[nodiscard]] std::string read_password(const std::string& prompt);

}  // namespace sluice
