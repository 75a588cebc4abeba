// A port queue in memory: gives the packets it was handed, records what is sent to it. What explain sends its one packet through.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

#include "port/frame_memory.h"
#include "port/port_queue.h"

namespace sluice {

class MemoryPort final : public PortQueue {
 public:
  using Packet = std::vector<std::byte>;

  MemoryPort(const FrameMemory& memory, PortSlot slot) : memory_(memory), slot_(slot) {}

  /// Received at the next rx_burst(). Longer than a chunk: cut to it.
  void arrive(Packet packet) { arriving_.push_back(std::move(packet)); }
  /// Everything sent so far, in order.
  [[nodiscard]] const std::vector<Packet>& sent() const { return sent_; }

  void rx_burst(Burst& burst, FramePool& pool) override {
    burst.size = 0;
    while (burst.size < kBurst && !arriving_.empty() && pool.free() > 0) {
      const Packet& packet = arriving_.front();
      const uint32_t index = pool.lend(slot_);
      pool.received(index);
      const auto length = static_cast<uint32_t>(std::min(packet.size(), memory_.chunk_size()));
      std::copy_n(packet.begin(), length, memory_.chunk(index));
      burst.frames[burst.size] = {memory_.chunk(index), length, index};
      burst.received_ns[burst.size] = 0;
      ++burst.size;
      arriving_.pop_front();
    }
  }
  void refill(FramePool&) override {}
  unsigned tx_burst(std::span<const Frame> frames) override {
    for (const Frame& frame : frames) {
      sent_.emplace_back(frame.data, frame.data + frame.length);
      done_.push_back(frame.index);
    }
    return static_cast<unsigned>(frames.size());
  }
  unsigned reap(std::span<uint32_t> done) override {
    unsigned count = 0;
    for (; count < done.size() && !done_.empty(); done_.pop_front()) done[count++] = done_.front();
    return count;
  }
  void kick() override {}
  [[nodiscard]] int wait_fd() const override { return -1; }

 private:
  const FrameMemory& memory_;
  PortSlot slot_;
  std::deque<Packet> arriving_;
  std::vector<Packet> sent_;
  std::deque<uint32_t> done_;
};

}  // namespace sluice
