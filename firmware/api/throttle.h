// Delays for those who guess passwords.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace sluice::api {

/// After some failures each further one doubles the time that its author has to wait: 1 s, 2 s, ... a minute. One thread at a time.
class Throttle {
 public:
  explicit Throttle(unsigned free_failures) : free_(free_failures) {}

  /// Nanoseconds that `who` still has to wait; 0: may try. now: of CLOCK_MONOTONIC.
  [[nodiscard]] uint64_t wait_ns(const std::string& who, uint64_t now) const;
  void failed(const std::string& who, uint64_t now);
  void succeeded(const std::string& who) { entries_.erase(who); }

  /// No more than these are remembered; the one whose failure is longest ago gives way.
  static constexpr std::size_t kMost = 4096;

 private:
  struct Entry {
    unsigned failures = 0;
    uint64_t last_ns = 0;
  };
  [[nodiscard]] uint64_t delay_ns(const Entry& entry) const;

  unsigned free_;
  std::map<std::string, Entry> entries_;
};

}  // namespace sluice::api
