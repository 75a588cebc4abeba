// A port queue in memory that fails as the kernel's may: for faults that no kernel gives on demand.
#pragma once

#include <algorithm>
#include <climits>
#include <vector>

#include "port/memory_port.h"

namespace sluice {

class FakePort final : public PortQueue {
 public:
  struct Faults {
    unsigned tx_ring = UINT_MAX;     ///< frames that may be posted and not completed: a full ring takes no more
    unsigned tx_at_once = UINT_MAX;  ///< frames that one call takes
    unsigned complete_at_once = UINT_MAX;
    unsigned lose_every = 0;      ///< each so-many-th posted frame is never completed (a bad descriptor, a link that resets); 0: none
    bool stuck = false;           ///< nothing is completed any more
    bool backwards = false;       ///< completions come in the opposite order
    std::vector<uint32_t> bogus;  ///< indices that are completed and were never posted
  };

  explicit FakePort(const FrameMemory& memory) : inner_(memory) {}

  Faults faults;
  [[nodiscard]] const std::vector<MemoryPort::Packet>& sent() const { return inner_.sent(); }
  void arrive(MemoryPort::Packet packet) { inner_.arrive(std::move(packet)); }
  /// Frames whose completion was lost.
  [[nodiscard]] std::size_t lost() const { return lost_; }

  void rx_burst(Burst& burst, FramePool& pool) override { inner_.rx_burst(burst, pool); }
  void refill(FramePool&) override {}
  unsigned tx_burst(std::span<const Frame> frames) override {
    const std::size_t room = faults.tx_ring - std::min<std::size_t>(faults.tx_ring, done_.size());
    const std::size_t count = std::min({frames.size(), room, std::size_t{faults.tx_at_once}});
    for (const Frame& frame : frames.first(count)) {
      inner_.tx_burst({&frame, 1});
      post(frame);
    }
    return static_cast<unsigned>(count);
  }
  bool tx_chain(std::span<const Frame> frames) override {
    if (done_.size() + frames.size() > faults.tx_ring) return false;
    inner_.tx_chain(frames);
    for (const Frame& frame : frames) post(frame);
    return true;
  }
  unsigned reap(std::span<uint32_t> done) override {
    unsigned count = 0;
    for (; count < done.size() && !faults.bogus.empty(); faults.bogus.pop_back()) done[count++] = faults.bogus.back();
    if (faults.stuck) return count;
    for (unsigned n = 0; n < faults.complete_at_once && count < done.size() && !done_.empty(); ++n) {
      const auto at = faults.backwards ? done_.end() - 1 : done_.begin();
      done[count++] = *at;
      done_.erase(at);
    }
    return count;
  }
  void kick() override {}
  [[nodiscard]] int wait_fd() const override { return -1; }

 private:
  void post(const Frame& frame) {
    if (faults.lose_every && ++posted_ % faults.lose_every == 0) ++lost_;
    else done_.push_back(frame.index);
  }
  MemoryPort inner_;
  std::vector<uint32_t> done_;
  unsigned posted_ = 0;
  std::size_t lost_ = 0;
};

}  // namespace sluice
