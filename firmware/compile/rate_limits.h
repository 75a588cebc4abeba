// Rate limits outlive a revision that leaves them as they are: a commit gives nobody a new burst.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "engine/rate_limit.h"

namespace sluice::compile {

/// What a destination's limit lets through at once after a pause, nanoseconds of its rate.
inline constexpr uint64_t kLimitBurst = 10'000'000;
/// The same of a tool port: little, for it is to be spared bursts.
inline constexpr uint64_t kShaperBurst = 2'000'000;

/// Control thread.
class RateLimits {
 public:
  /// Null for 0 bits per second. owner: its id. A rate that was merely tried leaves the one in force alone.
  [[nodiscard]] std::shared_ptr<RateLimit> of(const std::string& owner, uint64_t bits_per_second, uint64_t burst_ns) {
    if (bits_per_second == 0) return nullptr;
    auto& known = known_[{owner, bits_per_second}];
    if (auto limit = known.lock()) return limit;
    auto limit = std::make_shared<RateLimit>(bits_per_second, burst_ns);
    known = limit;
    return limit;
  }
  /// Forgets those that no revision has any more.
  void forget_unused() {
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
  }

 private:
  std::map<std::pair<std::string, uint64_t>, std::weak_ptr<RateLimit>> known_;
};

}  // namespace sluice::compile
