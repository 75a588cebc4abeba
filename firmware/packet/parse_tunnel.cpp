// Tunnel headers: each tells its id, and where and what the inner packet is.
#include "packet/headers.h"
#include "packet/parse_steps.h"

namespace sluice::parsing {
namespace {

using namespace parse_flag;

Start cut(Parsed& out) {
  out.tunnel_flags |= kTruncated;
  return Start::kNone;
}
Start broken(Parsed& out) {
  out.tunnel_flags |= kMalformed;
  return Start::kNone;
}
void set_id(Parsed& out, uint32_t id) {
  out.tunnel_id = id;
  out.tunnel_flags |= kHasTunnelId;
}

/// What an EtherType inside a tunnel stands for.
Start carried(uint16_t type) { return type == ethertype::kBridged ? Start::kEthernet : start_of(type); }

/// draft-foschiano-erspan. Type I (no sequence number) has no header of its own.
Start parse_erspan(uint16_t protocol, bool has_sequence, Stretch& s, Parsed& out) {
  out.tunnel = Tunnel::kErspan;
  out.tunnel_flags &= static_cast<uint16_t>(~kHasTunnelId);  // a GRE key is no session
  if (protocol == ethertype::kErspan && !has_sequence) return Start::kEthernet;
  const bool third = protocol == ethertype::kErspan3;
  const uint32_t size = third ? kErspan3Size : kErspan2Size;
  if (s.left() < size) return cut(out);
  if (s.byte(0) >> 4 != (third ? 2 : 1)) return broken(out);
  set_id(out, read_be16(s.here() + 2) & 0x03FFU);
  const unsigned frame_type = third ? (s.byte(10) >> 2) & 0x1FU : 0;
  const uint32_t subheader = third && (s.byte(11) & 1) ? kErspan3SubheaderSize : 0;
  s.at += size;
  if (s.left() < subheader) return cut(out);
  s.at += subheader;
  return frame_type == 0 ? Start::kEthernet : frame_type == 2 ? ip_at(s) : Start::kNone;
}

/// RFC 1701: source route entries, ended by one of address family and length 0.
bool pass_routing(Stretch& s, Parsed& out) {
  for (unsigned depth = 0;; ++depth) {
    if (depth > kMaxExtensionHeaders) {
      out.tunnel_flags |= kTooDeep;
      return false;
    }
    if (s.left() < 4) break;
    const unsigned length = s.byte(3);
    const bool last = read_be16(s.here()) == 0 && length == 0;
    s.at += 4;
    if (last) return true;
    if (s.left() < length) break;
    s.at += length;
  }
  out.tunnel_flags |= kTruncated;
  return false;
}

/// RFC 2637 section 4.1 (PPTP): version 1 carries PPP. Its key is half a payload length; the call id is what names the tunnel.
Start parse_ppp_in_gre(uint16_t flags, Stretch& s, Parsed& out) {
  const bool has_sequence = flags & 0x1000, has_acknowledgement = flags & 0x0080;
  if (!(flags & 0x2000) || read_be16(s.here() + 2) != ethertype::kPpp) return broken(out);
  const uint32_t size = 8U + (has_sequence ? 4 : 0) + (has_acknowledgement ? 4 : 0);
  if (s.left() < size) return cut(out);
  set_id(out, read_be16(s.here() + 6));
  const uint32_t payload = read_be16(s.here() + 4);
  s.at += size;
  if (payload == 0) return Start::kNone;  // an acknowledgement alone
  if (!s.limit(payload)) out.tunnel_flags |= kTruncated;
  // RFC 1661 section 6.5 and 6.6: address and control, and the protocol's first byte, may be left out.
  if (s.left() >= 2 && read_be16(s.here()) == 0xFF03) s.at += 2;
  if (s.left() < 1) return cut(out);
  const bool compressed = s.byte(0) & 1;
  if (!compressed && s.left() < 2) return cut(out);
  const unsigned protocol = compressed ? s.byte(0) : read_be16(s.here());
  s.at += compressed ? 1 : 2;
  return protocol == ppp_protocol::kIpv4 ? Start::kIpv4 : protocol == ppp_protocol::kIpv6 ? Start::kIpv6 : Start::kNone;
}

/// RFC 2784, RFC 2890, RFC 1701.
Start parse_gre(Stretch& s, Parsed& out) {
  out.tunnel = Tunnel::kGre;
  if (s.left() < kGreMinSize) return cut(out);
  const uint16_t flags = read_be16(s.here());
  const bool checksum = flags & 0x8000, routing = flags & 0x4000, key = flags & 0x2000, sequence = flags & 0x1000;
  const unsigned version = flags & 7;
  if (version == 1) return parse_ppp_in_gre(flags, s, out);
  if (version != 0) return broken(out);
  const uint16_t protocol = read_be16(s.here() + 2);
  const uint32_t key_at = kGreMinSize + (checksum || routing ? 4 : 0);
  const uint32_t size = key_at + (key ? 4 : 0) + (sequence ? 4 : 0);
  if (s.left() < size) return cut(out);
  if (key) set_id(out, read_be32(s.here() + key_at));
  s.at += size;
  if (routing && !pass_routing(s, out)) return Start::kNone;
  if (protocol == ethertype::kErspan || protocol == ethertype::kErspan3) return parse_erspan(protocol, sequence, s, out);
  return carried(protocol);
}

/// RFC 7348 section 5.
Start parse_vxlan(Stretch& s, Parsed& out) {
  out.tunnel = Tunnel::kVxlan;
  if (s.left() < kVxlanSize) return cut(out);
  if (!(s.byte(0) & 0x08)) return broken(out);
  set_id(out, read_be32(s.here() + 4) >> 8);
  s.at += kVxlanSize;
  return Start::kEthernet;
}

/// RFC 8926 section 3.4.
Start parse_geneve(Stretch& s, Parsed& out) {
  out.tunnel = Tunnel::kGeneve;
  if (s.left() < kGeneveSize) return cut(out);
  if (s.byte(0) >> 6 != 0) return broken(out);
  const uint32_t options = (s.byte(0) & 0x3FU) * 4;
  const uint16_t protocol = read_be16(s.here() + 2);
  set_id(out, read_be32(s.here() + 4) >> 8);
  s.at += kGeneveSize;
  if (s.left() < options) return cut(out);
  s.at += options;
  return carried(protocol);
}

/// 3GPP TS 29.281 section 5. The port may be a client's by chance: what is not version 1 is no tunnel.
Start parse_gtpu(Stretch& s, Parsed& out) {
  constexpr unsigned kUserData = 255;
  if (s.left() == 0 || s.byte(0) >> 4 != 3) return Start::kNone;  // version 1, protocol type GTP
  out.tunnel = Tunnel::kGtpU;
  if (s.left() < kGtpSize) return cut(out);
  const unsigned flags = s.byte(0), kind = s.byte(1);
  const uint32_t length = read_be16(s.here() + 2);
  set_id(out, read_be32(s.here() + 4));
  s.at += kGtpSize;
  if (!s.limit(length)) out.tunnel_flags |= kTruncated;
  if (flags & 0x07) {
    if (s.left() < kGtpOptionsSize) return length < kGtpOptionsSize ? broken(out) : cut(out);
    unsigned next = flags & 0x04 ? s.byte(3) : 0;
    s.at += kGtpOptionsSize;
    // An extension header: its length in 4 bytes first, the next one's type last (section 5.2).
    for (unsigned depth = 0; next != 0; ++depth) {
      if (depth == kMaxExtensionHeaders) {
        out.tunnel_flags |= kTooDeep;
        return Start::kNone;
      }
      if (s.left() < 1) return cut(out);
      const uint32_t size = s.byte(0) * 4;
      if (size == 0) return broken(out);
      if (s.left() < size) return cut(out);
      next = s.byte(size - 1);
      s.at += size;
    }
  }
  return kind == kUserData ? ip_at(s) : Start::kNone;
}

/// RFC 4380 section 5.1.1: authentication, origin indication, IPv6, in this order. What is none of them is no Teredo packet.
Start parse_teredo(Stretch& s, Parsed& out) {
  const auto is_authentication = [](const Stretch& at) { return at.left() >= 2 && read_be16(at.here()) == 0x0001; };
  const auto is_origin = [](const Stretch& at) { return at.left() >= 2 && read_be16(at.here()) == 0x0000; };
  if (s.left() == 0 || (s.byte(0) >> 4 != 6 && !is_authentication(s) && !is_origin(s))) return Start::kNone;
  out.tunnel = Tunnel::kTeredo;
  if (is_authentication(s)) {
    if (s.left() < 4) return cut(out);
    const uint32_t size = kTeredoAuthenticationMin + s.byte(2) + s.byte(3);
    if (s.left() < size) return cut(out);
    s.at += size;
  }
  if (is_origin(s)) {
    if (s.left() < kTeredoOriginSize) return cut(out);
    s.at += kTeredoOriginSize;
  }
  return Start::kIpv6;
}

/// RFC 4448 section 4.6.
Start parse_pseudowire(Stretch& s, Parsed& out) {
  out.tunnel = Tunnel::kPseudowire;
  if (s.left() < kControlWordSize) return cut(out);
  s.at += kControlWordSize;
  return Start::kEthernet;
}

}  // namespace

Start parse_tunnel(Carries carries, Stretch& s, Parsed& out) {
  const LayerSet& outer = out.outer;
  out.tunnel_offset = static_cast<uint16_t>(s.at);
  const auto is_port = [&outer](uint16_t port) { return outer.dst_port == port || outer.src_port == port; };
  switch (carries) {
    case Carries::kIpProtocol:
      if (outer.ip_protocol == ip_protocol::kGre) return parse_gre(s, out);
      out.tunnel = Tunnel::kIpInIp;
      return outer.ip_protocol == ip_protocol::kIpv4 ? Start::kIpv4 : Start::kIpv6;
    case Carries::kUdp:
      if (outer.dst_port == udp_port::kVxlan) return parse_vxlan(s, out);
      if (outer.dst_port == udp_port::kGeneve) return parse_geneve(s, out);
      if (is_port(udp_port::kGtpU)) return parse_gtpu(s, out);
      if (is_port(udp_port::kTeredo)) return parse_teredo(s, out);
      return Start::kNone;
    case Carries::kPseudowire: return parse_pseudowire(s, out);
    case Carries::kNothing: return Start::kNone;
  }
  return Start::kNone;
}

}  // namespace sluice::parsing
