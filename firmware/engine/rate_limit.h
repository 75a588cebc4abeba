// A rate that all workers keep together: a token bucket in one word, which says until when all that was sent is paid for (the virtual
// scheduling algorithm, ITU-T I.371 annex A). Who wants to send claims what there is by a compare-and-swap, for a burst of packets at once.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/cache_line.h"

namespace sluice {

/// Any thread; there is one word, and no order among what several claim at once.
class RateLimit {
 public:
  /// What it counts: claims are of so many.
  enum class Unit : uint8_t { kByte, kPacket };
  /// rate: bits per second, or packets. burst_ns: what was not used is kept for so long.
  RateLimit(uint64_t rate, uint64_t burst_ns, Unit unit = Unit::kByte);

  [[nodiscard]] uint64_t rate() const { return rate_; }
  [[nodiscard]] uint64_t burst_ns() const { return burst_ / kTicks; }
  /// Takes up to so many bytes, or packets, of what may be sent now, and returns how many; 0: wait. now_ns: a clock that is the same for all.
  [[nodiscard]] uint64_t claim(uint64_t now_ns, uint64_t wanted);
  /// What was claimed is not what was sent: the last packet was longer than that, or there was no room for all. The difference is owed, or
  /// given back.
  void settle(uint64_t claimed, uint64_t sent);

 private:
  /// Ticks are sixteenths of a nanosecond: 60 bytes at 800 Gb/s take ten.
  static constexpr unsigned kTicks = 16;
  [[nodiscard]] uint64_t ticks_of(uint64_t units) const;

  uint64_t rate_;
  double ticks_per_unit_;
  uint64_t burst_;  ///< ticks
  alignas(kCacheLine) std::atomic<uint64_t> paid_until_{0};  ///< ticks
};

}  // namespace sluice
