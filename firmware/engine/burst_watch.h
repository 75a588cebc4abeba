// A tool port's busiest milliseconds: what all workers together asked it to take, and how its queues bore that.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/microbursts.h"

namespace sluice {

/// Control thread.
class BurstWatch {
 public:
  struct Peak {
    uint64_t bytes = 0;       ///< of the busiest millisecond, on the wire
    uint64_t at_unix_ns = 0;  ///< when that was; 0: nothing was asked for
    uint64_t deepest = 0;     ///< frames in each queue of the port at most, added up
    unsigned fullest = 0;     ///< percent of what it may hold that the fullest of them had
    uint32_t longest_us = 0;  ///< that a copy was in one of them
  };
  struct Clocks {
    uint64_t monotonic_ns, unix_ns;  ///< of one moment
  };
  static constexpr unsigned kSeconds = 600;
  /// Milliseconds. A worker reads the clock, and writes a little later.
  static constexpr uint64_t kLate = 5;

  /// Called once a second: adds what is over by now. One of `workers` for each; room: frames that each of their queues may hold, at least 1;
  /// late: how long ago the last millisecond is that nobody writes any more. Later than Microbursts::kKept, the first milliseconds are lost.
  void look(std::span<const std::unique_ptr<Microbursts>> workers, uint64_t room, const Clocks& now, uint64_t late = kLate);
  /// Of the time between the last two looks.
  [[nodiscard]] const Peak& last() const { return looks_[(next_ + kSeconds - 1) % kSeconds].peak; }
  /// Of looks of the last kSeconds seconds.
  [[nodiscard]] Peak highest(uint64_t monotonic_ns) const;

 private:
  struct Look {
    uint64_t at_ns = 0;  ///< monotonic
    Peak peak;
  };
  std::array<Look, kSeconds> looks_{};
  unsigned next_ = 0;
  uint64_t next_ms_ = 0;
};

}  // namespace sluice
