// Numbers of the wire formats, each with its source.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

inline constexpr uint32_t kEthernetSize = 14;             // IEEE 802.3 section 3.1.1
inline constexpr uint32_t kVlanTagSize = 4;               // IEEE 802.1Q section 9.3
inline constexpr uint32_t kLlcSnapSize = 8;               // IEEE 802 section 9.3, RFC 1042
inline constexpr uint32_t kMplsEntrySize = 4;             // RFC 3032 section 2.1
inline constexpr uint32_t kControlWordSize = 4;           // RFC 4385 section 3
inline constexpr uint32_t kPppoeSize = 6;                 // RFC 2516 section 4
inline constexpr uint32_t kPppProtocolSize = 2;           // RFC 1661 section 2
inline constexpr uint32_t kIpv4MinSize = 20;              // RFC 791 section 3.1
inline constexpr uint32_t kIpv6Size = 40;                 // RFC 8200 section 3
inline constexpr uint32_t kExtensionMinSize = 8;          // RFC 8200 section 4
inline constexpr uint32_t kArpMinSize = 8;                // RFC 826: the fixed part
inline constexpr uint32_t kTcpMinSize = 20;               // RFC 9293 section 3.1
inline constexpr uint32_t kUdpSize = 8;                   // RFC 768
inline constexpr uint32_t kSctpSize = 12;                 // RFC 9260 section 3.1
inline constexpr uint32_t kIcmpSize = 4;                  // RFC 792, RFC 4443: type, code, checksum
inline constexpr uint32_t kGreMinSize = 4;                // RFC 2784 section 2.1
inline constexpr uint32_t kErspan2Size = 8;               // draft-foschiano-erspan section 4.2
inline constexpr uint32_t kErspan3Size = 12;              // the same, section 4.3
inline constexpr uint32_t kErspan3SubheaderSize = 8;      // the same, section 4.3.1
inline constexpr uint32_t kVxlanSize = 8;                 // RFC 7348 section 5
inline constexpr uint32_t kGeneveSize = 8;                // RFC 8926 section 3.4, without options
inline constexpr uint32_t kGtpSize = 8;                   // 3GPP TS 29.281 section 5.1, the mandatory part
inline constexpr uint32_t kGtpOptionsSize = 4;            // the same: sequence, N-PDU number, next extension header type
inline constexpr uint32_t kTeredoOriginSize = 8;          // RFC 4380 section 5.1.1
inline constexpr uint32_t kTeredoAuthenticationMin = 13;  // the same: without client identifier and authentication value

/// RFC 8200 allows any number; nobody sends more, and a bound keeps a hostile chain cheap. The same for GTP's and GRE's chains.
inline constexpr unsigned kMaxExtensionHeaders = 8;

namespace ethertype {
inline constexpr uint16_t kFirst = 0x0600;  // below: an 802.3 length
inline constexpr uint16_t kIpv4 = 0x0800;
inline constexpr uint16_t kArp = 0x0806;
inline constexpr uint16_t kErspan3 = 0x22EB;
inline constexpr uint16_t kBridged = 0x6558;  // "transparent Ethernet bridging"
inline constexpr uint16_t kVlan = 0x8100;     // IEEE 802.1Q customer tag
inline constexpr uint16_t kIpv6 = 0x86DD;
inline constexpr uint16_t kPpp = 0x880B;           // RFC 2637: PPTP
inline constexpr uint16_t kMpls = 0x8847;          // RFC 5332
inline constexpr uint16_t kMplsUpstream = 0x8848;  // RFC 5332
inline constexpr uint16_t kPppoeSession = 0x8864;  // RFC 2516
inline constexpr uint16_t kServiceVlan = 0x88A8;   // IEEE 802.1ad service tag
inline constexpr uint16_t kErspan = 0x88BE;
inline constexpr uint16_t kOldQinq = 0x9100;  // before 802.1ad, still seen
inline constexpr bool is_vlan(uint16_t type) { return type == kVlan || type == kServiceVlan || type == kOldQinq; }
}  // namespace ethertype

namespace ppp_protocol {  // IANA "PPP DLL Protocol Numbers"
inline constexpr uint16_t kIpv4 = 0x0021;
inline constexpr uint16_t kIpv6 = 0x0057;
inline constexpr uint16_t kMpls = 0x0281;
}  // namespace ppp_protocol

namespace ip_protocol {  // IANA "Assigned Internet Protocol Numbers"
inline constexpr uint8_t kHopByHop = 0;
inline constexpr uint8_t kIcmp = 1;
inline constexpr uint8_t kIpv4 = 4;
inline constexpr uint8_t kTcp = 6;
inline constexpr uint8_t kUdp = 17;
inline constexpr uint8_t kIpv6 = 41;
inline constexpr uint8_t kRouting = 43;
inline constexpr uint8_t kFragment = 44;
inline constexpr uint8_t kGre = 47;
inline constexpr uint8_t kAuthentication = 51;
inline constexpr uint8_t kIcmpv6 = 58;
inline constexpr uint8_t kDestination = 60;
inline constexpr uint8_t kSctp = 132;
inline constexpr uint8_t kMobility = 135;  // RFC 6275
inline constexpr uint8_t kHip = 139;       // RFC 7401
inline constexpr uint8_t kShim6 = 140;     // RFC 5533
}  // namespace ip_protocol

namespace udp_port {  // IANA "Service Name and Transport Protocol Port Number Registry"
inline constexpr uint16_t kGtpU = 2152;
inline constexpr uint16_t kTeredo = 3544;
inline constexpr uint16_t kVxlan = 4789;
inline constexpr uint16_t kGeneve = 6081;
}  // namespace udp_port

}  // namespace sluice
