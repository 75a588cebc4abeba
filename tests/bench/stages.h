// The stages of the packet path as things to measure: by the clock (bench.cpp) and by the instructions that callgrind counts
// (instructions.py). Each works on memory alone.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "port/frame_memory.h"
#include "port/port_queue.h"

namespace sluice::bench {

/// Runs a stage over some bursts; returns how many packets went through it.
using Once = std::function<uint64_t()>;

struct Stage {
  std::string name;
  std::function<Once()> make;  ///< its data is there as long as what it returns
};

/// All stages; their packets follow from the seed.
[[nodiscard]] std::vector<Stage> stages(unsigned seed);

/// An endless stream of frames of one length in, nothing behind the way out: what remains is the pipeline.
class EndlessPort : public PortQueue {
 public:
  EndlessPort(const FrameMemory& memory, uint32_t length) : memory_(memory), length_(length) {}
  void rx_burst(Burst& burst, FramePool& pool) override;
  void refill(FramePool&) override {}
  unsigned tx_burst(std::span<const Frame> frames) override;
  bool tx_chain(std::span<const Frame>) override { return false; }
  unsigned reap(std::span<uint32_t> done) override;
  void kick() override {}
  [[nodiscard]] int wait_fd() const override { return -1; }

 private:
  const FrameMemory& memory_;
  uint32_t length_;
  std::array<uint32_t, 2048> done_{};
  std::size_t posted_ = 0, reaped_ = 0;
};

}  // namespace sluice::bench
