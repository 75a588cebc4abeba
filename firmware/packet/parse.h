// What the headers of a packet say. Nothing is read beyond what is proven to be there; what is missing, cut or malformed is
// a fact in the result, and every layer before it stays usable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

/// 802.1Q/802.1ad tags that the parser follows; a deeper stack leaves the rest as payload and sets kTooDeep.
inline constexpr unsigned kMaxVlanTags = 8;

enum class L3 : uint8_t { kNone, kIpv4, kIpv6, kArp };
enum class L4 : uint8_t { kNone, kTcp, kUdp, kIcmp, kIcmpv6 };

/// Which part of a datagram the packet carries (RFC 791 section 3.1, RFC 8200 section 4.5).
enum class Fragment : uint8_t { kWhole, kFirst, kLater };

namespace parse_flag {
inline constexpr uint8_t kTruncated = 1;     ///< a header ends behind the packet's last byte
inline constexpr uint8_t kMalformed = 2;     ///< a length or version field contradicts itself
inline constexpr uint8_t kTooDeep = 4;       ///< more tags or extension headers than the parser follows
inline constexpr uint8_t kHasPorts = 8;      ///< src_port and dst_port were read
inline constexpr uint8_t kHasIcmpType = 16;  ///< icmp_type and icmp_code were read
}  // namespace parse_flag

/// One layer set. Offsets are bytes from the start of the frame and are valid where the layer is not kNone. l3 is kIpv4 or kIpv6 only
/// where the whole fixed header (20 or 40 bytes) is there: its fields may be read in place.
struct Parsed {
  uint16_t ethertype = 0;  ///< behind all tags; below 0x0600 a length (802.3)
  uint16_t l3_offset = 0;
  uint16_t l4_offset = 0;
  uint16_t payload_offset = 0;  ///< behind the innermost header that parsed
  uint16_t src_port = 0;
  uint16_t dst_port = 0;
  L3 l3 = L3::kNone;
  L4 l4 = L4::kNone;
  uint8_t ip_protocol = 0;  ///< behind IPv6 extension headers; valid where l3 is IP and protocol_known
  bool protocol_known = false;
  Fragment fragment = Fragment::kWhole;
  uint8_t flags = 0;  ///< parse_flag
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  uint8_t vlan_count = 0;
  std::array<uint16_t, kMaxVlanTags> vlan_tci{};  ///< outermost first; priority, DEI, id as on the wire

  [[nodiscard]] bool is_ip() const { return l3 == L3::kIpv4 || l3 == L3::kIpv6; }
  [[nodiscard]] bool has(uint8_t flag) const { return (flags & flag) != 0; }
};

/// Parses one packet. Any bytes, any length. Any thread.
[[nodiscard]] Parsed parse(std::span<const std::byte> packet);

struct Burst;
/// Parses every packet of the burst, fetching the next headers while it works on the present ones.
void parse_burst(Burst& burst);

/// The addresses of an IP packet, inside the frame: 4 or 16 bytes each.
struct AddressView {
  const std::byte* src;
  const std::byte* dst;
  unsigned size;
};
/// Requires parsed.is_ip().
[[nodiscard]] AddressView addresses(const std::byte* frame, const Parsed& parsed);

}  // namespace sluice
