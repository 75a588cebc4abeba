// Making secrets, and knowing them again without keeping them.
#pragma once

#include <string>

#include "base/result.h"

namespace sluice::api {

/// Four groups of five letters and digits, 99 bits, without those that look alike: for somebody who types it from a console.
[[nodiscard]] std::string make_first_password();
/// 256 random bits, base64url.
[[nodiscard]] std::string make_token();
/// BLAKE2b-256.
[[nodiscard]] std::string hash_token(const std::string& token);

/// Argon2id (RFC 9106), libsodium's string form; about a tenth of a second and 64 MiB. Errors: no memory.
[[nodiscard]] Result<std::string> hash_password(const std::string& password);
/// As slow. hash: empty for a user that there is not, whom no password fits, after the same time.
[[nodiscard]] bool verify_password(const std::string& hash, const std::string& password);

/// A file that its owner alone reads; on the disk when it returns.
[[nodiscard]] Result<void> write_private(const std::string& path, const std::string& text);

}  // namespace sluice::api
