// Which member of a tool group gets a packet: its hash names one of 1,024 buckets, the bucket a member. Buckets have a home, which the
// configuration gives them; while members are out, their buckets alone are elsewhere, and go home when they are back.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "packet/flow_hash.h"
#include "port/frame_pool.h"

namespace sluice {

/// Slots of a group's bucket table; a member's share is exact to one in so many.
inline constexpr unsigned kBuckets = 1024;
/// What is in a bucket: the position of its member, or why it has none.
namespace bucket {
inline constexpr uint8_t kNoMember = 0xFF;    ///< all that could have it are out
inline constexpr uint8_t kMemberDown = 0xFE;  ///< its member is down, and the group does not move flows
}  // namespace bucket
using Buckets = std::array<uint8_t, kBuckets>;

/// What becomes of the flows of a member that is down.
enum class Failover : uint8_t {
  kRebalance,  ///< the others share them
  kStandby,    ///< a port that stands by takes them all; without one, the others share them
  kDrop,
};

enum class MemberState : uint8_t {
  kUp,
  kDown,
  kDrained,  ///< by the operator: its flows move whatever the failover is
};

/// A bucket table that changes while the snapshot that has it is in force: published by a pointer of its own, so that a member that fails
/// costs no new snapshot.
class BucketTable {
 public:
  explicit BucketTable(const Buckets& buckets) { publish(buckets); }
  /// For the destination at hand: not to be kept. A worker.
  [[nodiscard]] const Buckets& in_force() const { return *in_force_.load(std::memory_order_acquire); }
  /// Control thread. The one before stays until retire().
  void publish(const Buckets& buckets) {
    owned_.push_back(std::make_unique<const Buckets>(buckets));
    in_force_.store(owned_.back().get(), std::memory_order_release);
  }
  /// Control thread, once every worker has begun another burst since publish().
  void retire() { owned_.erase(owned_.begin(), owned_.end() - 1); }

 private:
  std::atomic<const Buckets*> in_force_{nullptr};
  std::vector<std::unique_ptr<const Buckets>> owned_;
};

/// Tool ports that share a load.
struct Group {
  std::vector<PortSlot> members;      ///< those that share it, then those that stand by
  std::vector<uint32_t> weights;      ///< of those that share it, each above 0
  HashChoice hash;
  Failover failover = Failover::kRebalance;
  Buckets home{};                     ///< whose each bucket is while all members are up
  std::unique_ptr<BucketTable> table; ///< whose each bucket is now
};

/// Gives each bucket a home, so that each member's share is its weight's part, exact to one bucket, and neighbours differ. Requires weights.
[[nodiscard]] Buckets homes(std::span<const uint32_t> weights);

/// Where the buckets are in this state of all members: only those of members that are out are not at home. stands_in: of each member, which of
/// those that share the load it stands in for, or bucket::kNoMember; kept from call to call, so that who stands in goes on doing so.
[[nodiscard]] Buckets assign(const Group& group, std::span<const MemberState> states, std::vector<uint8_t>& stands_in);

/// The member's position in the group, or one of bucket's. The same flow, either direction, always the same member.
inline uint8_t pick_member(const Buckets& buckets, uint64_t flow_hash) {
  static_assert(kBuckets == 1U << 10);
  return buckets[flow_hash >> 54];
}

}  // namespace sluice
