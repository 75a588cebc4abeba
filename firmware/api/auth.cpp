#include "api/auth.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <array>

#include "base/clock.h"

namespace sluice::api {
namespace {

constexpr const char* kFirstLogin = "first-login";
constexpr uint64_t kTokenLifetime = 30ULL * 86400 * 1'000'000'000;
constexpr std::string_view kScheme = "Bearer ";

/// Letters and digits without those that look alike, for somebody who types it from a console.
std::string make_secret(unsigned length) {
  constexpr std::string_view kAlphabet = "abcdefghjkmnpqrstuvwxyz23456789";
  std::string out;
  for (unsigned i = 0; i < length; ++i) {
    if (i && i % 5 == 0) out += '-';
    out += kAlphabet[randombytes_uniform(kAlphabet.size())];
  }
  return out;
}

std::string make_token() {
  std::array<unsigned char, 32> raw;
  randombytes_buf(raw.data(), raw.size());
  std::array<char, sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_URLSAFE_NO_PADDING)> text;
  sodium_bin2base64(text.data(), text.size(), raw.data(), raw.size(), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  return text.data();
}

std::string hash_token(const std::string& token) {
  std::array<unsigned char, 32> hash;
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(token.data()), token.size(), nullptr, 0);
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

Result<void> write_private(const std::string& path, const std::string& text) {
  unlink(path.c_str());
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  if (!written) return Error{ErrorCode::kInternal, "", "cannot write " + path};
  return {};
}

}  // namespace

Result<void> Auth::ensure_first_login(const std::string& file) {
  const std::lock_guard lock(mutex_);
  const auto known = store_.secret(kFirstLogin);
  if (!known) return known.error();
  if (!known->empty()) return {};
  const std::string secret = make_secret(20);
  std::array<char, crypto_pwhash_STRBYTES> hash;
  if (crypto_pwhash_str(hash.data(), secret.data(), secret.size(), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                        crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
    return Error{ErrorCode::kInternal, "", "not enough memory to hash the first-login secret"};
  // The file first: a secret that is stored and shown nowhere would lock everybody out.
  if (auto r = write_private(file, secret + "\n"); !r) return r;
  return store_.set_secret(kFirstLogin, hash.data());
}

Result<std::string> Auth::login(const std::string& secret) {
  const auto hash = [this] {
    const std::lock_guard lock(mutex_);
    return store_.secret(kFirstLogin);
  }();
  if (!hash) return hash.error();
  // Slow on purpose, and without the lock: nobody else's token has to wait for it.
  if (hash->empty() || crypto_pwhash_str_verify(hash->c_str(), secret.data(), secret.size()) != 0)
    return Error{ErrorCode::kUnauthorised, "secret", "is not the first-login secret that the console shows"};
  const std::string token = make_token();
  const std::lock_guard lock(mutex_);
  if (auto r = store_.add_token(hash_token(token), wall_ns() + kTokenLifetime); !r) return r.error();
  return token;
}

Result<void> Auth::check(const std::string& authorization) {
  const Error refused{ErrorCode::kUnauthorised, "Authorization",
                      authorization.empty() ? "is required: \"Bearer TOKEN\", with a token from POST /api/v1/login"
                                            : "is not a valid bearer token; get one from POST /api/v1/login"};
  if (!authorization.starts_with(kScheme)) return refused;
  const std::lock_guard lock(mutex_);
  const auto valid = store_.token_is_valid(hash_token(authorization.substr(kScheme.size())), wall_ns());
  if (!valid) return valid.error();
  return *valid ? Result<void>() : Result<void>(refused);
}

}  // namespace sluice::api
