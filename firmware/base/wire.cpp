#include "base/wire.h"

#include <optional>

namespace sluice {
namespace {

constexpr unsigned kLongest = 10, kLongestOfSmall = 5;  // bytes; tags and sizes have 32 bits

std::optional<uint64_t> take_varint(std::string_view& from, unsigned longest) {
  uint64_t out = 0;
  for (unsigned i = 0; i < longest && i < from.size(); ++i) {
    const auto byte = static_cast<uint8_t>(from[i]);
    out |= uint64_t{byte & 0x7FU} << 7 * i;
    if (byte < 0x80) {
      from.remove_prefix(i + 1);
      return out;
    }
  }
  return std::nullopt;
}

void put_varint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to.push_back(static_cast<char>(value | 0x80));
  to.push_back(static_cast<char>(value));
}

enum Type : uint64_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

struct WireField {
  uint64_t tag;
  std::string_view bytes;  ///< of what has a length
};
/// Nothing: no field begins there.
std::optional<WireField> take_field(std::string_view& from) {
  const auto tag = take_varint(from, kLongestOfSmall);
  if (!tag || *tag > UINT32_MAX) return std::nullopt;
  std::optional<uint64_t> size = 0;
  switch (*tag & 7) {
    case kVarint: size = take_varint(from, kLongest) ? std::optional<uint64_t>(0) : std::nullopt; break;
    case kFixed64: size = 8; break;
    case kLength: size = take_varint(from, kLongestOfSmall); break;
    case kFixed32: size = 4; break;
    default: return std::nullopt;  // groups, which no message of ours has
  }
  if (!size || *size > from.size()) return std::nullopt;
  const WireField out{*tag, from.substr(0, *size)};
  from.remove_prefix(*size);
  return out;
}

}  // namespace

std::vector<std::string_view> wire_fields(std::string_view message, uint32_t number) {
  std::vector<std::string_view> out;
  while (!message.empty()) {
    const auto field = take_field(message);
    if (!field) return out;
    if (field->tag == (uint64_t{number} << 3 | kLength)) out.push_back(field->bytes);
  }
  return out;
}

std::string_view wire_field(std::string_view message, uint32_t number) {
  std::string_view out;
  while (!message.empty()) {
    const auto field = take_field(message);
    if (!field) return out;
    if (field->tag == (uint64_t{number} << 3 | kLength)) out = field->bytes;
  }
  return out;
}

std::string without_wire_fields(std::string_view message, uint32_t number) {
  std::string out;
  std::string_view rest = message;
  while (!rest.empty()) {
    const std::string_view here = rest;
    const auto field = take_field(rest);
    if (!field) return out += here;
    if (field->tag != (uint64_t{number} << 3 | kLength)) out += here.substr(0, here.size() - rest.size());
  }
  return out;
}

std::string with_wire_fields(std::string_view message, uint32_t number, const std::vector<std::string_view>& fields) {
  std::string_view behind = message;
  while (!behind.empty()) {
    std::string_view next = behind;
    if (const auto field = take_field(next); !field || field->tag >> 3 > number) break;
    behind = next;
  }
  std::size_t size = message.size();
  for (const auto field : fields) size += 2 * kLongestOfSmall + field.size();
  std::string out;
  out.reserve(size);
  out += message.substr(0, message.size() - behind.size());
  for (const auto field : fields) {
    put_varint(out, uint64_t{number} << 3 | kLength);
    put_varint(out, field.size());
    out += field;
  }
  out += behind;
  return out;
}

}  // namespace sluice
