#include "api/certificate.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string_view>

namespace sluice::api {
namespace {

template <auto kFree>
struct Free {
  void operator()(auto* p) const { kFree(p); }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

Certificate make_certificate(EVP_PKEY* key) {
  Certificate certificate(X509_new());
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 10L * 365 * 86400);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  const std::string host = host_name();
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("Sluice"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  const auto add = [&](int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate.get(), certificate.get(), nullptr, nullptr, 0);
    const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    if (extension) X509_add_ext(certificate.get(), extension.get(), -1);
  };
  add(NID_basic_constraints, "critical,CA:TRUE");
  add(NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1" + (host.empty() ? "" : ",DNS:" + host));
  if (X509_sign(certificate.get(), key, EVP_sha256()) == 0) return nullptr;
  return certificate;
}

Result<void> write_pem(const std::string& path, mode_t mode, auto&& write) {
  const std::string draft = path + ".new";
  unlink(draft.c_str());
  const int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  FILE* file = fd < 0 ? nullptr : fdopen(fd, "w");
  const bool written = file && write(file) && fflush(file) == 0 && fsync(fd) == 0;
  if (file) fclose(file);
  if (!written || rename(draft.c_str(), path.c_str()) != 0) return Error{ErrorCode::kInternal, "", "cannot write " + path};
  return {};
}

}  // namespace

Result<std::string> fingerprint(const std::string& certificate_file) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(certificate_file.c_str(), "re"), fclose);
  const Certificate certificate(file ? PEM_read_X509(file.get(), nullptr, nullptr, nullptr) : nullptr);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (!certificate || X509_digest(certificate.get(), EVP_sha256(), digest.data(), &size) != 1)
    return Error{ErrorCode::kNotFound, "", certificate_file + " holds no certificate"};
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    if (i) out += ':';
    out += {kHex[digest[i] >> 4], kHex[digest[i] & 15]};
  }
  return out;
}

Result<void> ensure_certificate(const std::string& certificate_file, const std::string& key_file) {
  if (std::filesystem::exists(certificate_file) && std::filesystem::exists(key_file)) return {};
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate = key ? make_certificate(key.get()) : nullptr;
  if (!certificate) return Error{ErrorCode::kInternal, "", "cannot make a TLS certificate"};
  if (auto r = write_pem(key_file, 0600,
                         [&](FILE* f) { return PEM_write_PrivateKey(f, key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1; });
      !r)
    return r;
  return write_pem(certificate_file, 0644, [&](FILE* f) { return PEM_write_X509(f, certificate.get()) == 1; });
}

}  // namespace sluice::api
