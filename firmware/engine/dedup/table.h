// Which packets of a domain were seen within its window: one table for all workers, without a lock, one cache line a lookup. README.md
// says why two workers never both take the same packet for the first.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace sluice {

class DedupTable {
 public:
  /// Of a line: what is looked at for one packet. An entry is 16 bytes.
  static constexpr unsigned kWays = 4;
  static constexpr std::size_t kLineBytes = 64;
  /// Lines to prefetch ahead of the one that is looked at: a core waits for no more than about twenty at once, and drops what is beyond.
  static constexpr unsigned kAhead = 16;
  static constexpr std::size_t kLeastBytes = std::size_t{1} << 16;
  /// Nanoseconds that a worker may be late: the system takes its core away, and others go on. What is within the window by so much still
  /// counts as live when it is thrown out.
  static constexpr uint64_t kLateness = 5'000'000;

  /// bytes: a power of two, kLeastBytes at least; all of it is there when this returns. shared: by several workers. Errors: kExhausted.
  [[nodiscard]] static Result<DedupTable> make(std::size_t bytes, bool shared);
  ~DedupTable();
  DedupTable(DedupTable&& other) noexcept;
  DedupTable& operator=(DedupTable&&) = delete;

  enum class Answer : uint8_t {
    kFirst,         ///< not seen within the window; from now on it is
    kFirstEvicted,  ///< the same, and a packet that was had to be forgotten for it
    kDuplicate,
  };

  /// Says whether a packet was seen within the window, in nanoseconds. A duplicate does not make its first one younger. now: the same clock for all
  /// workers, within kLateness. fingerprint: not 0. prefetch() some time before. Any worker.
  [[nodiscard]] Answer look_up(uint64_t fingerprint, uint64_t now, uint64_t window);
  /// To be written: another core gives the line up at once.
  void prefetch(uint64_t fingerprint) const { asm volatile("prefetchw %0" : : "m"(*line_of(fingerprint))); }

  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct alignas(16) Entry {
    uint64_t fingerprint;  ///< 0: none was ever here
    uint64_t stamp;        ///< nanoseconds. Of one place in a shared table it never goes back
  };
  DedupTable(void* memory, std::size_t bytes, bool shared);
  [[nodiscard]] Entry* line_of(uint64_t fingerprint) const { return entries_ + (fingerprint >> shift_) * kWays; }
  bool replace(Entry& entry, const Entry& known, const Entry& by) const;

  Entry* entries_;
  std::size_t bytes_;
  unsigned shift_;
  bool shared_;
};

}  // namespace sluice
