#include "api/secrets.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <array>

namespace sluice::api {

std::string make_first_password() {
  constexpr std::string_view kAlphabet = "abcdefghjkmnpqrstuvwxyz23456789";
  constexpr unsigned kLength = 20, kGroup = 5;
  std::string out;
  for (unsigned i = 0; i < kLength; ++i) {
    if (i && i % kGroup == 0) out += '-';
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

Result<std::string> hash_password(const std::string& password) {
  std::array<char, crypto_pwhash_STRBYTES> hash;
  if (crypto_pwhash_str(hash.data(), password.data(), password.size(), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                        crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
    return Error{ErrorCode::kInternal, "", "not enough memory to hash a password"};
  return std::string(hash.data());
}

bool verify_password(const std::string& hash, const std::string& password) {
  static const auto kNobodys = hash_password(make_token());
  const std::string& compared = hash.empty() && kNobodys ? *kNobodys : hash;
  return crypto_pwhash_str_verify(compared.c_str(), password.data(), password.size()) == 0 && !hash.empty();
}

Result<void> write_private(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  if (!written || rename(fresh.c_str(), path.c_str()) != 0) return Error{ErrorCode::kInternal, "", "cannot write " + path};
  return {};
}

}  // namespace sluice::api
