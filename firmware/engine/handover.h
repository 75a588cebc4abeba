// What workers hand each other: received packets (where a port has fewer queues than there are workers), copies for a tool port whose
// queue another worker owns, and the news that a frame is not referred to any more. No lock: one ring a kind, direction and pair of
// workers, each with one writer and one reader.
//
//   packet   owner ──packets──▶ processor   the frame is `away` for its owner, a guest for the processor
//   copy     processor ──copies──▶ sender   the processor goes on counting the frame's references
//   return   whoever got one of the two sends just one message back, when it is done with the frame
#pragma once

#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/cache_line.h"
#include "engine/backlog.h"
#include "packet/frame.h"
#include "port/frame_pool.h"

namespace sluice {

/// One writer, one reader. What is pushed is seen after flush(); what is popped is free for the writer after done().
template <class T>
class SpscRing {
 public:
  explicit SpscRing(uint32_t capacity) : capacity_(capacity), slots_(std::make_unique_for_overwrite<T[]>(capacity)) {}

  [[nodiscard]] uint32_t capacity() const { return capacity_; }
  /// Writer: free slots, at most those that it knows of unless they are fewer than `wanted`.
  uint32_t room(uint32_t wanted) {
    if (capacity_ - (pushed_ - known_popped_) < wanted) known_popped_ = popped_shared_.load(std::memory_order_acquire);
    return capacity_ - (pushed_ - known_popped_);
  }
  /// Writer. Requires room.
  void push(const T& value) { slots_[pushed_++ & (capacity_ - 1)] = value; }
  /// Writer: shows what was pushed. Whether there was anything new. Sequentially consistent, because the writer looks next whether the
  /// reader sleeps, and the reader says that it sleeps and looks here once more.
  bool flush() {
    if (pushed_shared_.load(std::memory_order_relaxed) == pushed_) return false;
    pushed_shared_.store(pushed_, std::memory_order_seq_cst);
    return true;
  }

  /// Reader: the oldest value; null: none.
  const T* front() {
    if (popped_ == known_pushed_) known_pushed_ = pushed_shared_.load(std::memory_order_acquire);
    return popped_ == known_pushed_ ? nullptr : &slots_[popped_ & (capacity_ - 1)];
  }
  /// Reader. Requires front().
  void pop() { ++popped_; }
  /// Reader: gives the popped slots back.
  void done() {
    if (popped_shared_.load(std::memory_order_relaxed) != popped_) popped_shared_.store(popped_, std::memory_order_release);
  }
  /// Reader: whether something waits, in the order that sleeping needs.
  [[nodiscard]] bool waits() const { return pushed_shared_.load(std::memory_order_seq_cst) != popped_; }

 private:
  uint32_t capacity_;  ///< a power of two
  std::unique_ptr<T[]> slots_;
  alignas(kCacheLine) uint32_t pushed_ = 0;
  uint32_t known_popped_ = 0;
  alignas(kCacheLine) uint32_t popped_ = 0;
  uint32_t known_pushed_ = 0;
  alignas(kCacheLine) std::atomic<uint32_t> pushed_shared_{0};
  alignas(kCacheLine) std::atomic<uint32_t> popped_shared_{0};
};

/// A frame of a received packet.
struct PassedFrame {
  Frame frame;
  uint64_t received_ns;
  PortSlot port;
  MemoryClass memory_class;
  bool last;  ///< no more frames of this packet follow
};

/// A frame of a copy.
struct PassedCopy {
  Frame frame;
  uint32_t leg;
  uint32_t bytes;  ///< of the whole copy
  PortSlot port;
  Loan loan;  ///< the opening of the port that it was meant for
  Priority priority;
  bool last;  ///< no more frames of this copy follow
};

/// Everything from one worker to one other.
struct Lane {
  static constexpr uint32_t kPackets = 4096;
  static constexpr uint32_t kCopies = 8192;
  /// Returns at least: as many as the other side may owe. What a worker has with another one never exceeds it, so that a return always
  /// finds room.
  static constexpr uint32_t kLeastReturns = 65536;
  /// Twice the frames of a worker are more than the queues of all its tool ports may hold together (compile/budget.h): a tool that stands
  /// still does not fill the lane.
  explicit Lane(uint32_t frames_per_worker = 0) : returns(std::max(std::bit_ceil(2 * frames_per_worker), kLeastReturns)) {}
  SpscRing<PassedFrame> packets{kPackets};
  SpscRing<PassedCopy> copies{kCopies};
  SpscRing<uint32_t> returns;
};

/// Wakes a worker that sleeps.
class Doorbell {
 public:
  explicit Doorbell(int fd) : fd_(fd) {}
  /// The sleeper's side: set before the last look into the rings, cleared after waking.
  void asleep(bool value) { asleep_.store(value, std::memory_order_seq_cst); }
  /// Any other worker, after what it has for the sleeper can be seen.
  void ring() {
    if (asleep_.load(std::memory_order_seq_cst)) eventfd_write(fd_, 1);
  }

 private:
  std::atomic<bool> asleep_{false};
  int fd_;
};

/// One worker's view of another. Worker-private, but for the lanes and the doorbell.
class Peer {
 public:
  Peer(uint32_t worker, Lane& to, Lane& from, Doorbell& doorbell) : worker_(worker), to_(to), from_(from), doorbell_(doorbell) {}

  [[nodiscard]] uint32_t worker() const { return worker_; }
  /// Whether a packet or copy of so many frames can be handed over.
  [[nodiscard]] bool takes_packet(uint32_t frames) { return owed_ + frames <= from_.returns.capacity() && to_.packets.room(frames) >= frames; }
  [[nodiscard]] bool takes_copy(uint32_t frames) { return owed_ + frames <= from_.returns.capacity() && to_.copies.room(frames) >= frames; }
  void pass(const PassedFrame& frame) { to_.packets.push(frame), ++owed_; }
  void pass(const PassedCopy& copy) { to_.copies.push(copy), ++owed_; }
  /// One frame that came from there is done with. There is always room.
  void give_back(uint32_t frame) {
    (void)to_.returns.room(1);
    to_.returns.push(frame);
  }
  /// Calls `done(frame)` for every frame that came back.
  void take_returns(auto&& done) {
    while (const uint32_t* frame = from_.returns.front()) {
      done(*frame);
      --owed_;
      from_.returns.pop();
    }
    from_.returns.done();
  }
  [[nodiscard]] SpscRing<PassedFrame>& packets() { return from_.packets; }
  [[nodiscard]] SpscRing<PassedCopy>& copies() { return from_.copies; }
  /// Shows the other worker what it was given, once a loop.
  void flush() {
    const bool any =
        static_cast<unsigned>(to_.packets.flush()) | static_cast<unsigned>(to_.copies.flush()) | static_cast<unsigned>(to_.returns.flush());
    if (any) doorbell_.ring();
  }
  [[nodiscard]] bool waits() const { return from_.packets.waits() || from_.copies.waits() || from_.returns.waits(); }
  /// Frames that the other worker has of this one.
  [[nodiscard]] uint32_t owed() const { return owed_; }

 private:
  uint32_t worker_;
  Lane& to_;
  Lane& from_;
  Doorbell& doorbell_;
  uint32_t owed_ = 0;
};

}  // namespace sluice
