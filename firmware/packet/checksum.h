// The Internet checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

/// Adds 16-bit words in network byte order to a running sum; a last odd byte counts as if a zero followed (RFC 1071 section 1).
/// Start with 0, or with the sum of a pseudo header. No more than 2^15 words a sum.
[[nodiscard]] uint32_t checksum_add(std::span<const std::byte> bytes, uint32_t sum = 0);
/// What goes into the checksum field, in host byte order. The field itself was 0 in the sum.
[[nodiscard]] uint16_t checksum_finish(uint32_t sum);

}  // namespace sluice
