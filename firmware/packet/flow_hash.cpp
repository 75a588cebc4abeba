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

}  // namespace

uint64_t flow_hash(const std::byte* frame, uint32_t length, const Parsed& parsed) {
  if (parsed.is_ip()) {
    const auto [src, dst, size] = addresses(frame, parsed);
    const auto fold = [size = size](const std::byte* a) {
      return size == 4 ? read_be32(a) : mix(read_be64(a) ^ kOdd1, read_be64(a + 8) ^ kOdd2);
    };
    const bool ports = parsed.has(parse_flag::kHasPorts) && parsed.fragment == Fragment::kWhole;
    return symmetric({fold(src), ports ? parsed.src_port : uint64_t{0}}, {fold(dst), ports ? parsed.dst_port : uint64_t{0}},
                     parsed.ip_protocol);
  }
  if (length < kEthernetSize) return 0;
  return symmetric({fold_mac(frame), 0}, {fold_mac(frame + 6), 0}, parsed.ethertype);
}

}  // namespace sluice
