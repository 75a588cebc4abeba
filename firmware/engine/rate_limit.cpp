#include "engine/rate_limit.h"

#include <algorithm>

namespace sluice {

RateLimit::RateLimit(uint64_t rate, uint64_t burst_ns, Unit unit)
    : rate_(rate), ticks_per_unit_((unit == Unit::kByte ? 8e9 : 1e9) * kTicks / static_cast<double>(rate)), burst_(burst_ns * kTicks) {}

uint64_t RateLimit::ticks_of(uint64_t units) const { return static_cast<uint64_t>(static_cast<double>(units) * ticks_per_unit_); }

uint64_t RateLimit::claim(uint64_t now_ns, uint64_t wanted) {
  const uint64_t now = now_ns * kTicks, end = now + burst_;
  uint64_t paid = paid_until_.load(std::memory_order_relaxed);
  for (;;) {
    const uint64_t from = std::max(paid, now);
    if (from >= end || wanted == 0) return 0;
    // At least one: a byte, whose packet may owe what it is longer.
    const double room = static_cast<double>(end - from) / ticks_per_unit_;
    const uint64_t claimed = room >= static_cast<double>(wanted) ? wanted : std::max<uint64_t>(static_cast<uint64_t>(room), 1);
    if (paid_until_.compare_exchange_weak(paid, from + ticks_of(claimed), std::memory_order_relaxed)) return claimed;
  }
}

void RateLimit::settle(uint64_t claimed, uint64_t sent) {
  if (sent == claimed) return;
  paid_until_.fetch_add(ticks_of(sent) - ticks_of(claimed), std::memory_order_relaxed);  // modulo 2^64: may take away
}

}  // namespace sluice
