// The life of a packet. See pipeline.cpp, which is the description.
#pragma once

#include <bitset>

#include "engine/floor.h"
#include "engine/observer.h"
#include "engine/snapshot.h"

namespace sluice {

/// Runs on one thread. Observer: see observer.h.
template <class Observer>
class Pipeline {
 public:
  explicit Pipeline(Floor& floor, Observer observer = {}) : floor_(floor), observe_(std::move(observer)) {}

  /// One look at every port: what came in goes through all stages, what is done comes back. Returns whether there was work.
  bool run_once(const Snapshot& snapshot);

  /// Takes what waits at a port that is about to be closed: dequeued, and dropped as `port_not_configured`.
  void drain(PortSlot port);
  /// Counts what an outlet has sent by now.
  bool collect_completions_of(PortSlot port);
  /// Takes all of an outlet's copies back, counted as `port_closed`. Its queue is closed: the kernel reads none of their frames any more.
  void abandon(PortSlot port);

  [[nodiscard]] Observer& observer() { return observe_; }

 private:
  void receive(Inlet& inlet);
  bool admit(const Snapshot& snapshot, PortSlot port, unsigned i);
  void drop_packet(PortSlot port, unsigned i, PacketDrop reason);
  void fan_out(const Snapshot& snapshot, PortSlot port, unsigned i);
  void send_copies(const Snapshot& snapshot, uint32_t map, unsigned i);
  void queue_copy(const Snapshot& snapshot, uint32_t map, PortSlot port, uint32_t leg, const Frame& frame);
  void drop_copy(uint32_t map, PortSlot port, uint32_t leg, uint32_t bytes, CopyDrop reason);
  bool transmit();
  bool collect_completions();

  template <Line kLine>
  void count(Tally& tally, uint32_t bytes) {
    if (!observe_.counts(kLine)) return;
    ++tally.packets;
    tally.bytes += bytes;
  }
  template <Line kLine>
  void uncount(Tally& tally, uint32_t bytes) {
    if (!observe_.counts(kLine)) return;
    --tally.packets;
    tally.bytes -= bytes;
  }

  Floor& floor_;
  Observer observe_;
  /// Of the packet being fanned out: the tools that have a copy already, how many hold it, and its flow's hash once needed.
  std::bitset<kMaxPorts> has_copy_;
  uint16_t references_ = 0;
  uint64_t flow_hash_ = 0;
  bool hashed_ = false;
};

}  // namespace sluice
