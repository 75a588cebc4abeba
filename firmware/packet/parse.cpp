#include "packet/parse.h"

#include <algorithm>

#include "packet/frame.h"
#include "packet/headers.h"
#include "packet/parse_steps.h"

namespace sluice {
namespace parsing {
namespace {

using namespace parse_flag;

/// Offsets are 16 bits: headers behind this many bytes are not looked for. No length field of a header chain that the parser follows
/// reaches so far.
constexpr std::size_t kMaxParsed = 0xFFFF;

/// IEEE 802.2 and RFC 1042: behind a length stand LLC and perhaps SNAP, which has an EtherType again.
Start parse_llc(uint32_t length, Stretch& s, LayerSet& set) {
  if (!s.limit(length)) set.flags |= kTruncated;
  if (s.left() < 3) {
    set.flags |= kTruncated;
    return Start::kNone;
  }
  if (read_be16(s.here()) != 0xAAAA || s.byte(2) != 0x03) return Start::kNone;
  if (s.left() < kLlcSnapSize) {
    set.flags |= kTruncated;
    return Start::kNone;
  }
  if (s.byte(3) != 0 || read_be16(s.here() + 4) != 0) return Start::kNone;  // a vendor's own protocols
  set.ethertype = read_be16(s.here() + 6);
  pass(s, kLlcSnapSize, set);
  return start_of(set.ethertype);
}

Start parse_ethernet(Stretch& s, LayerSet& set) {
  if (s.left() < kEthernetSize) {
    set.flags |= kTruncated;
    return Start::kNone;
  }
  set.flags |= kHasEthernet;
  set.l2_offset = static_cast<uint16_t>(s.at);
  uint16_t type = read_be16(s.here() + 12);
  s.at += kEthernetSize;
  while (ethertype::is_vlan(type)) {
    if (set.vlan_count == kMaxVlanTags) {
      set.flags |= kTooDeep;
      break;
    }
    if (s.left() < kVlanTagSize) {
      set.flags |= kTruncated;
      break;
    }
    ++set.vlan_count;
    type = read_be16(s.here() + 2);
    s.at += kVlanTagSize;
  }
  set.ethertype = type;
  set.payload_offset = static_cast<uint16_t>(s.at);
  if (type < ethertype::kFirst) return parse_llc(type, s, set);
  return start_of(type);
}

/// RFC 3032. What stands behind the last label is known by convention alone: the version nibble of IP, or 0 for a pseudowire's control
/// word (RFC 4385 section 3). A pseudowire without one can't be told from other payload.
Start parse_mpls(Stretch& s, LayerSet& set, Carries& carries) {
  set.mpls_offset = static_cast<uint16_t>(s.at);
  for (bool bottom = false; !bottom; ++set.mpls_count) {
    if (set.mpls_count == kMaxMplsLabels) {
      set.flags |= kTooDeep;
      return Start::kNone;
    }
    if (s.left() < kMplsEntrySize) {
      set.flags |= kTruncated;
      return Start::kNone;
    }
    bottom = (s.byte(2) & 1) != 0;
    pass(s, kMplsEntrySize, set);
  }
  if (s.left() == 0) return Start::kNone;
  switch (s.byte(0) >> 4) {
    case 0: carries = Carries::kPseudowire; return Start::kNone;
    case 4: return Start::kIpv4;
    case 6: return Start::kIpv6;
    default: return Start::kNone;
  }
}

/// RFC 2516 section 4 and the PPP protocol number behind it.
Start parse_pppoe(Stretch& s, LayerSet& set) {
  if (s.left() < kPppoeSize) {
    set.flags |= kTruncated;
    return Start::kNone;
  }
  if (s.byte(0) != 0x11 || s.byte(1) != 0) {
    set.flags |= kMalformed;
    return Start::kNone;
  }
  set.pppoe_session = read_be16(s.here() + 2);
  set.flags |= kHasPppoe;
  const uint32_t length = read_be16(s.here() + 4);
  pass(s, kPppoeSize, set);
  if (!s.limit(length)) set.flags |= kTruncated;
  if (s.left() < kPppProtocolSize) {
    set.flags |= length < kPppProtocolSize ? kMalformed : kTruncated;
    return Start::kNone;
  }
  const uint16_t protocol = read_be16(s.here());
  pass(s, kPppProtocolSize, set);
  switch (protocol) {
    case ppp_protocol::kIpv4: return Start::kIpv4;
    case ppp_protocol::kIpv6: return Start::kIpv6;
    case ppp_protocol::kMpls: return Start::kMpls;
    default: return Start::kNone;
  }
}

/// RFC 826: both ends' hardware and protocol addresses, in the lengths that the fixed part tells.
void parse_arp(Stretch& s, LayerSet& set) {
  if (s.left() < kArpMinSize) {
    set.flags |= kTruncated;
    return;
  }
  set.l3 = L3::kArp;
  set.l3_offset = static_cast<uint16_t>(s.at);
  const uint32_t header = kArpMinSize + 2 * (s.byte(4) + s.byte(5));
  if (header > s.left()) set.flags |= kTruncated;
  pass(s, std::min(header, s.left()), set);
}

}  // namespace

Start start_of(uint16_t type) {
  switch (type) {
    case ethertype::kIpv4: return Start::kIpv4;
    case ethertype::kIpv6: return Start::kIpv6;
    case ethertype::kArp: return Start::kArp;
    case ethertype::kMpls:
    case ethertype::kMplsUpstream: return Start::kMpls;
    case ethertype::kPppoeSession: return Start::kPppoe;
    default: return Start::kNone;
  }
}

Carries parse_layers(Start start, Stretch& s, LayerSet& set) {
  set.payload_offset = static_cast<uint16_t>(s.at);
  Carries carries = Carries::kNothing;
  if (start == Start::kEthernet) start = parse_ethernet(s, set);
  if (start == Start::kPppoe) start = parse_pppoe(s, set);
  if (start == Start::kMpls) start = parse_mpls(s, set, carries);
  switch (start) {
    case Start::kIpv4: return parse_ipv4(s, set);
    case Start::kIpv6: return parse_ipv6(s, set);
    case Start::kArp: parse_arp(s, set); return carries;
    default: return carries;
  }
}

}  // namespace parsing

void parse(std::span<const std::byte> packet, std::size_t length, Parsed& out) {
  out = {};
  const auto here = static_cast<uint32_t>(std::min(packet.size(), parsing::kMaxParsed));
  parsing::Stretch s{packet.data(), 0, here, static_cast<uint32_t>(length) - here};
  const auto carries = parsing::parse_layers(parsing::Start::kEthernet, s, out.outer);
  if (carries == parsing::Carries::kNothing) return;
  const auto start = parsing::parse_tunnel(carries, s, out);
  if (start == parsing::Start::kNone) return;
  if (s.left() == 0) {
    out.tunnel_flags |= parse_flag::kTruncated;
    return;
  }
  out.has_inner = true;
  parsing::parse_layers(start, s, out.inner);
}

void parse_burst(Burst& burst) {
  constexpr unsigned kAhead = 4;  // headers of the packet after the next ones are on their way while one is parsed
  for (unsigned i = 0; i < burst.size; ++i) {
    if (i + kAhead < burst.size) __builtin_prefetch(burst.frames[i + kAhead].data);
    parse({burst.frames[i].data, burst.frames[i].length}, burst.lengths[i], burst.parsed[i]);
  }
}

AddressView addresses(const std::byte* frame, const LayerSet& set) {
  const std::byte* ip = frame + set.l3_offset;
  if (set.l3 == L3::kIpv4) return {ip + 12, ip + 16, 4};
  return {ip + 8, ip + 24, 16};
}

uint16_t vlan_tci(const std::byte* frame, const LayerSet& set, unsigned i) {
  return read_be16(frame + set.l2_offset + kEthernetSize + kVlanTagSize * i);
}

uint32_t mpls_entry(const std::byte* frame, const LayerSet& set, unsigned i) {
  return read_be32(frame + set.mpls_offset + kMplsEntrySize * i);
}

}  // namespace sluice
