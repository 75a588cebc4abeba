// A port queue in memory: gives the packets it was handed, records what is sent to it. What explain sends its one packet through.
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <vector>

#include "port/frame_memory.h"
#include "port/port_queue.h"

namespace sluice {

class MemoryPort final : public PortQueue {
 public:
  using Packet = std::vector<std::byte>;

  explicit MemoryPort(const FrameMemory& memory, MemoryClass memory_class = MemoryClass::kCopy) : memory_(memory), class_(memory_class) {}

  /// Received at the next rx_burst(), in as many frames as it needs, kMaxChain at most: what is longer is cut.
  void arrive(Packet packet) { arriving_.push_back(std::move(packet)); }
  /// Everything sent so far, in order.
  [[nodiscard]] const std::vector<Packet>& sent() const { return sent_; }

  void rx_burst(Burst& burst, FramePool& pool) override {
    burst.clear();
    std::array<Frame, kMaxChain> chain;
    while (burst.size < kBurst && !arriving_.empty()) {
      const Packet& packet = arriving_.front();
      const std::size_t chunk = memory_.chunk_size();
      const std::size_t count = std::clamp<std::size_t>((packet.size() + chunk - 1) / chunk, 1, kMaxChain);
      if (pool.free(class_) < count || burst.size + burst.rest_size + count > kBurst) break;
      for (std::size_t f = 0; f < count; ++f) {
        const uint32_t index = pool.lend(class_, 0);
        pool.received(index);
        const auto length = static_cast<uint32_t>(std::min(packet.size() - f * chunk, chunk));
        std::copy_n(packet.begin() + static_cast<std::ptrdiff_t>(f * chunk), length, memory_.chunk(index));
        chain[f] = {memory_.chunk(index), length, index};
      }
      burst.add(std::span(chain).first(count), 0);
      arriving_.pop_front();
    }
  }
  void refill(FramePool&) override {}
  unsigned tx_burst(std::span<const Frame> frames) override {
    for (const Frame& frame : frames) tx_chain({&frame, 1});
    return static_cast<unsigned>(frames.size());
  }
  bool tx_chain(std::span<const Frame> frames) override {
    Packet& packet = sent_.emplace_back();
    for (const Frame& frame : frames) {
      packet.insert(packet.end(), frame.data, frame.data + frame.length);
      done_.push_back(frame.index);
    }
    return true;
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
  MemoryClass class_;
  std::deque<Packet> arriving_;
  std::vector<Packet> sent_;
  std::deque<uint32_t> done_;
};

}  // namespace sluice
