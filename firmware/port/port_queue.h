// One queue of one port as a worker sees it: AF_XDP, a capture file, or memory. One virtual call a burst, and one for a packet of several
// frames.
#pragma once

#include <cstdint>
#include <span>

#include "packet/frame.h"
#include "port/frame_pool.h"

namespace sluice {

/// Owned by the control thread, used by exactly one worker at a time.
class PortQueue {
 public:
  virtual ~PortQueue() = default;

  /// Takes up to kBurst packets that arrived into the burst, which it clears first. The frames are in the worker's hands afterwards
  /// (pool.received() was called for each). Whole packets only.
  virtual void rx_burst(Burst& burst, FramePool& pool) = 0;

  /// Lends free frames for reception, as many as the port has room for and its reserve allows.
  virtual void refill(FramePool& pool) = 0;

  /// Posts frames for transmission by reference, in order, each a packet; returns how many were taken. A posted frame stays untouched
  /// until reap() names it.
  virtual unsigned tx_burst(std::span<const Frame> frames) = 0;

  /// Posts one packet of several frames, whole or not at all; false: no room. Each frame is named by reap().
  virtual bool tx_chain(std::span<const Frame> frames) = 0;

  /// Indices of posted frames whose transmission ended, one entry a posting; returns how many.
  virtual unsigned reap(std::span<uint32_t> done) = 0;

  /// Tells the kernel that there is work, where it asked for that. Called once a loop.
  virtual void kick() = 0;

  /// Readable when packets wait; -1: nothing to wait for.
  [[nodiscard]] virtual int wait_fd() const = 0;
};

}  // namespace sluice
