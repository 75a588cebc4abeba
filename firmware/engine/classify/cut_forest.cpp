#include "engine/classify/cut_forest.h"

#include <immintrin.h>

#include <algorithm>
#include <bit>

#include "base/endian.h"

namespace sluice {
namespace {

/// The one range of an address field, of one family; nothing: it asks for several.
const Interval* only_range(const Criterion& ask, bool& v6) {
  const Values& values = *ask.values;
  if (values.numbers.size() + values.ipv6.size() != 1) return nullptr;
  v6 = values.numbers.empty();
  return v6 ? values.ipv6.data() : values.numbers.data();
}

const Criterion* find(std::span<const Criterion> asks, Field field) {
  for (const Criterion& ask : asks)
    if (ask.where == Where{field}) return &ask;
  return nullptr;
}

/// 32 bits of an IPv6 address, from bit `window` on (a multiple of 16).
uint32_t window_of(const std::byte* address, unsigned window) { return read_be32(address + window / 8); }

}  // namespace

std::optional<CutRow> CutForest::row_of(uint32_t row, std::span<const Criterion> asks) {
  std::optional<CutRow> out(std::in_place);
  out->row = row;
  std::optional<bool> family;
  for (const Field field : {Field::kSrc, Field::kDst}) {
    const Criterion* const ask = find(asks, field);
    if (!ask) continue;
    bool v6 = false;
    const Interval* const range = only_range(*ask, v6);
    if (!range || (family && *family != v6)) return std::nullopt;
    family = v6;
    if (v6) (field == Field::kSrc ? out->src6 : out->dst6) = *range;
    else
      out->bounds[field == Field::kSrc ? CutKey::kSrc : CutKey::kDst] = {static_cast<uint32_t>(range->from),
                                                                         static_cast<uint32_t>(range->to)};
  }
  if (!family) return std::nullopt;
  out->v6 = *family;
  for (const Criterion& ask : asks) {
    if (ask.where == Where{Field::kSrc} || ask.where == Where{Field::kDst}) continue;
    const auto& ranges = ask.values->numbers;
    const bool source = ask.where == Where{Field::kSrcPort}, destination = ask.where == Where{Field::kDstPort};
    if (source || destination) {
      out->kind |= CutKey::kHasPorts, out->kind_mask |= CutKey::kHasPorts;
      if (ranges.size() == 1)
        out->bounds[source ? CutKey::kSrcPort : CutKey::kDstPort] = {static_cast<uint32_t>(ranges[0].from),
                                                                     static_cast<uint32_t>(ranges[0].to)};
      else out->checks.push_back(ask);
    } else if (ask.where == Where{Field::kProtocol} && ranges.size() == 1 && ranges[0].from == ranges[0].to) {
      const auto protocol = static_cast<uint32_t>(ranges[0].from);
      out->bounds[CutKey::kProtocol] = {protocol, protocol};
      out->kind |= static_cast<uint16_t>(CutKey::kHasProtocol | protocol), out->kind_mask |= CutKey::kHasProtocol | 0xFFU;
    } else {
      out->checks.push_back(ask);
    }
  }
  return out;
}

Interval CutRow::range(bool of_dst) const {
  if (v6) return of_dst ? dst6 : src6;
  const Bounds& numbers = bounds[of_dst ? CutKey::kDst : CutKey::kSrc];
  return {numbers.from, numbers.to};
}

std::size_t CutForest::bytes() const {
  return bytes_of(slots_) + bytes_of(blocks_) + bytes_of(networks_) + bytes_of(checks_) + criteria_.capacity() * sizeof(Criterion);
}

void CutForest::keys_of(const Burst& burst, CutKey* keys) const {
  for (unsigned i = 0; i < burst.size; ++i) {
    const LayerSet& set = burst.parsed[i].outer;
    auto& key = keys[i].numbers;
    const std::byte* const ip = burst.frames[i].data + set.l3_offset;
    const bool ports = set.has(parse_flag::kHasPorts), protocol = set.has(parse_flag::kHasProtocol);
    key[CutKey::kSrcPort] = ports ? set.src_port : 0U;
    key[CutKey::kDstPort] = ports ? set.dst_port : 0U;
    key[CutKey::kProtocol] = protocol ? set.ip_protocol : 0U;
    key[CutKey::kKind] = key[CutKey::kProtocol] | (protocol ? CutKey::kHasProtocol : 0U) | (ports ? CutKey::kHasPorts : 0U);
    const bool v4 = set.l3 == L3::kIpv4, v6 = set.l3 == L3::kIpv6;
    key[CutKey::kFamily] = v4 ? 0 : v6 ? 1 : 2;
    key[CutKey::kSrc] = v4 ? read_be32(ip + 12) : v6 ? window_of(ip + 8, windows_[0]) : 0;
    key[CutKey::kDst] = v4 ? read_be32(ip + 16) : v6 ? window_of(ip + 24, windows_[1]) : 0;
  }
}

/// All packets take a step at a time, so that their misses overlap, and without a branch that depends on a packet: those that have not
/// come to a leaf are kept in a list.
void CutForest::walk_on(const CutKey* keys, unsigned size, Leaves& leaves) const {
  std::array<uint8_t, kBurst> going;
  for (unsigned t = 0; t < trees_; ++t) {
    unsigned left = 0;
    for (unsigned i = 0; i < size; ++i) {
      leaves[i][t] = roots_[keys[i].numbers[CutKey::kFamily]][t];
      going[left] = static_cast<uint8_t>(i);
      left += !Slot::is_leaf(leaves[i][t]);
    }
    while (left > 0) {
      unsigned n = 0;
      for (unsigned g = 0; g < left; ++g) {
        const unsigned i = going[g];
        const uint32_t slot = leaves[i][t];
        const uint32_t number = keys[i].numbers[Slot::number(slot)] >> Slot::shift(slot);
        const uint32_t next = slots_[Slot::base(slot) + (number & ((1U << Slot::width(slot)) - 1))];
        leaves[i][t] = next;
        going[n] = static_cast<uint8_t>(i);
        n += !Slot::is_leaf(next);
      }
      left = n;
    }
    for (unsigned i = 0; i < size; ++i) {
      const auto* const line = reinterpret_cast<const char*>(blocks_.data() + Slot::begin(leaves[i][t]));
      __builtin_prefetch(line);
      __builtin_prefetch(line + 64);
    }
  }
}

void CutForest::walk_scalar(const CutKey* keys, unsigned size, Leaves& leaves) const { walk_on(keys, size, leaves); }
void CutForest::walk_bmi(const CutKey* keys, unsigned size, Leaves& leaves) const { walk_on(keys, size, leaves); }

void CutForest::walk(const CutKey* keys, unsigned size, Leaves& leaves) const {
  if (simd_ == Simd::kScalar) walk_scalar(keys, size, leaves);
  else walk_bmi(keys, size, leaves);
}

bool CutForest::passes(uint32_t row, const PacketView& packet) const {
  const Checks& checks = checks_[row];
  if (checks.network != kNoRow) {
    const Network& network = networks_[checks.network];
    const std::byte* const ip = packet.data() + packet.parsed().outer.l3_offset;
    const auto address = [ip](unsigned at) { return Key{read_be64(ip + at)} << 64 | read_be64(ip + at + 8); };
    const Key src = address(8), dst = address(24);
    if (src < network.src.from || src > network.src.to || dst < network.dst.from || dst > network.dst.to) return false;
  }
  for (uint32_t c = checks.begin; c < checks.begin + checks.size; ++c)
    if (!holds(criteria_[c], packet)) return false;
  return true;
}

template <class Found>
void CutForest::scan_scalar(const CutKey& key, const std::array<uint32_t, kTrees>& leaves, Found&& found) const {
  const uint32_t src = key.numbers[CutKey::kSrc], dst = key.numbers[CutKey::kDst];
  const uint32_t src_port = key.numbers[CutKey::kSrcPort], dst_port = key.numbers[CutKey::kDstPort];
  for (unsigned t = 0; t < trees_; ++t) {
    const uint32_t leaf = leaves[t];
    bool on = true;
    for (uint32_t b = 0; on && b < Slot::blocks(leaf); ++b) {
      const Block& block = blocks_[Slot::begin(leaf) + b];
      for (unsigned r = 0; on && r < 4; ++r)
        if (src >= block.src_from[r] && src <= block.src_to[r] && dst >= block.dst_from[r] && dst <= block.dst_to[r] &&
            src_port >= block.src_port_from[r] && src_port <= block.src_port_to[r] && dst_port >= block.dst_port_from[r] &&
            dst_port <= block.dst_port_to[r] && ((key.numbers[CutKey::kKind] ^ block.kind[r]) & block.kind_mask[r]) == 0)
          on = found(block.rows[r]);
    }
  }
}

namespace {

// What of four rows holds. Each field's lower and upper bounds are four lanes each, one behind the other.
constexpr unsigned kLower = 0x0F0F, kUpper = 0xF0F0;

struct alignas(64) WideKey {
  __m512i addresses;
  __m256i ports;
  __m128i kind;
};

[[gnu::target("avx512f,avx512vl,avx512bw,avx512dq"), gnu::always_inline]] inline WideKey widen(const CutKey& key) {
  return {_mm512_mask_set1_epi32(_mm512_set1_epi32(static_cast<int>(key.numbers[CutKey::kSrc])), 0xFF00,
                                 static_cast<int>(key.numbers[CutKey::kDst])),
          _mm256_inserti128_si256(_mm256_set1_epi16(static_cast<short>(key.numbers[CutKey::kSrcPort])),
                                  _mm_set1_epi16(static_cast<short>(key.numbers[CutKey::kDstPort])), 1),
          _mm_set1_epi16(static_cast<short>(key.numbers[CutKey::kKind]))};
}

/// A bit for each of the four rows at `block` that the key lies in.
[[gnu::target("avx512f,avx512vl,avx512bw,avx512dq"), gnu::always_inline]] inline unsigned compare(const WideKey& key, const void* block) {
  const auto* const line = static_cast<const char*>(block);
  const __m512i addresses = _mm512_load_si512(line);
  const __m256i ports = _mm256_load_si256(reinterpret_cast<const __m256i*>(line + 64));
  const __m128i kinds = _mm_load_si128(reinterpret_cast<const __m128i*>(line + 96));  // values, then masks
  const unsigned of_addresses =
      (_mm512_cmpge_epu32_mask(key.addresses, addresses) & kLower) | (_mm512_cmple_epu32_mask(key.addresses, addresses) & kUpper);
  const unsigned of_ports = (_mm256_cmpge_epu16_mask(key.ports, ports) & kLower) | (_mm256_cmple_epu16_mask(key.ports, ports) & kUpper);
  unsigned all = of_addresses & of_ports;
  all &= all >> 8;
  all &= all >> 4;
  return all & 15U & _mm_testn_epi16_mask(_mm_xor_si128(key.kind, kinds), _mm_unpackhi_epi64(kinds, kinds));
}

}  // namespace

/// As the walk: a block of every packet at a time.
void CutForest::first_avx512(const Burst& burst, PortSlot port, const CutKey* keys, const Leaves& leaves, unsigned begin, unsigned end,
                             uint32_t* best) const {
  struct Place {
    uint32_t packet, block, behind;
  };
  std::array<Place, kBurst> going;
  for (unsigned t = 0; t < trees_; ++t) {
    unsigned left = 0;
    for (unsigned i = begin; i < end; ++i) {
      const uint32_t first = Slot::begin(leaves[i][t]), blocks = Slot::blocks(leaves[i][t]);
      going[left] = {i, first, first + blocks};
      left += blocks != 0;
    }
    while (left > 0) {
      unsigned n = 0;
      for (unsigned g = 0; g < left; ++g) {
        const Place at = going[g];
        const Block& block = blocks_[at.block];
        unsigned found = compare(widen(keys[at.packet]), &block);
        uint32_t row = block.rows[static_cast<unsigned>(std::countr_zero(found | 8U))];
        if ((row & kChecked) != 0 && found != 0) {
          while (found != 0 && (row & kChecked) != 0 && !passes(row & ~kChecked, {burst, at.packet, port})) {
            found &= found - 1;
            row = block.rows[static_cast<unsigned>(std::countr_zero(found | 8U))];
          }
          row &= ~kChecked;
        }
        uint32_t& mine = best[at.packet - begin];
        mine = std::min(mine, found != 0 ? row : kNoRow);
        going[n] = {at.packet, at.block + 1, at.behind};
        n += found == 0 && at.block + 1 < at.behind && (block.rows[0] & ~kChecked) < mine;
        __builtin_prefetch(&block + 1);
      }
      left = n;
    }
  }
}

unsigned CutForest::all_avx512(const Burst& burst, PortSlot port, const CutKey& narrow, const std::array<uint32_t, kTrees>& leaves,
                               unsigned i, uint32_t* rows) const {
  const WideKey key = widen(narrow);
  unsigned n = 0;
  for (unsigned t = 0; t < trees_; ++t)
    for (uint32_t b = 0; b < Slot::blocks(leaves[t]); ++b) {
      const Block& block = blocks_[Slot::begin(leaves[t]) + b];
      for (unsigned found = compare(key, &block); found != 0; found &= found - 1) {
        const uint32_t row = block.rows[static_cast<unsigned>(std::countr_zero(found))];
        if ((row & kChecked) != 0 && !passes(row & ~kChecked, {burst, i, port})) continue;
        rows[n++] = row & ~kChecked;
      }
    }
  return n;
}

void CutForest::first(const Burst& burst, PortSlot port, const CutKey* keys, const Leaves& leaves, unsigned begin, unsigned end,
                      uint32_t* best) const {
  if (simd_ == Simd::kAvx512) return first_avx512(burst, port, keys, leaves, begin, end, best);
  for (unsigned i = begin; i < end; ++i) {
    uint32_t& mine = best[i - begin];
    scan_scalar(keys[i], leaves[i], [&](uint32_t row) {
      if ((row & ~kChecked) >= mine) return false;
      if ((row & kChecked) != 0 && !passes(row & ~kChecked, {burst, i, port})) return true;
      mine = row & ~kChecked;
      return false;
    });
  }
}

unsigned CutForest::all(const Burst& burst, PortSlot port, const CutKey* keys, const Leaves& leaves, unsigned i, uint32_t* rows) const {
  if (simd_ == Simd::kAvx512) return all_avx512(burst, port, keys[i], leaves[i], i, rows);
  unsigned n = 0;
  scan_scalar(keys[i], leaves[i], [&](uint32_t row) {
    if ((row & kChecked) == 0 || passes(row & ~kChecked, {burst, i, port})) rows[n++] = row & ~kChecked;
    return true;
  });
  return n;
}

}  // namespace sluice
