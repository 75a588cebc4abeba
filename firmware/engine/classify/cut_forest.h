// Rows that name a host or a network: trees that cut the space of addresses, ports and protocols until a few rows are left, and compare
// these with the packet, four at a time.
//
// A node looks at some bits of one number and goes to one of up to 16,384 children; a child holds every row that a packet with these bits
// may match (HiCuts: Gupta and McKeown, Hot Interconnects 1999). What a row leaves open puts it into many children, so rows whose
// destination is narrow have a tree, and those whose source alone is, another (EffiCuts: Vamanan and others, SIGCOMM 2010). IPv4 and IPv6
// have trees of their own. What fits into no tree is for the dimensions.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/large_pages.h"
#include "engine/classify/match.h"
#include "engine/classify/search_tree.h"

namespace sluice {

inline constexpr uint32_t kNoRow = 0xFFFFFFFF;

/// The numbers of a packet that trees cut and compare, of the outer layer set.
struct CutKey {
  /// The first five are cut.
  enum Number : uint8_t {
    kSrc,  ///< of IPv6 addresses, 32 bits of each
    kDst,
    kSrcPort,  ///< 0 where the packet has none
    kDstPort,
    kProtocol,
    kKind,    ///< protocol, and whether the packet has one, and ports
    kFamily,  ///< 0 IPv4, 1 IPv6, 2 neither
    kNumbers = 8,
  };
  std::array<uint32_t, kNumbers> numbers;

  static constexpr uint32_t kHasProtocol = 1U << 8, kHasPorts = 1U << 9;
  static constexpr uint32_t kFamilies = 3;
  static constexpr unsigned kCut = 5;
};

/// A row as the trees know it: every packet that it matches lies within.
struct CutRow {
  struct Bounds {
    uint32_t from = 0, to = 0xFFFFFFFF;  ///< closed
    friend bool operator==(const Bounds&, const Bounds&) = default;
  };
  std::array<Bounds, CutKey::kCut> bounds{{{}, {}, {0, 65535}, {0, 65535}, {}}};
  uint16_t kind = 0, kind_mask = 0;
  uint32_t row = 0;  ///< below 2^31; in the order of rules
  bool v6 = false;   ///< its bounds of addresses are set by CutPlan, once it knows which bits to take
  Interval src6{0, ~Key{0}}, dst6{0, ~Key{0}};
  std::vector<Criterion> checks;  ///< what the numbers do not say
  [[nodiscard]] Interval range(bool of_dst) const;
};

class CutForest {
 public:
  static constexpr unsigned kTrees = 3;  ///< that a packet goes through
  static constexpr uint32_t kMostRows = 1U << 17;
  /// The ends of the trees that a burst's packets come to.
  using Leaves = std::array<std::array<uint32_t, kTrees>, kBurst>;

  /// What the trees know of a row; nothing: it is not for them. asks: each field once.
  [[nodiscard]] static std::optional<CutRow> row_of(uint32_t row, std::span<const Criterion> asks);

  [[nodiscard]] bool empty() const { return blocks_.empty(); }
  [[nodiscard]] std::size_t bytes() const;

  // ---- Of a burst. Any thread ----
  void keys_of(const Burst& burst, CutKey* keys) const;
  /// Finds the leaves of all packets, and has them fetched.
  void walk(const CutKey* keys, unsigned size, Leaves& leaves) const;
  /// Of each packet of [begin, end): best[i - begin] becomes the first row that matches, if it is before that.
  void first(const Burst& burst, PortSlot port, const CutKey* keys, const Leaves& leaves, unsigned begin, unsigned end,
             uint32_t* best) const;
  /// All rows that packet i matches; room for kMostFound. Returns how many.
  unsigned all(const Burst& burst, PortSlot port, const CutKey* keys, const Leaves& leaves, unsigned i, uint32_t* rows) const;
  static constexpr unsigned kMostInLeaf = 64;
  static constexpr unsigned kMostFound = kTrees * kMostInLeaf;

 private:
  /// Four rows, as they are compared: two cache lines.
  struct alignas(64) Block {
    std::array<uint32_t, 4> src_from, src_to, dst_from, dst_to;
    std::array<uint16_t, 4> src_port_from, src_port_to, dst_port_from, dst_port_to;
    std::array<uint16_t, 4> kind, kind_mask;
    std::array<uint32_t, 4> rows;  ///< ascending; kChecked: has checks; kNoRow: none, whose bounds hold nothing
  };
  static constexpr uint32_t kChecked = 1U << 31;

  /// A child. Of a node: where its children begin, number, shift, width; of a leaf: first block, how many.
  struct Slot {
    static constexpr uint32_t kLeaf = 1U << 31;
    /// What `base` is a multiple of. How many there may be, the builder asserts.
    static constexpr uint32_t kStep = 8;
    static constexpr uint32_t kMostSlots = kStep << 19, kMostBlocks = 1U << 26;
    /// Slots that so many children take.
    static uint32_t taken(uint32_t children) { return std::max(children, kStep); }
    static uint32_t node(uint32_t base, unsigned number, unsigned shift, unsigned width) {
      return base / kStep | number << 19 | shift << 22 | width << 27;
    }
    static uint32_t leaf(uint32_t block, uint32_t blocks) { return kLeaf | blocks << 26 | block; }
    static bool is_leaf(uint32_t slot) { return (slot & kLeaf) != 0; }
    static uint32_t base(uint32_t node) { return (node & (kMostSlots / kStep - 1)) * kStep; }
    static unsigned number(uint32_t node) { return node >> 19 & 7; }
    static unsigned shift(uint32_t node) { return node >> 22 & 31; }
    static unsigned width(uint32_t node) { return node >> 27 & 15; }
    static uint32_t begin(uint32_t leaf) { return leaf & (kMostBlocks - 1); }
    static uint32_t blocks(uint32_t leaf) { return leaf >> 26 & 31; }
  };

  friend class CutPlan;  // makes it
  class Builder;
  [[gnu::always_inline]] inline void walk_on(const CutKey* keys, unsigned size, Leaves& leaves) const;
  void walk_scalar(const CutKey* keys, unsigned size, Leaves& leaves) const;
  [[gnu::target("avx2,bmi,bmi2")]] void walk_bmi(const CutKey* keys, unsigned size, Leaves& leaves) const;
  /// found(packet, row, checks) for each row of the packet's leaves; ends a tree where it says so.
  template <class Found>
  [[gnu::always_inline]] inline void scan_scalar(const CutKey& key, const std::array<uint32_t, kTrees>& leaves, Found&& found) const;
  [[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,bmi,bmi2")]] void first_avx512(const Burst& burst, PortSlot port, const CutKey* keys,
                                                                                   const Leaves& leaves, unsigned begin, unsigned end,
                                                                                   uint32_t* best) const;
  [[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,bmi,bmi2")]] unsigned all_avx512(const Burst& burst, PortSlot port, const CutKey& key,
                                                                                     const std::array<uint32_t, kTrees>& leaves, unsigned i,
                                                                                     uint32_t* rows) const;
  [[nodiscard]] bool passes(uint32_t row, const PacketView& packet) const;

  Simd simd_ = Simd::kScalar;
  std::array<std::array<uint32_t, kTrees>, CutKey::kFamilies> roots_{};
  std::array<unsigned, 2> windows_{};  ///< of IPv6 source and destination: the first bit that is looked at
  unsigned trees_ = 0;                 ///< that have rows, of a family at least
  LargeVector<uint32_t> slots_;
  LargeVector<Block> blocks_;
  /// What is looked at of a row when its numbers hold: whole IPv6 addresses, and other criteria.
  struct Network {
    Interval src, dst;
  };
  struct Checks {
    uint32_t network = kNoRow;  ///< of networks_
    uint32_t begin = 0, size = 0;
  };
  LargeVector<Network> networks_;
  std::vector<Criterion> criteria_;
  LargeVector<Checks> checks_;  ///< by row
};

}  // namespace sluice
