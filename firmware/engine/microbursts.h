// What a tool port is asked for by the millisecond, and how its queue bears it: a burst of a few milliseconds overruns a tool that is idle
// on average, and no rate by the second shows it. A millisecond is one of the worker's: packets that waited for it are counted when it gets to
// them.
//
// A worker has one for each tool port, and writes it; the control thread reads, at any time: no lock, no read-modify-write. All workers count
// by one clock, so that their milliseconds can be added.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

namespace sluice {

/// Bytes of a packet on the wire that are not in the frame: checksum, preamble and gap (IEEE 802.3, clauses 3 and 4).
inline constexpr uint64_t kWireOverhead = 4 + 8 + 12;
/// Bytes that a frame is padded to, without its checksum.
inline constexpr uint64_t kShortestFrame = 60;

class Microbursts {
 public:
  /// Milliseconds that are kept. The control thread looks once a second.
  static constexpr unsigned kKept = 2048;
  struct Millisecond {
    uint64_t bytes = 0;       ///< of the copies that the port was asked to take, whatever became of them
    uint32_t deepest = 0;     ///< frames in its queue at most
    uint32_t longest_us = 0;  ///< that a copy was in it at most, until it left or was looked for
  };

  // ---- The worker. now: monotonic nanoseconds; what is told late is told of the newest millisecond ----
  void asked(uint64_t now, uint64_t bytes) {
    auto& of = at(now);
    set(of.bytes, of.bytes.load(std::memory_order_relaxed) + bytes);
  }
  void holds(uint64_t now, uint32_t frames) { raise(at(now).deepest, frames); }
  void waited(uint64_t now, uint64_t nanoseconds) {
    raise(at(now).longest_us, static_cast<uint32_t>(std::min<uint64_t>(nanoseconds / 1000, UINT32_MAX)));
  }

  // ---- Any thread ----
  /// A millisecond of the same clock that is over; nothing: it is too long ago.
  [[nodiscard]] std::optional<Millisecond> read(uint64_t millisecond) const {
    if (millisecond > newest_.load(std::memory_order_acquire)) return Millisecond();
    const Slot& of = slots_[millisecond % kKept];
    const Millisecond out{of.bytes.load(std::memory_order_relaxed), of.deepest.load(std::memory_order_relaxed),
                          of.longest_us.load(std::memory_order_relaxed)};
    std::atomic_thread_fence(std::memory_order_acquire);
    // The worker says first that it takes a slot anew.
    if (millisecond + kKept <= begun_.load(std::memory_order_relaxed)) return std::nullopt;
    return out;
  }

 private:
  struct Slot {
    std::atomic<uint64_t> bytes{0};
    std::atomic<uint32_t> deepest{0}, longest_us{0};
  };
  template <class T>
  static void set(std::atomic<T>& to, T value) {
    to.store(value, std::memory_order_relaxed);
  }
  static void raise(std::atomic<uint32_t>& to, uint32_t value) {
    if (value > to.load(std::memory_order_relaxed)) set(to, value);
  }
  Slot& at(uint64_t now) {
    const uint64_t last = newest_.load(std::memory_order_relaxed), millisecond = std::max(now / 1'000'000, last);
    if (millisecond != last) [[unlikely]] begin(millisecond, last);
    return slots_[millisecond % kKept];
  }
  void begin(uint64_t millisecond, uint64_t last) {
    begun_.store(millisecond, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for (uint64_t ms = std::max(last + 1, millisecond - std::min<uint64_t>(millisecond, kKept - 1)); ms <= millisecond; ++ms) {
      Slot& of = slots_[ms % kKept];
      set(of.bytes, uint64_t{0}), set(of.deepest, uint32_t{0}), set(of.longest_us, uint32_t{0});
    }
    newest_.store(millisecond, std::memory_order_release);
  }

  std::atomic<uint64_t> begun_{0}, newest_{0};  ///< milliseconds; different while slots are emptied
  std::array<Slot, kKept> slots_{};
};

}  // namespace sluice
