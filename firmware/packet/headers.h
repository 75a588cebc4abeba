// Numbers of the wire formats, each with its source.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

inline constexpr std::size_t kEthernetSize = 14;     // IEEE 802.3 section 3.1.1
inline constexpr std::size_t kVlanTagSize = 4;       // IEEE 802.1Q section 9.3
inline constexpr std::size_t kIpv4MinSize = 20;      // RFC 791 section 3.1
inline constexpr std::size_t kIpv6Size = 40;         // RFC 8200 section 3
inline constexpr std::size_t kExtensionMinSize = 8;  // RFC 8200 section 4
inline constexpr std::size_t kArpMinSize = 8;        // RFC 826: the fixed part
inline constexpr std::size_t kTcpMinSize = 20;       // RFC 9293 section 3.1
inline constexpr std::size_t kUdpSize = 8;           // RFC 768
inline constexpr std::size_t kIcmpSize = 4;          // RFC 792, RFC 4443: type, code, checksum
/// RFC 8200 allows any number; nobody sends more, and a bound keeps a hostile chain cheap.
inline constexpr unsigned kMaxExtensionHeaders = 8;

namespace ethertype {
inline constexpr uint16_t kIpv4 = 0x0800;
inline constexpr uint16_t kArp = 0x0806;
inline constexpr uint16_t kVlan = 0x8100;         // IEEE 802.1Q customer tag
inline constexpr uint16_t kServiceVlan = 0x88A8;  // IEEE 802.1ad service tag
inline constexpr uint16_t kOldQinq = 0x9100;      // before 802.1ad, still seen
inline constexpr uint16_t kIpv6 = 0x86DD;
inline constexpr bool is_vlan(uint16_t type) { return type == kVlan || type == kServiceVlan || type == kOldQinq; }
}  // namespace ethertype

namespace ip_protocol {  // IANA "Assigned Internet Protocol Numbers"
inline constexpr uint8_t kHopByHop = 0;
inline constexpr uint8_t kIcmp = 1;
inline constexpr uint8_t kTcp = 6;
inline constexpr uint8_t kUdp = 17;
inline constexpr uint8_t kRouting = 43;
inline constexpr uint8_t kFragment = 44;
inline constexpr uint8_t kAuthentication = 51;
inline constexpr uint8_t kIcmpv6 = 58;
inline constexpr uint8_t kDestination = 60;
}  // namespace ip_protocol

}  // namespace sluice
