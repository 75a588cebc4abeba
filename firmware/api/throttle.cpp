#include "api/throttle.h"

#include <algorithm>

namespace sluice::api {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kLongest = 60 * kSecond;
constexpr uint64_t kForgotten = 3600 * kSecond;

}  // namespace

uint64_t Throttle::delay_ns(const Entry& entry) const {
  if (entry.failures <= free_) return 0;
  const unsigned beyond = std::min(entry.failures - free_ - 1, 6U);
  return std::min(kSecond << beyond, kLongest);
}

uint64_t Throttle::wait_ns(const std::string& who, uint64_t now) const {
  const auto found = entries_.find(who);
  if (found == entries_.end()) return 0;
  const uint64_t until = found->second.last_ns + delay_ns(found->second);
  return until > now ? until - now : 0;
}

void Throttle::failed(const std::string& who, uint64_t now) {
  if (entries_.size() >= kMost && !entries_.contains(who))
    entries_.erase(std::min_element(entries_.begin(), entries_.end(),
                                    [](const auto& a, const auto& b) { return a.second.last_ns < b.second.last_ns; }));
  auto& entry = entries_[who];
  if (now - entry.last_ns > kForgotten) entry.failures = 0;
  ++entry.failures;
  entry.last_ns = now;
}

}  // namespace sluice::api
