// A worker's frames: which of its own are free, lent to a port, referred to and how often, or at another worker; and which of another
// worker's it has in its hands. Every frame has one place; census() counts them from the per-frame records, not from running totals.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "port/frame_memory.h"

namespace sluice {

using PortSlot = uint16_t;
inline constexpr PortSlot kNoPort = 0xFFFF;

/// Names one opening of a port: frames are lent to an opening, so that a port that is opened anew does not mix with what the kernel
/// still holds of the last time.
using Loan = uint16_t;

/// Where a worker's own frames are. pool + lent + held + worker + away = total, or a frame was lost or is in two places.
struct FrameCensus {
  uint64_t total = 0;
  uint64_t pool = 0;    ///< free, in the pool's stacks
  uint64_t lent = 0;    ///< in a port's fill ring or on its way from there
  uint64_t held = 0;    ///< referred to by tool queues and tx rings, this worker's or another's
  uint64_t worker = 0;  ///< in the worker's hands: the rest of the records
  uint64_t away = 0;    ///< handed over: another worker processes what is in them
  uint64_t guests = 0;  ///< other workers' frames here; counted in their `away`
  [[nodiscard]] int64_t lost() const { return static_cast<int64_t>(total) - static_cast<int64_t>(pool + lent + held + worker + away); }
};

/// Worker-private; no member is safe to call from another thread.
class FramePool {
 public:
  /// No frames are in it before add().
  FramePool(const FrameLayout& layout, uint32_t worker);

  /// The worker's own frames of this class are free from now on. Again: nothing. Not on the packet path.
  void add(MemoryClass c);
  [[nodiscard]] bool has(MemoryClass c) const { return added_[static_cast<unsigned>(c)]; }

  [[nodiscard]] uint32_t free(MemoryClass c) const { return static_cast<uint32_t>(stack(c).size()); }
  /// A free frame goes into the worker's hands. Requires free(c) > 0.
  uint32_t take(MemoryClass c) {
    auto& free = free_[static_cast<unsigned>(c)];
    const uint32_t index = free.back();
    free.pop_back();
    records_[index].place = Place::kWorker;
    return index;
  }
  /// A free frame is lent for reception. Requires free(c) > 0.
  uint32_t lend(MemoryClass c, Loan loan) {
    const uint32_t index = take(c);
    records_[index].place = Place::kLent;
    records_[index].count = loan;
    return index;
  }
  /// A lent frame came back with a packet in it.
  void received(uint32_t index) {
    assert(records_[index].place == Place::kLent);
    records_[index].place = Place::kWorker;
  }
  /// The frame is referred to `references` times from now on; 0 gives it back.
  void hold(uint32_t index, uint16_t references) {
    Record& r = records_[index];
    assert(r.place == Place::kWorker);
    if (references == 0) return give(index);
    r.place = Place::kHeld;
    r.count = references;
  }
  /// One reference ended; the last one gives the frame back.
  void release(uint32_t index) {
    Record& r = records_[index];
    assert(r.place == Place::kHeld && r.count > 0);
    if (--r.count == 0) give(index);
  }
  /// Takes back every frame of a loan that the kernel reads and writes no more.
  void reclaim(Loan loan);

  /// An own frame goes to another worker, who processes what is in it.
  void send_away(uint32_t index) {
    assert(records_[index].place == Place::kWorker);
    records_[index].place = Place::kAway;
  }
  /// Another worker's frame comes into this one's hands.
  void adopt(uint32_t index) {
    assert(records_[index].place == Place::kElsewhere);
    records_[index].place = Place::kWorker;
  }
  /// A message that a frame's reference ended elsewhere: of an own frame that was sent away, or of one that is held here.
  void returned(uint32_t index) {
    if (records_[index].place == Place::kAway) give(index);
    else release(index);
  }
  /// Guests that nothing here refers to any more, to be sent home to their owner; whoever sends them clears it.
  [[nodiscard]] std::vector<uint32_t>& homeward() { return homeward_; }

  [[nodiscard]] FrameCensus census() const;

 private:
  enum class Place : uint8_t { kElsewhere, kPool, kLent, kHeld, kWorker, kAway };
  struct Record {
    Place place;        ///< zero memory: kElsewhere
    uint8_t own_class;  ///< one more than the class; 0: another worker's
    uint16_t count;     ///< kLent: the loan; kHeld: references
  };
  struct Unmap {
    std::size_t bytes;
    void operator()(Record* records) const;
  };
  [[nodiscard]] const std::vector<uint32_t>& stack(MemoryClass c) const { return free_[static_cast<unsigned>(c)]; }
  void give(uint32_t index) {
    Record& r = records_[index];
    if (r.own_class == 0) {
      r.place = Place::kElsewhere;
      homeward_.push_back(index);
    } else {
      r.place = Place::kPool;
      free_[r.own_class - 1U].push_back(index);
    }
  }
  [[nodiscard]] std::span<Record> own(MemoryClass c) const;

  FrameLayout layout_;
  uint32_t worker_;
  std::unique_ptr<Record, Unmap> owned_records_;  ///< of all frames of the memory; zero pages until used
  Record* records_;
  std::array<bool, kMemoryClasses> added_{};
  std::array<std::vector<uint32_t>, kMemoryClasses> free_;
  std::vector<uint32_t> homeward_;
};

}  // namespace sluice
