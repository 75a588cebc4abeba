#include "packet/flow_hash.h"

#include <algorithm>
#include <utility>

#include "base/endian.h"
#include "packet/headers.h"

namespace sluice {
namespace {

__extension__ using Wide = unsigned __int128;

/// Folded 64x64->128 multiplication, the mixing step of wyhash: every input bit reaches every output bit.
uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

constexpr uint64_t kOdd0 = 0xA0761D6478BD642FU;
constexpr uint64_t kOdd1 = 0xE7037ED1A0B428DBU;
constexpr uint64_t kOdd2 = 0x8EBC6AF09C88C6E3U;

struct End {
  uint64_t address;
  uint64_t port;
};

/// The smaller end first: the order of the two ends does not matter any more.
uint64_t symmetric(End one, End other, uint64_t protocol) {
  if (std::pair(one.address, one.port) > std::pair(other.address, other.port)) std::swap(one, other);
  const uint64_t ends = mix(one.address ^ kOdd0, other.address ^ kOdd1);
  return mix(ends ^ kOdd2, (one.port << 32 | other.port << 8 | protocol) ^ kOdd0);
}

uint64_t fold_mac(const std::byte* mac) { return static_cast<uint64_t>(read_be16(mac)) << 32 | read_be32(mac + 2); }

/// The MAC pair of what is not IP; without an Ethernet header nothing tells packets apart.
uint64_t mac_hash(const std::byte* frame, const LayerSet& set, uint64_t ethertype) {
  if (!set.has(parse_flag::kHasEthernet)) return 0;
  const std::byte* ethernet = frame + set.l2_offset;
  return symmetric({fold_mac(ethernet), 0}, {fold_mac(ethernet + 6), 0}, ethertype);
}

struct Pair {
  uint64_t src;
  uint64_t dst;
};
/// Requires set.is_ip().
Pair fold_addresses(const std::byte* frame, const LayerSet& set) {
  const auto [src, dst, size] = addresses(frame, set);
  const auto fold = [size = size](const std::byte* a) {
    return size == 4 ? read_be32(a) : mix(read_be64(a) ^ kOdd1, read_be64(a + 8) ^ kOdd2);
  };
  return {fold(src), fold(dst)};
}

}  // namespace

uint64_t flow_hash(const std::byte* frame, const LayerSet& set, bool uses_ports) {
  if (!set.is_ip()) return mac_hash(frame, set, set.ethertype);
  const auto [src, dst] = fold_addresses(frame, set);
  const bool ports = uses_ports && set.has(parse_flag::kHasPorts);
  return symmetric({src, ports ? set.src_port : uint64_t{0}}, {dst, ports ? set.dst_port : uint64_t{0}}, set.ip_protocol);
}

uint64_t balance_hash(const std::byte* frame, const Parsed& parsed, const HashChoice& choice) {
  using namespace hash_field;
  // Of a fragmented datagram only the first part shows what the tunnel carries: all of it goes by the outer headers.
  const bool looks_into_tunnel = choice.inner || (choice.fields & (kGtpTeid | kGreKey | kVni)) != 0;
  if (looks_into_tunnel && parsed.outer.fragment != Fragment::kWhole) return flow_hash(frame, parsed.outer);
  const bool inner = choice.inner && parsed.has_inner;
  const LayerSet& set = inner ? parsed.inner : parsed.outer;
  // Outer fragments have got the ports of their first one (engine/fragment_stage.h); nobody joins those in a tunnel.
  const auto five_tuple = [&] { return flow_hash(frame, set, !inner || set.fragment == Fragment::kWhole); };
  if (choice.fields == kFiveTuple) return five_tuple();
  uint64_t hash = 0;
  bool any = false;
  const auto add = [&](uint8_t field, bool has, auto&& value) {
    if ((choice.fields & field) == 0 || !has) return;
    hash = mix(hash ^ kOdd0 ^ field, value() ^ kOdd1);
    any = true;
  };
  const bool has_id = (parsed.tunnel_flags & parse_flag::kHasTunnelId) != 0;
  const auto id = [&] { return uint64_t{parsed.tunnel_id}; };
  add(kFiveTuple, set.is_ip(), five_tuple);
  add(kIpPair, set.is_ip(), [&] { return pair_hash(frame, set); });
  add(kVlan, set.vlan_count > 0, [&] { return uint64_t{vlan_tci(frame, set, 0) & 0x0FFFU}; });
  add(kMacPair, set.has(parse_flag::kHasEthernet), [&] { return mac_hash(frame, set, 0); });
  add(kMplsLabel, set.mpls_count > 0, [&] {
    uint64_t labels = 0;
    for (unsigned i = 0; i < set.mpls_count; ++i) labels = mix(labels ^ kOdd2, (mpls_entry(frame, set, i) >> 12) ^ kOdd0);
    return labels;
  });
  add(kGtpTeid, has_id && parsed.tunnel == Tunnel::kGtpU, id);
  add(kGreKey, has_id && parsed.tunnel == Tunnel::kGre, id);
  add(kVni, has_id && (parsed.tunnel == Tunnel::kVxlan || parsed.tunnel == Tunnel::kGeneve), id);
  return any ? mix(hash ^ kOdd2, kOdd1) : five_tuple();
}

uint64_t pair_hash(const std::byte* frame, const LayerSet& set) {
  if (!set.is_ip()) return mac_hash(frame, set, set.ethertype);
  const auto [src, dst] = fold_addresses(frame, set);
  return symmetric({src, 0}, {dst, 0}, 0);
}

}  // namespace sluice
