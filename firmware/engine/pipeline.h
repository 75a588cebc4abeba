// The life of a packet. See pipeline.cpp, which is the description; its longer stages stand in the headers that it includes.
#pragma once

#include <algorithm>
#include <bit>
#include <span>

#include "base/clock.h"
#include "engine/floor.h"
#include "engine/observer.h"
#include "engine/snapshot.h"

namespace sluice {

/// Calls f(i) for each packet of a mask, lowest first.
inline void each(uint64_t packets, auto&& f) {
  for (; packets != 0; packets &= packets - 1) f(static_cast<unsigned>(std::countr_zero(packets)));
}

/// Runs on one thread. Observer: see observer.h.
template <class Observer>
class Pipeline {
 public:
  explicit Pipeline(Floor& floor, Observer observer = {}) : floor_(floor), observe_(std::move(observer)) {}

  /// One look at every port: what came in goes through all stages, what is done comes back. Returns whether there was work.
  bool run_once(const Snapshot& snapshot);

  /// Takes what waits at a port that is about to be closed: dequeued, and dropped as `port_not_configured`.
  void drain(PortSlot port);
  /// A tool port is about to be closed: what it has sent by now is counted, the rest keeps its frames until give_up().
  void detain(PortSlot port);
  /// The kernel reads and writes nothing of this opening of a port any more: its copies end as `port_closed`, its frames are free. False:
  /// there are more, call again; packets are not to wait for all of a large buffer.
  bool give_up(Loan loan);
  static constexpr unsigned kGivenUpAtOnce = 16384;  ///< frames

  /// Tells each tool port's Microbursts what waits in its queue at present. Called once a second.
  void note_waiting();

  [[nodiscard]] Observer& observer() { return observe_; }

 private:
  void receive(Inlet& inlet);
  void process(const Snapshot& snapshot, PortSlot port, MemoryClass memory_class);
  bool admit(const Snapshot& snapshot, PortSlot port);
  void decide(const Snapshot& snapshot, PortSlot port, MemoryClass memory_class);
  void filter_ingress(const Snapshot& snapshot, PortSlot port);
  void mark_duplicates(const Snapshot& snapshot, PortSlot port);
  void filter_egress(const Snapshot& snapshot, PortSlot port);
  void select(const Snapshot& snapshot, PortSlot port);
  /// Ends packet i and gives its frames back. It is still in the burst: whoever drops single packets takes them out, as filter_ingress()
  /// does, before select() and hold_frames() look at them.
  void drop_packet(PortSlot port, unsigned i, PacketDrop reason);

  // fragment_stage.h
  void join_fragments(PortSlot port, MemoryClass memory_class);
  bool release_fragments(const Snapshot& snapshot);

  // handover_stage.h
  void hand_over(const Inlet& inlet);
  bool take_returns();
  bool process_passed(const Snapshot& snapshot);
  bool take_copies(const Snapshot& snapshot);
  void take_copy(const Snapshot& snapshot, Peer& peer);
  void flush_peers();
  void release(uint32_t frame, uint32_t holder);

  // fan_out_stage.h
  void fan_out(const Snapshot& snapshot, MemoryClass memory_class);
  void send_copies(const Snapshot& snapshot, uint32_t map, uint64_t packets);
  [[nodiscard]] uint64_t wanted(const SnapshotDestination& destination, uint64_t packets) const {
    return destination.keeps_duplicates ? packets : packets & ~floor_.bench.duplicates;
  }
  uint64_t keep_rate(uint32_t map, const SnapshotDestination& destination, uint64_t packets);
  void distribute(const Snapshot& snapshot, uint32_t map, const SnapshotDestination& destination, uint64_t packets);
  void load(const Snapshot& snapshot, uint32_t map, const SnapshotDestination& destination, PortSlot port, uint32_t leg, uint64_t packets);
  [[nodiscard]] uint64_t alike(const Load& load, uint64_t packets, const Slice& slice) const;
  uint64_t merge_loads(PortSlot port, uint64_t packets, const Slice& slice, Priority priority);
  void queue_loads(const Snapshot& snapshot, PortSlot port, MemoryClass memory_class);
  void note_asked(PortSlot port);
  void queue_at_once(const Snapshot& snapshot, PortSlot port, const Load& load);
  void queue_copy(const Snapshot& snapshot, PortSlot port, const Load& load, unsigned i, MemoryClass memory_class);
  Workbench::Copied* copy_into(MemoryClass memory_class, unsigned i);
  void hold_frames();
  void drop_copies(uint32_t map, PortSlot port, uint32_t leg, uint64_t packets, const Slice& slice, CopyDrop reason);
  [[nodiscard]] uint32_t shaped_length(unsigned i, const Slice& slice) const {
    return sliced_length(slice, floor_.burst.parsed[i], floor_.burst.lengths[i]);
  }
  [[nodiscard]] uint64_t bytes_of(uint64_t packets, const Slice& slice);
  /// For intervals. Reads a clock: once a burst.
  [[nodiscard]] uint64_t now() const { return floor_.replay_ns ? *floor_.replay_ns : monotonic_ns(); }
  /// When packet i came, for intervals: with its burst, at `now`; but packets of one burst of a capture may be hours apart.
  [[nodiscard]] uint64_t time_of(unsigned i, uint64_t now) const { return floor_.replay_ns ? std::max(now, floor_.burst.received_ns[i]) : now; }

  // transmit_stage.h
  [[nodiscard]] bool takes_directly(const Snapshot& snapshot, PortSlot port) const;
  [[nodiscard]] bool make_room(Outlet& outlet, uint32_t frames, Priority priority);
  void enqueue(const Snapshot& snapshot, PortSlot port, std::span<const Frame> copy, Priority priority, const CopyNote& note);
  void release_pushed_out();
  bool advance(const Snapshot& snapshot, PortSlot port);
  bool transmit(const Snapshot& snapshot);
  void kick();
  bool collect_completions();
  bool collect_completions_of(PortSlot port);

  template <Line kLine>
  void count(Tally& tally, uint64_t packets, uint64_t bytes) {
    if (!observe_.counts(kLine)) return;
    tally.packets += packets;
    tally.bytes += bytes;
  }
  template <Line kLine>
  void uncount(Tally& tally, uint64_t packets, uint64_t bytes) {
    if (!observe_.counts(kLine)) return;
    tally.packets -= packets;
    tally.bytes -= bytes;
  }
  /// Tells a watching observer something about each packet of a mask.
  void tell(uint64_t packets, auto&& f) {
    if constexpr (Observer::kWatches) each(packets, f);
  }

  Floor& floor_;
  Observer observe_;
};

}  // namespace sluice
