// Protobuf's wire format (https://protobuf.dev/programming-guides/encoding), as far as finding fields: for whoever compares parts of messages
// that he then need not read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

/// The bytes of each field of this number that has a length: submessages, strings, bytes. In order; up to the first byte that is no message's.
[[nodiscard]] std::vector<std::string_view> wire_fields(std::string_view message, uint32_t number);

/// The bytes of the last such field; empty: there is none.
[[nodiscard]] std::string_view wire_field(std::string_view message, uint32_t number);

/// The message without its fields of this number that have a length. What is no field's, and all behind it, stays.
[[nodiscard]] std::string without_wire_fields(std::string_view message, uint32_t number);

/// A message that has no fields of this number, its fields in the order of their numbers, with these.
[[nodiscard]] std::string with_wire_fields(std::string_view message, uint32_t number, const std::vector<std::string_view>& fields);

}  // namespace sluice
