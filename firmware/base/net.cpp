#include "base/net.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstdio>

namespace sluice {
namespace {

std::optional<uint32_t> parse_number(std::string_view text, uint32_t max) {
  uint32_t value = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, failed] = std::from_chars(text.data(), end, value);
  if (text.empty() || failed != std::errc{} || stop != end || value > max) return std::nullopt;
  return value;
}

}  // namespace

std::optional<IpAddress> parse_address(std::string_view text) {
  const std::string zero_terminated(text);
  if (zero_terminated.find('\0') != std::string::npos) return std::nullopt;  // inet_pton() would not see what stands behind it
  IpAddress address;
  if (inet_pton(AF_INET, zero_terminated.c_str(), address.bytes.data()) == 1) return address;
  if (inet_pton(AF_INET6, zero_terminated.c_str(), address.bytes.data()) == 1) {
    address.version = 6;
    return address;
  }
  return std::nullopt;
}

std::string to_string(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.version == 4 ? AF_INET : AF_INET6, address.bytes.data(), text.data(), text.size());
  return text.data();
}

std::optional<Prefix> parse_prefix(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned bits = address->version == 4 ? 32 : 128;
  unsigned length = bits;
  if (slash != std::string_view::npos) {
    const auto given = parse_number(text.substr(slash + 1), bits);
    if (!given) return std::nullopt;
    length = *given;
  }
  for (unsigned bit = length; bit < bits; ++bit)
    if (address->bytes[bit / 8] & (0x80U >> (bit % 8))) return std::nullopt;
  return Prefix{*address, static_cast<uint8_t>(length)};
}

std::optional<Range> parse_range(std::string_view text, uint32_t max) {
  const auto dash = text.find('-');
  const auto from = parse_number(text.substr(0, dash), max);
  if (!from) return std::nullopt;
  if (dash == std::string_view::npos) return Range{*from, *from};
  const auto to = parse_number(text.substr(dash + 1), max);
  if (!to || *to < *from) return std::nullopt;
  return Range{*from, *to};
}

std::optional<Mac> parse_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  Mac mac{};
  for (unsigned i = 0; i < 6; ++i) {
    const char* at = text.data() + i * 3;
    const auto [stop, failed] = std::from_chars(at, at + 2, mac[i], 16);
    if (failed != std::errc{} || stop != at + 2 || (i < 5 && at[2] != ':')) return std::nullopt;
  }
  return mac;
}

std::string to_string(const Mac& m) {
  std::array<char, 18> text{};
  std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
  return text.data();
}

std::optional<uint8_t> parse_protocol(std::string_view text) {
  struct Known {
    std::string_view name;
    uint8_t number;
  };
  // IANA "Assigned Internet Protocol Numbers".
  static constexpr std::array kKnown{
      Known{"tcp", 6},  Known{"udp", 17}, Known{"icmp", 1},  Known{"icmp6", 58}, Known{"sctp", 132}, Known{"gre", 47},
      Known{"esp", 50}, Known{"ah", 51},  Known{"ospf", 89}, Known{"igmp", 2},   Known{"pim", 103},
  };
  for (const auto& k : kKnown)
    if (k.name == text) return k.number;
  const auto number = parse_number(text, 255);
  if (!number) return std::nullopt;
  return static_cast<uint8_t>(*number);
}

}  // namespace sluice
