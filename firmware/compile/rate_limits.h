// Rate limits outlive a revision that leaves them as they are: a commit gives nobody a new burst.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "engine/snapshot.h"
#include "sluice/v1/config.pb.h"

namespace sluice::compile {

/// What a tool port's limit lets through at once after a pause, nanoseconds of its rate: little, for it is to be spared bursts.
inline constexpr uint64_t kShaperBurst = 2'000'000;

/// Control thread.
class RateLimits {
 public:
  /// Null for a rate of 0. owner: its id. A rate that was merely tried leaves the one in force alone.
  [[nodiscard]] std::shared_ptr<RateLimit> of(const std::string& owner, uint64_t rate, uint64_t burst_ns,
                                              RateLimit::Unit unit = RateLimit::Unit::kByte) {
    if (rate == 0) return nullptr;
    auto& known = known_[{owner, rate, burst_ns, unit}];
    if (auto limit = known.lock()) return limit;
    auto limit = std::make_shared<RateLimit>(rate, burst_ns, unit);
    known = limit;
    return limit;
  }
  /// As a destination's operations say. owner: the map's id, and the tool's.
  void limit(SnapshotDestination& out, const std::string& owner, const v1::Operations& operations) {
    const uint64_t burst_ns = uint64_t{operations.has_limit_burst() ? operations.limit_burst() : 10} * 1'000'000;
    out.limit = of(owner, operations.rate_limit(), burst_ns);
    out.packet_limit = of(owner, operations.packet_rate_limit(), burst_ns, RateLimit::Unit::kPacket);
  }
  /// Forgets those that no revision has any more.
  void forget_unused() {
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
  }

 private:
  std::map<std::tuple<std::string, uint64_t, uint64_t, RateLimit::Unit>, std::weak_ptr<RateLimit>> known_;
};

}  // namespace sluice::compile
