#include "packet/parse.h"

#include "base/endian.h"
#include "packet/frame.h"
#include "packet/headers.h"

namespace sluice {
namespace {

using namespace parse_flag;
using Bytes = std::span<const std::byte>;

/// RFC 9293 section 3.1, RFC 768, RFC 792, RFC 4443. `end` is where the IP packet or the frame ends, whichever is first.
void parse_l4(Bytes packet, std::size_t offset, std::size_t end, Parsed& out) {
  const std::byte* at = packet.data() + offset;
  const std::size_t left = end - offset;
  std::size_t header = 0;
  L4 kind = L4::kNone;
  switch (out.ip_protocol) {
    case ip_protocol::kTcp:
      kind = L4::kTcp;
      header = kTcpMinSize;
      break;
    case ip_protocol::kUdp:
      kind = L4::kUdp;
      header = kUdpSize;
      break;
    case ip_protocol::kIcmp:
      kind = L4::kIcmp;
      header = kIcmpSize;
      break;
    case ip_protocol::kIcmpv6:
      kind = L4::kIcmpv6;
      header = kIcmpSize;
      break;
    default: return;
  }
  // ICMP belongs to IPv4 and ICMPv6 to IPv6; the other way round the bytes mean nothing.
  if ((kind == L4::kIcmp && out.l3 != L3::kIpv4) || (kind == L4::kIcmpv6 && out.l3 != L3::kIpv6)) return;
  if (left < header) out.flags |= kTruncated;
  if (kind == L4::kTcp || kind == L4::kUdp) {
    if (left < 4) return;
    out.src_port = read_be16(at);
    out.dst_port = read_be16(at + 2);
    out.flags |= kHasPorts;
    if (kind == L4::kTcp && left >= kTcpMinSize) {
      header = static_cast<std::size_t>(std::to_integer<unsigned>(at[12]) >> 4) * 4;
      if (header < kTcpMinSize) out.flags |= kMalformed, header = kTcpMinSize;
      if (header > left) out.flags |= kTruncated;
    }
  } else {
    if (left < 2) return;
    out.icmp_type = std::to_integer<uint8_t>(at[0]);
    out.icmp_code = std::to_integer<uint8_t>(at[1]);
    out.flags |= kHasIcmpType;
  }
  out.l4 = kind;
  out.l4_offset = static_cast<uint16_t>(offset);
  out.payload_offset = static_cast<uint16_t>(offset + (header < left ? header : left));
}

/// RFC 791 section 3.1.
void parse_ipv4(Bytes packet, std::size_t offset, Parsed& out) {
  const std::byte* at = packet.data() + offset;
  const std::size_t left = packet.size() - offset;
  if (left < kIpv4MinSize) {
    out.flags |= kTruncated;
    return;
  }
  const unsigned first = std::to_integer<unsigned>(at[0]);
  const std::size_t header = static_cast<std::size_t>(first & 0x0F) * 4;
  if (first >> 4 != 4 || header < kIpv4MinSize) {
    out.flags |= kMalformed;
    return;
  }
  out.l3 = L3::kIpv4;
  out.l3_offset = static_cast<uint16_t>(offset);
  out.ip_protocol = std::to_integer<uint8_t>(at[9]);
  out.protocol_known = true;
  out.payload_offset = static_cast<uint16_t>(offset + (header < left ? header : left));
  const uint16_t fragment = read_be16(at + 6);
  if (fragment & 0x1FFF) out.fragment = Fragment::kLater;
  else if (fragment & 0x2000) out.fragment = Fragment::kFirst;

  // A total length of 0 is what segmentation offload leaves in captures taken on the sender: up to the frame's end then.
  const std::size_t total = read_be16(at + 2) ? read_be16(at + 2) : left;
  if (total < header) {
    out.flags |= kMalformed;
    return;
  }
  if (header > left) {
    out.flags |= kTruncated;
    return;
  }
  if (total > left) out.flags |= kTruncated;
  if (out.fragment != Fragment::kLater) parse_l4(packet, offset + header, offset + (total < left ? total : left), out);
}

/// RFC 8200 sections 3 and 4; the extension headers that stand before the upper layer.
void parse_ipv6(Bytes packet, std::size_t offset, Parsed& out) {
  const std::byte* at = packet.data() + offset;
  const std::size_t left = packet.size() - offset;
  if (left < kIpv6Size) {
    out.flags |= kTruncated;
    return;
  }
  if (std::to_integer<unsigned>(at[0]) >> 4 != 6) {
    out.flags |= kMalformed;
    return;
  }
  out.l3 = L3::kIpv6;
  out.l3_offset = static_cast<uint16_t>(offset);
  // A payload length of 0 means a jumbogram (RFC 2675) or offload: up to the frame's end.
  const std::size_t payload = read_be16(at + 4);
  std::size_t end = packet.size();
  if (payload != 0) {
    if (kIpv6Size + payload > left) out.flags |= kTruncated;
    else end = offset + kIpv6Size + payload;
  }
  uint8_t next = std::to_integer<uint8_t>(at[6]);
  std::size_t position = offset + kIpv6Size;
  out.payload_offset = static_cast<uint16_t>(position);
  for (unsigned depth = 0;; ++depth) {
    const bool options = next == ip_protocol::kHopByHop || next == ip_protocol::kRouting || next == ip_protocol::kDestination;
    const bool fragment = next == ip_protocol::kFragment;
    const bool authentication = next == ip_protocol::kAuthentication;
    if (!options && !fragment && !authentication) break;
    if (depth == kMaxExtensionHeaders) {
      out.flags |= kTooDeep;
      return;
    }
    if (position + kExtensionMinSize > end) {
      out.flags |= kTruncated;
      return;
    }
    const std::byte* extension = packet.data() + position;
    std::size_t size = kExtensionMinSize;
    if (fragment) {
      const uint16_t field = read_be16(extension + 2);
      if (field & 0xFFF8) out.fragment = Fragment::kLater;
      else if (field & 1) out.fragment = Fragment::kFirst;
    } else {
      // RFC 4302 section 2.2 counts in 4 bytes less 2, RFC 8200 section 4.3 in 8 bytes less 1.
      const std::size_t length = std::to_integer<std::size_t>(extension[1]);
      size = authentication ? (length + 2) * 4 : (length + 1) * 8;
    }
    next = std::to_integer<uint8_t>(extension[0]);
    if (position + size > end) {
      out.flags |= kTruncated;
      return;
    }
    position += size;
    out.payload_offset = static_cast<uint16_t>(position);
    // Behind a later fragment's header stands the middle of the datagram, whatever `next` says.
    if (out.fragment == Fragment::kLater) break;
  }
  out.ip_protocol = next;
  out.protocol_known = true;
  if (out.fragment != Fragment::kLater) parse_l4(packet, position, end, out);
}

}  // namespace

Parsed parse(Bytes packet) {
  Parsed out;
  if (packet.size() < kEthernetSize) {
    out.flags = kTruncated;
    return out;
  }
  std::size_t offset = kEthernetSize;
  uint16_t type = read_be16(packet.data() + 12);
  while (ethertype::is_vlan(type)) {
    if (out.vlan_count == kMaxVlanTags) {
      out.flags |= kTooDeep;
      break;
    }
    if (packet.size() < offset + kVlanTagSize) {
      out.flags |= kTruncated;
      break;
    }
    out.vlan_tci[out.vlan_count++] = read_be16(packet.data() + offset);
    type = read_be16(packet.data() + offset + 2);
    offset += kVlanTagSize;
  }
  out.ethertype = type;
  out.payload_offset = static_cast<uint16_t>(offset);
  switch (type) {
    case ethertype::kIpv4: parse_ipv4(packet, offset, out); break;
    case ethertype::kIpv6: parse_ipv6(packet, offset, out); break;
    case ethertype::kArp:
      if (packet.size() < offset + kArpMinSize) {
        out.flags |= kTruncated;
      } else {
        out.l3 = L3::kArp;
        out.l3_offset = static_cast<uint16_t>(offset);
      }
      break;
    default: break;
  }
  return out;
}

void parse_burst(Burst& burst) {
  constexpr unsigned kAhead = 4;  // headers of the packet after the next ones are on their way while one is parsed
  for (unsigned i = 0; i < burst.size; ++i) {
    if (i + kAhead < burst.size) __builtin_prefetch(burst.frames[i + kAhead].data);
    burst.parsed[i] = parse({burst.frames[i].data, burst.frames[i].length});
  }
}

AddressView addresses(const std::byte* frame, const Parsed& parsed) {
  const std::byte* ip = frame + parsed.l3_offset;
  if (parsed.l3 == L3::kIpv4) return {ip + 12, ip + 16, 4};
  return {ip + 8, ip + 24, 16};
}

}  // namespace sluice
