// Which flows make up what the members of tool groups get: how many there are, and the largest ones. Beside the pipeline, on the packets that it
// distributes, for a while.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/net.h"
#include "engine/distribute.h"
#include "engine/transform/slice.h"
#include "packet/frame.h"

namespace sluice {

/// Of the packet that showed a flow first: what to call it.
struct FlowName {
  bool ip = false;  ///< otherwise MAC addresses and EtherType
  bool v6 = false;
  bool has_ports = false;
  uint8_t protocol = 0;
  uint16_t ethertype = 0;
  uint16_t src_port = 0, dst_port = 0;
  std::array<std::byte, 16> src{}, dst{};
};

/// One worker's. Worker thread; it is given to a floor and taken from it between bursts.
class FlowCensus {
 public:
  /// Of a group's flows so many are followed. Whatever has more than one part in so many of what was looked at is among them (Space-Saving: Metwally,
  /// Agrawal, El Abbadi, ICDT 2005).
  static constexpr unsigned kLargest = 64;
  /// One burst in so many, chosen at random, is looked at for large flows; all are for how many there are.
  static constexpr unsigned kSampled = 16;

  struct Flow {
    uint64_t hash = 0;  ///< that the group balances by
    uint64_t bytes = 0;
    uint64_t others = 0;  ///< of these, at most so many belong to flows that gave way to it
    FlowName name;
  };
  struct OfGroup {
    /// For each bucket, a bit for some of the hashes that came (linear counting: Whang, Vander-Zanden, Taylor, TODS 1990).
    std::array<uint64_t, kBuckets> seen{};
    std::vector<Flow> flows;
    uint64_t bytes = 0;  ///< that were looked at for large flows
  };

  /// groups: as many as the snapshot in force has.
  explicit FlowCensus(std::size_t groups);

  /// The packets of a burst that a group's members get, with the hashes that it balances by.
  void note(std::size_t group, const HashChoice& choice, const Slice& slice, const Burst& burst, const std::array<uint64_t, kBurst>& hashes,
            uint64_t packets);

  [[nodiscard]] const OfGroup& of(std::size_t group) const { return groups_[group]; }

 private:
  static void add(OfGroup& to, uint64_t hash, uint32_t bytes, const std::byte* frame, const Parsed& parsed, const HashChoice& choice);

  std::vector<OfGroup> groups_;
  uint64_t random_ = 0x9E3779B97F4A7C15U;
  unsigned until_next_ = 1;  ///< burst that is looked at
};

/// Flows of a bucket of which these bits were seen; up to some 250.
[[nodiscard]] double flows_of(uint64_t seen);

}  // namespace sluice
