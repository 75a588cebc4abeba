// Which member of a tool group gets a packet.
#pragma once

#include <cstdint>
#include <span>

#include "engine/snapshot.h"

namespace sluice {

/// The member's position in the group, or kNoMember. The same flow, either direction, always the same member.
inline uint8_t pick_member(const Group& group, uint64_t flow_hash) {
  static_assert(kBuckets == 1U << 10);
  return group.buckets[flow_hash >> 54];
}

/// Fills a bucket table so that each member's share is its weight's part, exact to one bucket, and neighbours differ. Weight 0:
/// drained. All 0: every bucket is kNoMember.
void fill_buckets(Group& group, std::span<const uint32_t> weights);

}  // namespace sluice
