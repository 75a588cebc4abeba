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
uint64_t mac_hash(const std::byte* frame, const LayerSet& set) {
  if (!set.has(parse_flag::kHasEthernet)) return 0;
  const std::byte* ethernet = frame + set.l2_offset;
  return symmetric({fold_mac(ethernet), 0}, {fold_mac(ethernet + 6), 0}, set.ethertype);
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

uint64_t flow_hash(const std::byte* frame, const LayerSet& set) {
  if (!set.is_ip()) return mac_hash(frame, set);
  const auto [src, dst] = fold_addresses(frame, set);
  const bool ports = set.has(parse_flag::kHasPorts) && set.fragment == Fragment::kWhole;
  return symmetric({src, ports ? set.src_port : uint64_t{0}}, {dst, ports ? set.dst_port : uint64_t{0}}, set.ip_protocol);
}

uint64_t pair_hash(const std::byte* frame, const LayerSet& set) {
  if (!set.is_ip()) return mac_hash(frame, set);
  const auto [src, dst] = fold_addresses(frame, set);
  return symmetric({src, 0}, {dst, 0}, 0);
}

}  // namespace sluice
