// A worker's own frames: which are free, which are lent to a port for reception, which are referred to and how often.
// Every frame has one place; census() counts them from the per-frame records, not from running totals.
#pragma once

#include <cassert>
#include <cstdint>
#include <vector>

namespace sluice {

using PortSlot = uint16_t;
inline constexpr PortSlot kNoPort = 0xFFFF;

/// Where a worker's frames are. pool + lent + held + worker = total, or a frame was lost or is in two places.
struct FrameCensus {
  uint64_t total = 0;
  uint64_t pool = 0;    ///< free, in the pool's stack
  uint64_t lent = 0;    ///< in a port's fill ring or on its way from there
  uint64_t held = 0;    ///< referred to by tool queues and tx rings
  uint64_t worker = 0;  ///< in the worker's hands: the rest of the records
  [[nodiscard]] int64_t lost() const { return static_cast<int64_t>(total) - static_cast<int64_t>(pool + lent + held + worker); }
};

/// Worker-private; no member is safe to call from another thread.
class FramePool {
 public:
  /// The frames [first, first + count) of a frame memory.
  FramePool(uint32_t first, uint32_t count) : first_(first), frames_(count) {
    free_.reserve(count);
    for (uint32_t i = count; i > 0; --i) free_.push_back(first + i - 1);
  }

  [[nodiscard]] uint32_t free() const { return static_cast<uint32_t>(free_.size()); }

  /// A free frame goes into the worker's hands. Requires free() > 0.
  uint32_t take() {
    const uint32_t index = free_.back();
    free_.pop_back();
    at(index).place = Place::kWorker;
    return index;
  }
  /// A free frame is lent to a port for reception. Requires free() > 0.
  uint32_t lend(PortSlot port) {
    const uint32_t index = take();
    at(index) = {Place::kLent, port, 0};
    return index;
  }
  /// A lent frame came back with a packet in it.
  void received(uint32_t index) {
    assert(at(index).place == Place::kLent);
    at(index).place = Place::kWorker;
  }
  /// The frame is referred to `references` times from now on; 0 gives it back.
  void hold(uint32_t index, uint16_t references) {
    assert(at(index).place == Place::kWorker);
    if (references == 0) return give(index);
    at(index) = {Place::kHeld, kNoPort, references};
  }
  /// One reference ended; the last one gives the frame back.
  void release(uint32_t index) {
    assert(at(index).place == Place::kHeld && at(index).references > 0);
    if (--at(index).references == 0) give(index);
  }
  /// Takes back every frame lent to a port whose socket is closed.
  void reclaim(PortSlot port) {
    for (uint32_t i = 0; i < frames_.size(); ++i)
      if (frames_[i].place == Place::kLent && frames_[i].port == port) give(first_ + i);
  }

  [[nodiscard]] FrameCensus census() const {
    FrameCensus c{.total = frames_.size(), .pool = free_.size()};
    for (const auto& frame : frames_) {
      c.lent += frame.place == Place::kLent;
      c.held += frame.place == Place::kHeld;
      c.worker += frame.place == Place::kWorker;
    }
    return c;
  }

 private:
  enum class Place : uint8_t { kPool, kLent, kHeld, kWorker };
  struct Record {
    Place place = Place::kPool;
    PortSlot port = kNoPort;
    uint16_t references = 0;
  };
  Record& at(uint32_t index) { return frames_[index - first_]; }
  void give(uint32_t index) {
    at(index) = {};
    free_.push_back(index);
  }

  uint32_t first_;
  std::vector<Record> frames_;
  std::vector<uint32_t> free_;
};

}  // namespace sluice
