// Sets of a field's values: text of the model to numbers. Errors name the entry and what is expected there.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <bitset>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/classify/match.h"
#include "sluice/v1/config.pb.h"

namespace sluice::compile {

using Texts = google::protobuf::RepeatedPtrField<std::string>;

inline constexpr const char* kPortsInWords = "a port or a range of ports, such as 443 or 8000-8100";
inline constexpr const char* kVlansInWords = "a VLAN id or a range of them, such as 100 or 100-199";
inline constexpr const char* kNumbersInWords = "a number or a range of numbers within the field's bounds";
inline constexpr uint32_t kMaxPort = 65535;
inline constexpr uint32_t kMaxVlan = 4095;

[[nodiscard]] Error bad_entry(std::string_view path, int i, const std::string& value, const char* expected);

[[nodiscard]] Result<Values> addresses_of(const Texts& texts, std::string_view path);
[[nodiscard]] Result<Values> numbers_of(const Texts& texts, std::string_view path, uint32_t max, const char* expected = kNumbersInWords);
/// A mask whose ones come first makes a range, another as many ranges as it has gaps between its ones; beyond 4,096 it is refused.
[[nodiscard]] Result<Values> macs_of(const Texts& texts, std::string_view path);
/// The byte's values that have these flags set and those clear.
[[nodiscard]] Result<Values> tcp_flags_of(const Texts& texts, std::string_view path);
[[nodiscard]] Result<Values> protocols_of(const Texts& texts, std::string_view path);
[[nodiscard]] Result<Values> ethertypes_of(const Texts& texts, std::string_view path);
/// Enums whose numbers are those that the packet has.
[[nodiscard]] Values enumerated(const google::protobuf::RepeatedField<int>& values);
[[nodiscard]] Result<Values> headers_of(const google::protobuf::RepeatedPtrField<v1::Presence>& asked, std::string_view path);
[[nodiscard]] Values slots_of(const std::bitset<128>& ports);

}  // namespace sluice::compile
