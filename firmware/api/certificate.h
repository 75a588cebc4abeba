// The appliance's own TLS key and certificate, made at first start: no two installations share one.
#pragma once

#include <string>

#include "base/result.h"

namespace sluice::api {

/// Makes key and self-signed certificate (P-256, valid for localhost, 127.0.0.1, ::1 and the host's name) unless both files are there.
/// Files are PEM; the key's is readable by its owner alone.
[[nodiscard]] Result<void> ensure_certificate(const std::string& certificate_file, const std::string& key_file);

/// SHA-256 of the certificate, "AB:CD:...", as browsers and openssl show it.
[[nodiscard]] Result<std::string> fingerprint(const std::string& certificate_file);

}  // namespace sluice::api
