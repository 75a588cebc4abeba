// The two clocks: wall time for what people and captures read, monotonic time for intervals.
#pragma once

#include <cstdint>
#include <ctime>

namespace sluice {

inline uint64_t clock_ns(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(t.tv_nsec);
}
/// Nanoseconds since the Unix epoch. Any thread.
inline uint64_t wall_ns() { return clock_ns(CLOCK_REALTIME); }
/// The same, exact to some milliseconds and cheaper. Any thread.
inline uint64_t coarse_wall_ns() { return clock_ns(CLOCK_REALTIME_COARSE); }
/// Nanoseconds of CLOCK_MONOTONIC. Any thread.
inline uint64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }

}  // namespace sluice
