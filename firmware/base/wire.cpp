#include "base/wire.h"

#include <optional>

namespace sluice {
namespace {

std::optional<uint64_t> take_varint(std::string_view& from) {
  uint64_t out = 0;
  for (unsigned i = 0; i < 10 && i < from.size(); ++i) {
    const auto byte = static_cast<uint8_t>(from[i]);
    out |= uint64_t{byte & 0x7FU} << 7 * i;
    if (byte < 0x80) {
      from.remove_prefix(i + 1);
      return out;
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string_view> wire_fields(std::string_view message, uint32_t number) {
  enum Type : uint64_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };
  std::vector<std::string_view> out;
  while (!message.empty()) {
    const auto tag = take_varint(message);
    if (!tag) return out;
    std::optional<uint64_t> size = 0;
    switch (*tag & 7) {
      case kVarint: size = take_varint(message) ? std::optional<uint64_t>(0) : std::nullopt; break;
      case kFixed64: size = 8; break;
      case kLength: size = take_varint(message); break;
      case kFixed32: size = 4; break;
      default: return out;  // groups, which no message of ours has
    }
    if (!size || *size > message.size()) return out;
    if (*tag == (uint64_t{number} << 3 | kLength)) out.push_back(message.substr(0, *size));
    message.remove_prefix(*size);
  }
  return out;
}

}  // namespace sluice
