// IP and what it carries.
#include <algorithm>

#include "packet/headers.h"
#include "packet/parse_steps.h"

namespace sluice::parsing {
namespace {

using namespace parse_flag;

void read_ports(const Stretch& s, LayerSet& set) {
  set.src_port = read_be16(s.here());
  set.dst_port = read_be16(s.here() + 2);
  set.flags |= kHasPorts;
}

void enter(L4 kind, const Stretch& s, LayerSet& set) {
  set.l4 = kind;
  set.l4_offset = static_cast<uint16_t>(s.at);
}

/// RFC 9293 section 3.1.
void parse_tcp(Stretch& s, LayerSet& set) {
  uint32_t header = kTcpMinSize;
  if (s.left() >= kTcpMinSize) {
    header = s.byte(12) >> 4 << 2;
    if (header < kTcpMinSize) {
      set.flags |= kMalformed;
      header = kTcpMinSize;
    }
  }
  if (header > s.left()) set.flags |= kTruncated;
  if (s.left() < 4) return;
  read_ports(s, set);
  constexpr uint32_t kFlagsAt = 13;
  if (s.left() > kFlagsAt) {
    set.tcp_flags = static_cast<uint8_t>(s.byte(kFlagsAt));
    set.flags |= kHasTcpFlags;
  }
  enter(L4::kTcp, s, set);
  pass(s, std::min(header, s.left()), set);
}

/// RFC 768; a length of 0 is a jumbogram's (RFC 2675 section 4). A first fragment holds less than the length says.
Carries parse_udp(Stretch& s, LayerSet& set) {
  if (s.left() < kUdpSize) set.flags |= kTruncated;
  if (s.left() < 4) return Carries::kNothing;
  read_ports(s, set);
  enter(L4::kUdp, s, set);
  if (s.left() < kUdpSize) {
    pass(s, s.left(), set);
    return Carries::kNothing;
  }
  const uint32_t length = read_be16(s.here() + 4);
  const bool malformed = length != 0 && length < kUdpSize;
  if (malformed) set.flags |= kMalformed;
  else if (length != 0 && !s.limit(length) && set.fragment == Fragment::kWhole) set.flags |= kTruncated;
  pass(s, kUdpSize, set);
  return malformed ? Carries::kNothing : Carries::kUdp;
}

/// RFC 9260 section 3.1.
void parse_sctp(Stretch& s, LayerSet& set) {
  if (s.left() < kSctpSize) set.flags |= kTruncated;
  if (s.left() < 4) return;
  read_ports(s, set);
  enter(L4::kSctp, s, set);
  pass(s, std::min(kSctpSize, s.left()), set);
}

/// RFC 792, RFC 4443.
void parse_icmp(L4 kind, Stretch& s, LayerSet& set) {
  if (s.left() < kIcmpSize) set.flags |= kTruncated;
  if (s.left() < 2) return;
  set.icmp_type = static_cast<uint8_t>(s.byte(0));
  set.icmp_code = static_cast<uint8_t>(s.byte(1));
  set.flags |= kHasIcmpType;
  enter(kind, s, set);
  pass(s, std::min(kIcmpSize, s.left()), set);
}

/// What the IP header, or the last extension header, says comes next. `s` stands there.
Carries parse_upper(Stretch& s, LayerSet& set) {
  switch (set.ip_protocol) {
    case ip_protocol::kTcp: parse_tcp(s, set); break;
    case ip_protocol::kUdp: return parse_udp(s, set);
    case ip_protocol::kSctp: parse_sctp(s, set); break;
    // ICMP belongs to IPv4 and ICMPv6 to IPv6; the other way round the bytes mean nothing.
    case ip_protocol::kIcmp:
      if (set.l3 == L3::kIpv4) parse_icmp(L4::kIcmp, s, set);
      break;
    case ip_protocol::kIcmpv6:
      if (set.l3 == L3::kIpv6) parse_icmp(L4::kIcmpv6, s, set);
      break;
    case ip_protocol::kIpv4:
    case ip_protocol::kIpv6:
    case ip_protocol::kGre: return Carries::kIpProtocol;
    default: break;
  }
  return Carries::kNothing;
}

/// Headers that stand between IP and the upper layer, each with the number of the next one in its first byte.
bool is_extension(uint8_t protocol, bool v6) {
  switch (protocol) {
    case ip_protocol::kAuthentication: return true;
    case ip_protocol::kHopByHop:
    case ip_protocol::kRouting:
    case ip_protocol::kFragment:
    case ip_protocol::kDestination:
    case ip_protocol::kMobility:
    case ip_protocol::kHip:
    case ip_protocol::kShim6: return v6;
    default: return false;
  }
}

/// RFC 8200 section 4, RFC 4302. True: `s` stands at the upper layer, whose protocol is in the set.
bool walk_extensions(uint8_t next, Stretch& s, LayerSet& set) {
  const bool v6 = set.l3 == L3::kIpv6;
  for (unsigned depth = 0; is_extension(next, v6); ++depth) {
    // Behind a later fragment's header stands the middle of the datagram: the extension header is in the first one, and what follows it.
    if (set.fragment == Fragment::kLater) return false;
    if (depth == kMaxExtensionHeaders) {
      set.flags |= kTooDeep;
      return false;
    }
    if (s.left() < kExtensionMinSize) {
      set.flags |= kTruncated;
      return false;
    }
    if (next == ip_protocol::kAuthentication && s.byte(1) < 1) {  // 12 bytes are fixed
      set.flags |= kMalformed;
      return false;
    }
    uint32_t size = kExtensionMinSize;
    Fragment fragment = Fragment::kWhole;
    if (next == ip_protocol::kFragment) {
      const uint16_t field = read_be16(s.here() + 2);
      fragment = field & 0xFFF8 ? Fragment::kLater : field & 1 ? Fragment::kFirst : Fragment::kWhole;
    } else {
      // RFC 4302 section 2.2 counts in 4 bytes less 2, RFC 8200 section 4.3 in 8 bytes less 1.
      size = next == ip_protocol::kAuthentication ? (s.byte(1) + 2) * 4 : (s.byte(1) + 1) * 8;
    }
    if (s.left() < size) {
      set.flags |= kTruncated;
      return false;
    }
    if (fragment != Fragment::kWhole) {
      set.fragment = fragment;
      set.identification = read_be32(s.here() + 4);
    }
    next = static_cast<uint8_t>(s.byte(0));
    pass(s, size, set);
  }
  set.ip_protocol = next;
  set.flags |= kHasProtocol;
  return set.fragment != Fragment::kLater;
}

}  // namespace

Carries parse_ipv4(Stretch& s, LayerSet& set) {
  if (s.left() < kIpv4MinSize) {
    set.flags |= kTruncated;
    return Carries::kNothing;
  }
  const uint32_t header = (s.byte(0) & 0x0FU) * 4;
  if (s.byte(0) >> 4 != 4 || header < kIpv4MinSize) {
    set.flags |= kMalformed;
    return Carries::kNothing;
  }
  set.l3 = L3::kIpv4;
  set.l3_offset = static_cast<uint16_t>(s.at);
  set.ip_protocol = static_cast<uint8_t>(s.byte(9));
  set.flags |= kHasProtocol;
  const uint16_t fragment = read_be16(s.here() + 6);
  set.fragment = fragment & 0x1FFF ? Fragment::kLater : fragment & 0x2000 ? Fragment::kFirst : Fragment::kWhole;
  if (set.fragment != Fragment::kWhole) set.identification = read_be16(s.here() + 4);

  // A total length of 0 is what segmentation offload leaves in captures taken on the sender: up to the frame's end then.
  const uint32_t total = read_be16(s.here() + 2);
  if (total != 0 && total < header) {
    set.flags |= kMalformed;
    pass(s, std::min(header, s.left()), set);
    return Carries::kNothing;
  }
  if (header > s.left() || (total != 0 && !s.limit(total))) set.flags |= kTruncated;
  if (header > s.left()) {
    pass(s, s.left(), set);
    return Carries::kNothing;
  }
  pass(s, header, set);
  if (set.fragment == Fragment::kLater) return Carries::kNothing;
  if (set.ip_protocol == ip_protocol::kAuthentication) {
    set.flags &= static_cast<uint16_t>(~kHasProtocol);
    if (!walk_extensions(ip_protocol::kAuthentication, s, set)) return Carries::kNothing;
  }
  return parse_upper(s, set);
}

Carries parse_ipv6(Stretch& s, LayerSet& set) {
  if (s.left() < kIpv6Size) {
    set.flags |= kTruncated;
    return Carries::kNothing;
  }
  if (s.byte(0) >> 4 != 6) {
    set.flags |= kMalformed;
    return Carries::kNothing;
  }
  set.l3 = L3::kIpv6;
  set.l3_offset = static_cast<uint16_t>(s.at);
  // A payload length of 0 means a jumbogram (RFC 2675) or offload: up to the frame's end.
  const uint32_t payload = read_be16(s.here() + 4);
  if (payload != 0 && !s.limit(kIpv6Size + payload)) set.flags |= kTruncated;
  const auto next = static_cast<uint8_t>(s.byte(6));
  pass(s, kIpv6Size, set);
  return walk_extensions(next, s, set) ? parse_upper(s, set) : Carries::kNothing;
}

}  // namespace sluice::parsing
