// Addresses, prefixes, number ranges: their values and the text that people write for them. One place for both directions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// IPv4 or IPv6 address; IPv4 in the first four bytes. Network byte order.
struct IpAddress {
  uint8_t version = 4;
  std::array<uint8_t, 16> bytes{};
};

/// An address and how many of its leading bits count (0-32 or 0-128). Bits behind them are zero.
struct Prefix {
  IpAddress address;
  uint8_t length = 0;
};

/// Closed range of numbers.
struct Range {
  uint32_t from = 0;
  uint32_t to = 0;
};

using Mac = std::array<uint8_t, 6>;

/// "192.0.2.1", "2001:db8::1". No zone, no brackets.
[[nodiscard]] std::optional<IpAddress> parse_address(std::string_view text);
[[nodiscard]] std::string to_string(const IpAddress& address);
/// "10.0.0.0/8", "2001:db8::/32", or an address alone for the one host. Refuses host bits behind the length.
[[nodiscard]] std::optional<Prefix> parse_prefix(std::string_view text);
/// "80" or "8000-8100" with from <= to <= max. Decimal digits only.
[[nodiscard]] std::optional<Range> parse_range(std::string_view text, uint32_t max);
/// "02:00:00:00:00:01".
[[nodiscard]] std::optional<Mac> parse_mac(std::string_view text);
[[nodiscard]] std::string to_string(const Mac& mac);
/// A decimal number or the usual name (tcp, udp, icmp6 ...) of an IP protocol.
[[nodiscard]] std::optional<uint8_t> parse_protocol(std::string_view text);

}  // namespace sluice
