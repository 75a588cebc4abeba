#include "engine/classify/match.h"

#include <algorithm>
#include <array>

#include "base/endian.h"

namespace sluice {
namespace {

Key read_key(const std::byte* from, unsigned size) {
  Key key = 0;
  for (unsigned i = 0; i < size; ++i) key = key << 8 | std::to_integer<uint8_t>(from[i]);
  return key;
}

constexpr unsigned kMacSize = 6;
constexpr uint16_t kLowestEtherType = 0x0600;  // IEEE 802.3: below, it is a length

unsigned headers_of(const Parsed& parsed, bool inner) {
  const LayerSet& set = inner ? parsed.inner : parsed.outer;
  constexpr std::array<unsigned, 4> kL3{0, presence::kIpv4, presence::kIpv6, presence::kArp};
  constexpr std::array<unsigned, 6> kL4{0, presence::kTcp, presence::kUdp, presence::kSctp, presence::kIcmp, presence::kIcmpv6};
  unsigned headers = kL3[static_cast<unsigned>(set.l3)] | kL4[static_cast<unsigned>(set.l4)];
  if (set.vlan_count > 0) headers |= presence::kVlan;
  if (set.mpls_count > 0) headers |= presence::kMpls;
  if (set.has(parse_flag::kHasPppoe)) headers |= presence::kPppoe;
  if (!inner && parsed.tunnel != Tunnel::kNone) headers |= presence::kTunnel;
  return headers;
}

/// Of the tunnels that the packet may be in, the one whose id the field is.
bool is_id_of(Field field, Tunnel tunnel) {
  switch (field) {
    case Field::kVni: return tunnel == Tunnel::kVxlan || tunnel == Tunnel::kGeneve;
    case Field::kGreKey: return tunnel == Tunnel::kGre;
    case Field::kErspanSession: return tunnel == Tunnel::kErspan;
    case Field::kTeid: return tunnel == Tunnel::kGtpU;
    default: return false;
  }
}

/// Type of service or traffic class (RFC 2474 section 3).
unsigned traffic_class(const std::byte* ip, bool v6) { return v6 ? read_be16(ip) >> 4 & 0xFFU : std::to_integer<unsigned>(ip[1]); }

Key all_ones(unsigned bits) { return bits == 128 ? ~Key{0} : (Key{1} << bits) - 1; }

std::vector<Interval> complement(const std::vector<Interval>& intervals, unsigned bits) {
  std::vector<Interval> out;
  Key next = 0;
  for (const Interval& one : intervals) {
    if (one.from > next) out.push_back({next, one.from - 1});
    if (one.to == all_ones(bits)) return out;
    next = one.to + 1;
  }
  out.push_back({next, all_ones(bits)});
  return out;
}

std::vector<Interval> intersection(const std::vector<Interval>& a, const std::vector<Interval>& b) {
  std::vector<Interval> out;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const Interval both{std::max(a[i].from, b[j].from), std::min(a[i].to, b[j].to)};
    if (both.from <= both.to) out.push_back(both);
    if (a[i].to < b[j].to) ++i;
    else ++j;
  }
  return out;
}

void normalise(std::vector<Interval>& intervals) {
  std::sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) { return a.from < b.from; });
  std::size_t kept = 0;
  for (const Interval& one : intervals) {
    Interval* last = kept ? &intervals[kept - 1] : nullptr;
    if (last && (one.from <= last->to || one.from - 1 == last->to)) last->to = std::max(last->to, one.to);
    else intervals[kept++] = one;
  }
  intervals.resize(kept);
}

bool has(const std::vector<Interval>& intervals, Key value) {
  const auto behind = std::upper_bound(intervals.begin(), intervals.end(), value, [](Key v, const Interval& i) { return v < i.from; });
  return behind != intervals.begin() && value <= std::prev(behind)->to;
}

/// Copies `size` bytes of a packet that may lie in several frames. False: it ends before.
bool read_bytes(const PacketView& packet, uint32_t begin, uint32_t size, std::byte* out) {
  if (uint64_t{begin} + size > packet.burst.lengths[packet.i]) return false;
  const auto take = [&](const Frame& frame) {
    if (begin >= frame.length) {
      begin -= frame.length;
      return;
    }
    const uint32_t here = std::min(size, frame.length - begin);
    out = std::copy_n(frame.data + begin, here, out);
    size -= here;
    begin = 0;
  };
  take(packet.burst.frames[packet.i]);
  for (const Frame& frame : packet.burst.rest_of(packet.i))
    if (size > 0) take(frame);
  return size == 0;
}

/// Where an anchor is; nothing if the packet has no such layer.
std::optional<uint32_t> place_of(Anchor anchor, bool inner, const Parsed& parsed) {
  if (anchor == Anchor::kFrame) return 0;
  if (inner && !parsed.has_inner) return std::nullopt;
  const LayerSet& set = inner ? parsed.inner : parsed.outer;
  if (anchor == Anchor::kL3) return set.l3 == L3::kNone ? std::nullopt : std::optional<uint32_t>(set.l3_offset);
  if (anchor == Anchor::kL4) return set.l4 == L4::kNone ? std::nullopt : std::optional<uint32_t>(set.l4_offset);
  return set.payload_offset;
}

/// Nothing: the packet does not reach so far.
std::optional<bool> is_there(const BytePattern& pattern, bool inner, const PacketView& packet) {
  constexpr std::size_t kLongest = 64;  // config.proto: BytesMatch.value
  std::array<std::byte, kLongest> bytes;
  const auto place = place_of(pattern.anchor, inner, packet.parsed());
  const auto size = static_cast<uint32_t>(pattern.value.size());
  if (!place || size > kLongest || !read_bytes(packet, *place + pattern.offset, size, bytes.data())) return std::nullopt;
  for (uint32_t i = 0; i < size; ++i)
    if ((bytes[i] & pattern.mask[i]) != pattern.value[i]) return false;
  return true;
}

}  // namespace

unsigned bits_of(Field field) {
  switch (field) {
    case Field::kPort: return 7;
    case Field::kSourceVlan: return 13;
    case Field::kEtherSrc:
    case Field::kEtherDst: return 48;
    case Field::kVlanId:
    case Field::kPresence: return 12;
    case Field::kVlanPcp: return 3;
    case Field::kMplsLabel: return 20;
    case Field::kIpVersion:
    case Field::kTunnelKind: return 4;
    case Field::kSrc:
    case Field::kDst:
    case Field::kGreKey:
    case Field::kErspanSession:
    case Field::kTeid: return 32;
    case Field::kVni: return 24;
    case Field::kDscp: return 6;
    case Field::kEcn:
    case Field::kFragment: return 2;
    case Field::kLength: return 17;
    case Field::kEtherType:
    case Field::kSrcPort:
    case Field::kDstPort: return 16;
    case Field::kProtocol:
    case Field::kTtl:
    case Field::kTcpFlags:
    case Field::kIcmpType:
    case Field::kIcmpCode: return 8;
  }
  return 0;
}

bool Values::has(Key value, bool v6) const { return sluice::has(v6 ? ipv6 : numbers, value); }

void Values::normalise() {
  sluice::normalise(numbers);
  sluice::normalise(ipv6);
}

Values complement(const Values& values, Field field) {
  return {complement(values.numbers, bits_of(field)), is_address(field) ? complement(values.ipv6, 128) : std::vector<Interval>()};
}

Values intersection(const Values& a, const Values& b) { return {intersection(a.numbers, b.numbers), intersection(a.ipv6, b.ipv6)}; }

std::optional<Value> value_of(const Where& where, const PacketView& packet) {
  const std::byte* const data = packet.data();
  const Parsed& parsed = packet.parsed();
  const auto number = [](Key key) { return std::optional<Value>({key, false}); };
  const auto if_there = [&](bool there, auto&& read) { return there ? number(read()) : std::nullopt; };
  if (where.field == Field::kPort) return number(packet.port);
  if (where.field == Field::kPresence) return number(where.inner && !parsed.has_inner ? 0 : headers_of(parsed, where.inner));
  if (where.inner && !parsed.has_inner) return std::nullopt;
  const LayerSet& set = where.inner ? parsed.inner : parsed.outer;
  const bool v6 = set.l3 == L3::kIpv6;
  const std::byte* const ip = data + set.l3_offset;
  switch (where.field) {
    case Field::kSourceVlan: return number(set.vlan_count == 0 ? kUntagged : vlan_tci(data, set, 0) & 0x0FFFU);
    case Field::kEtherDst: return if_there(set.has(parse_flag::kHasEthernet), [&] { return read_key(data + set.l2_offset, kMacSize); });
    case Field::kEtherSrc:
      return if_there(set.has(parse_flag::kHasEthernet), [&] { return read_key(data + set.l2_offset + kMacSize, kMacSize); });
    case Field::kEtherType: return if_there(set.ethertype >= kLowestEtherType, [&] { return set.ethertype; });
    case Field::kVlanId: return if_there(set.vlan_count > where.level, [&] { return vlan_tci(data, set, where.level) & 0x0FFFU; });
    case Field::kVlanPcp: return if_there(set.vlan_count > where.level, [&] { return vlan_tci(data, set, where.level) >> 13; });
    case Field::kMplsLabel: return if_there(set.mpls_count > 0, [&] { return mpls_entry(data, set, 0) >> 12; });
    case Field::kIpVersion: return if_there(set.is_ip(), [&] { return v6 ? 6 : 4; });
    case Field::kSrc:
    case Field::kDst: {
      if (!set.is_ip()) return std::nullopt;
      const AddressView view = addresses(data, set);
      return Value{read_key(where.field == Field::kSrc ? view.src : view.dst, view.size), v6};
    }
    case Field::kProtocol: return if_there(set.is_ip() && set.has(parse_flag::kHasProtocol), [&] { return set.ip_protocol; });
    case Field::kDscp: return if_there(set.is_ip(), [&] { return traffic_class(ip, v6) >> 2; });
    case Field::kEcn: return if_there(set.is_ip(), [&] { return traffic_class(ip, v6) & 3U; });
    case Field::kTtl: return if_there(set.is_ip(), [&] { return std::to_integer<unsigned>(ip[v6 ? 7 : 8]); });
    case Field::kFragment: return if_there(set.is_ip(), [&] { return static_cast<unsigned>(set.fragment) + 1; });
    case Field::kLength: return if_there(set.is_ip(), [&] { return v6 ? 40U + read_be16(ip + 4) : read_be16(ip + 2); });
    case Field::kSrcPort: return if_there(set.has(parse_flag::kHasPorts), [&] { return set.src_port; });
    case Field::kDstPort: return if_there(set.has(parse_flag::kHasPorts), [&] { return set.dst_port; });
    case Field::kTcpFlags: return if_there(set.has(parse_flag::kHasTcpFlags), [&] { return set.tcp_flags; });
    case Field::kIcmpType: return if_there(set.has(parse_flag::kHasIcmpType), [&] { return set.icmp_type; });
    case Field::kIcmpCode: return if_there(set.has(parse_flag::kHasIcmpType), [&] { return set.icmp_code; });
    case Field::kTunnelKind: return if_there(parsed.tunnel != Tunnel::kNone, [&] { return static_cast<unsigned>(parsed.tunnel); });
    case Field::kVni:
    case Field::kGreKey:
    case Field::kErspanSession:
    case Field::kTeid:
      return if_there((parsed.tunnel_flags & parse_flag::kHasTunnelId) != 0 && is_id_of(where.field, parsed.tunnel),
                      [&] { return parsed.tunnel_id; });
    default: return std::nullopt;
  }
}

bool holds(const Criterion& criterion, const PacketView& packet) {
  const auto value = value_of(criterion.where, packet);
  return value && criterion.values->has(value->key, value->v6);
}

namespace {

bool payload_holds(const Remainder& remainder, const PacketView& packet) {
  const auto payload = place_of(Anchor::kPayload, remainder.inner, packet.parsed());
  if (!payload) return false;
  return remainder.scanner->matches(remainder.expression, packet.burst, packet.i, *payload, packet.seen) != remainder.expression_negated;
}

bool bytes_hold(const Remainder& remainder, const PacketView& packet) {
  if (remainder.patterns.empty()) return true;
  bool any = false;
  for (const BytePattern& pattern : remainder.patterns) {
    const auto there = is_there(pattern, remainder.inner, packet);
    if (!there && remainder.patterns_negated) return false;
    any |= there.value_or(false);
  }
  return any != remainder.patterns_negated;
}

}  // namespace

bool holds(const Remainder& remainder, const PacketView& packet) {
  // The payload last: it is read for those that all else leaves.
  return !(remainder.unless && matches(*remainder.unless, packet)) && bytes_hold(remainder, packet) &&
         (!remainder.scanner || payload_holds(remainder, packet));
}

bool matches(const RuleMatch& match, const PacketView& packet) {
  return std::any_of(match.alternatives.begin(), match.alternatives.end(), [&](const Alternative& alternative) {
    return std::all_of(alternative.criteria.begin(), alternative.criteria.end(), [&](const Criterion& c) { return holds(c, packet); }) &&
           (!alternative.remainder || holds(*alternative.remainder, packet));
  });
}

}  // namespace sluice
