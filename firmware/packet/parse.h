// What the headers of a packet say: the outer layer set, and behind a tunnel header the inner one. Nothing is read beyond what is
// proven to be there; what is missing, cut or malformed is a fact in the result, and every layer before it stays usable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

/// 802.1Q/802.1ad tags that the parser follows; a deeper stack leaves the rest as payload and sets kTooDeep.
inline constexpr unsigned kMaxVlanTags = 8;
/// MPLS labels that the parser follows.
inline constexpr unsigned kMaxMplsLabels = 16;

enum class L3 : uint8_t { kNone, kIpv4, kIpv6, kArp };
enum class L4 : uint8_t { kNone, kTcp, kUdp, kSctp, kIcmp, kIcmpv6 };

/// Which part of a datagram the packet carries (RFC 791 section 3.1, RFC 8200 section 4.5).
enum class Fragment : uint8_t { kWhole, kFirst, kLater };

/// What carries the inner layer set. A pseudowire is Ethernet behind an MPLS stack and a control word (RFC 4448 section 4.6).
enum class Tunnel : uint8_t { kNone, kGre, kErspan, kVxlan, kGeneve, kGtpU, kIpInIp, kTeredo, kPseudowire };

namespace parse_flag {
inline constexpr uint16_t kTruncated = 1;      ///< a header ends behind the packet's last byte, or a length field points there
inline constexpr uint16_t kMalformed = 2;      ///< a length or version field contradicts itself
inline constexpr uint16_t kTooDeep = 4;        ///< more tags, labels or extension headers than the parser follows
inline constexpr uint16_t kHasEthernet = 8;    ///< the set begins with an Ethernet header, at l2_offset
inline constexpr uint16_t kHasProtocol = 16;   ///< ip_protocol was read
inline constexpr uint16_t kHasPorts = 32;      ///< src_port and dst_port were read
inline constexpr uint16_t kHasIcmpType = 64;   ///< icmp_type and icmp_code were read
inline constexpr uint16_t kHasPppoe = 128;     ///< pppoe_session was read: a PPPoE session packet
inline constexpr uint16_t kHasTunnelId = 256;  ///< of Parsed::tunnel_flags: tunnel_id was read
inline constexpr uint16_t kHasTcpFlags = 512;  ///< tcp_flags was read
}  // namespace parse_flag

/// One layer set. Offsets are bytes from the start of the frame and are valid where the layer is not kNone or absent. l3 is kIpv4 or
/// kIpv6 only where the whole fixed header (20 or 40 bytes) is there: its fields may be read in place.
struct LayerSet {
  uint32_t identification = 0;  ///< of a fragmented datagram, where fragment is not kWhole
  uint16_t ethertype = 0;       ///< what stands behind all tags (and behind SNAP); below 0x0600: a length (802.3), no type; 0: no Ethernet
  uint16_t l2_offset = 0;       ///< with kHasEthernet; 14 bytes and the tags behind them are proven
  uint16_t mpls_offset = 0;     ///< first label, where mpls_count > 0
  uint16_t l3_offset = 0;
  uint16_t l4_offset = 0;
  uint16_t payload_offset = 0;  ///< behind the innermost header of this set that parsed: a tunnel header is payload of the outer set
  uint16_t src_port = 0;        ///< TCP, UDP, SCTP
  uint16_t dst_port = 0;
  uint16_t pppoe_session = 0;
  uint16_t flags = 0;  ///< parse_flag
  L3 l3 = L3::kNone;
  L4 l4 = L4::kNone;
  Fragment fragment = Fragment::kWhole;
  uint8_t ip_protocol = 0;  ///< behind IPv6 extension headers and AH, with kHasProtocol
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  uint8_t tcp_flags = 0;  ///< FIN is 1, CWR is 128 (RFC 9293 section 3.1)
  uint8_t vlan_count = 0;
  uint8_t mpls_count = 0;

  [[nodiscard]] bool is_ip() const { return l3 == L3::kIpv4 || l3 == L3::kIpv6; }
  [[nodiscard]] bool has(uint16_t flag) const { return (flags & flag) != 0; }
};

struct Parsed {
  LayerSet outer;
  LayerSet inner;              ///< valid where has_inner
  uint32_t tunnel_id = 0;      ///< GRE key, ERSPAN session, VNI or TEID, with kHasTunnelId
  uint16_t tunnel_offset = 0;  ///< first byte of the tunnel header, where tunnel is not kNone; of the inner header for IP in IP
  uint16_t tunnel_flags = 0;   ///< kTruncated, kMalformed, kTooDeep of the tunnel header itself; kHasTunnelId
  Tunnel tunnel = Tunnel::kNone;
  bool has_inner =
      false;  ///< the tunnel carries a packet of which at least the first byte is there. One level: what it tunnels in turn is payload
};

/// Parses one packet of `length` bytes, of which the first ones are here: all of them, or what its first frame holds. Any bytes, any
/// length. Any thread. An IPv4 total length, IPv6 payload length or UDP length of 0 is taken for what segmentation offload and jumbograms
/// leave there: up to the frame's end, and no fault.
void parse(std::span<const std::byte> packet, std::size_t length, Parsed& out);
[[nodiscard]] inline Parsed parse(std::span<const std::byte> packet) {
  Parsed out;
  parse(packet, packet.size(), out);
  return out;
}

struct Burst;
/// Parses every packet of the burst, fetching the next headers while it works on the present ones.
void parse_burst(Burst& burst);

/// The addresses of an IP packet, inside the frame: 4 or 16 bytes each.
struct AddressView {
  const std::byte* src;
  const std::byte* dst;
  unsigned size;
};
/// Requires set.is_ip().
[[nodiscard]] AddressView addresses(const std::byte* frame, const LayerSet& set);
/// Tag control information of a tag, 0 the outermost: priority, DEI and id as on the wire. Requires i < set.vlan_count.
[[nodiscard]] uint16_t vlan_tci(const std::byte* frame, const LayerSet& set, unsigned i);
/// Label stack entry, 0 the outermost: label (20 bits), traffic class, bottom of stack, TTL (RFC 3032 section 2.1). Requires i <
/// set.mpls_count.
[[nodiscard]] uint32_t mpls_entry(const std::byte* frame, const LayerSet& set, unsigned i);

}  // namespace sluice
