// Protobuf's wire format (https://protobuf.dev/programming-guides/encoding), as far as finding fields: for whoever compares parts of messages
// that he then need not read.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sluice {

/// The bytes of each field of this number that has a length: submessages, strings, bytes. In order; up to the first byte that is no message's.
[[nodiscard]] std::vector<std::string_view> wire_fields(std::string_view message, uint32_t number);

}  // namespace sluice
