#include "engine/pipeline.h"

#include "engine/distribute.h"
#include "engine/tracer.h"
#include "packet/flow_hash.h"

namespace sluice {

template <class Observer>
bool Pipeline<Observer>::run_once(const Snapshot& snapshot) {
  bool worked = collect_completions();
  for (Inlet& inlet : floor_.inlets) {
    receive(inlet);
    if (floor_.burst.size == 0) continue;
    worked = true;
    parse_burst(floor_.burst);
    snapshot.classifier.classify(floor_.burst, inlet.port, floor_.verdicts);
    for (unsigned i = 0; i < floor_.burst.size; ++i)
      if (admit(snapshot, inlet.port, i)) fan_out(snapshot, inlet.port, i);
    transmit();
  }
  return transmit() || worked;
}

template <class Observer>
void Pipeline<Observer>::receive(Inlet& inlet) {
  inlet.queue->rx_burst(floor_.burst, floor_.pool);
  for (unsigned i = 0; i < floor_.burst.size; ++i)
    count<Line::kDequeued>(floor_.book.port(inlet.port).dequeued, floor_.burst.frames[i].length);
  inlet.queue->refill(floor_.pool);
  inlet.queue->kick();
}

/// Port rules that bind whatever maps say.
template <class Observer>
bool Pipeline<Observer>::admit(const Snapshot& snapshot, PortSlot port, unsigned i) {
  observe_.parsed(port, floor_.burst.frames[i], floor_.burst.parsed[i]);
  if (snapshot.receiving[port]) return true;
  drop_packet(port, i, PacketDrop::kPortNotConfigured);
  return false;
}

template <class Observer>
void Pipeline<Observer>::drop_packet(PortSlot port, unsigned i, PacketDrop reason) {
  const Frame& frame = floor_.burst.frames[i];
  count<Line::kPacketDropped>(floor_.book.port(port).dropped[static_cast<unsigned>(reason)], frame.length);
  observe_.packet_dropped(reason);
  floor_.pool.hold(frame.index, 0);
}

/// Every map has its full view of the packet; only maps that consume hide it from later ones that consume, and a collector gets
/// what nobody took. Collectors are last in the snapshot's order.
template <class Observer>
void Pipeline<Observer>::fan_out(const Snapshot& snapshot, PortSlot port, unsigned i) {
  const Frame& frame = floor_.burst.frames[i];
  has_copy_.reset();
  references_ = 0;
  hashed_ = false;
  bool taken = false;     // a rule or a default of an earlier map decided about it
  bool consumed = false;  // by a map that hides it
  bool passed = false;
  for (uint32_t v = floor_.verdicts.begin[i]; v < floor_.verdicts.begin[i + 1]; ++v) {
    const Verdict& verdict = floor_.verdicts.verdicts[v];
    const SnapshotMap& map = snapshot.maps[verdict.map];
    if (map.collector && taken) continue;
    const bool by_rule = verdict.rule != kNoRule;
    const uint32_t rule_slot = by_rule ? snapshot.rule_slots[verdict.rule] : 0;
    if (by_rule) floor_.book.rule(rule_slot).hits += {1, frame.length};
    const bool hidden = verdict.pass && map.consume && consumed;
    observe_.judged(verdict, rule_slot, hidden);
    taken = true;  // a rule that drops has decided too: a collector is for what nobody thought of
    if (!verdict.pass) continue;
    MapCounters& counters = floor_.book.map(map.slot);
    counters.passed += {1, frame.length};
    if (!by_rule) counters.passed_by_default += {1, frame.length};
    if (hidden) {
      counters.hidden += {1, frame.length};
      continue;
    }
    consumed |= map.consume;
    passed = true;
    send_copies(snapshot, verdict.map, i);
  }
  PortCounters& counters = floor_.book.port(port);
  if (passed) {
    count<Line::kFannedOut>(counters.fanned_out, frame.length);
  } else {
    count<Line::kUnmatched>(counters.unmatched, frame.length);
    observe_.unmatched();
  }
  floor_.pool.hold(frame.index, references_);
}

/// One copy for each destination of the map; a tool that has this packet already gets no second one.
template <class Observer>
void Pipeline<Observer>::send_copies(const Snapshot& snapshot, uint32_t map, unsigned i) {
  const Frame& frame = floor_.burst.frames[i];
  for (const SnapshotDestination& destination : snapshot.maps[map].destinations) {
    PortSlot port = destination.port;
    uint32_t leg = destination.legs.front();
    if (port == kNoPort) {
      if (!hashed_) flow_hash_ = flow_hash(frame.data, floor_.burst.parsed[i].outer);
      hashed_ = true;
      const Group& group = snapshot.groups[destination.group];
      const uint8_t member = pick_member(group, flow_hash_);
      port = member == kNoMember ? kNoPort : group.members[member];
      leg = member == kNoMember ? destination.legs.back() : destination.legs[member];
      observe_.distributed(map, destination.group, port);
    }
    count<Line::kCreated>(floor_.book.leg(leg).created, frame.length);
    if (port == kNoPort) {
      drop_copy(map, port, leg, frame.length, CopyDrop::kNoMember);
    } else if (has_copy_[port]) {
      count<Line::kMerged>(floor_.book.leg(leg).merged, frame.length);
      observe_.merged(map, port);
    } else {
      has_copy_.set(port);
      queue_copy(snapshot, map, port, leg, frame);
    }
  }
}

template <class Observer>
void Pipeline<Observer>::queue_copy(const Snapshot& snapshot, uint32_t map, PortSlot port, uint32_t leg, const Frame& frame) {
  Outlet& outlet = floor_.outlets[port];
  if (!outlet.queue || !snapshot.sending[port]) return drop_copy(map, port, leg, frame.length, CopyDrop::kToolDown);
  if (outlet.copies->full()) return drop_copy(map, port, leg, frame.length, CopyDrop::kToolQueueFull);
  outlet.copies->push(frame, leg);
  count<Line::kInFlightUp>(floor_.book.leg(leg).in_flight, frame.length);
  observe_.queued(map, port);
  ++references_;
}

template <class Observer>
void Pipeline<Observer>::drop_copy(uint32_t map, PortSlot port, uint32_t leg, uint32_t bytes, CopyDrop reason) {
  count<Line::kCopyDropped>(floor_.book.leg(leg).dropped[static_cast<unsigned>(reason)], bytes);
  observe_.copy_dropped(map, port, reason);
}

/// What waits goes into the tx rings as far as they have room; the rest keeps its place.
template <class Observer>
bool Pipeline<Observer>::transmit() {
  bool worked = false;
  for (const PortSlot port : floor_.open_outlets) {
    Outlet& outlet = floor_.outlets[port];
    while (outlet.copies->waiting() > 0) {
      const unsigned taken = outlet.queue->tx_burst(outlet.copies->next_to_post());
      if (taken == 0) break;
      outlet.copies->mark_posted(taken);
      worked = true;
    }
    if (outlet.copies->posted() > 0) outlet.queue->kick();
  }
  return worked;
}

/// A frame comes back when the last port has sent it.
template <class Observer>
bool Pipeline<Observer>::collect_completions() {
  bool worked = false;
  for (const PortSlot port : floor_.open_outlets) worked |= collect_completions_of(port);
  return worked;
}

template <class Observer>
bool Pipeline<Observer>::collect_completions_of(PortSlot port) {
  Outlet& outlet = floor_.outlets[port];
  std::array<uint32_t, kBurst> done;
  bool worked = false;
  while (const unsigned n = outlet.queue->reap(done)) {
    worked = true;
    for (unsigned i = 0; i < n; ++i) {
      const auto copy = outlet.copies->complete(done[i]);
      if (!copy) continue;  // never posted by us: the census would show it
      count<Line::kSent>(floor_.book.leg(copy->leg).sent, copy->frame.length);
      uncount<Line::kInFlightDown>(floor_.book.leg(copy->leg).in_flight, copy->frame.length);
      floor_.pool.release(copy->frame.index);
    }
  }
  return worked;
}

template <class Observer>
void Pipeline<Observer>::drain(PortSlot port) {
  for (Inlet& inlet : floor_.inlets) {
    if (inlet.port != port) continue;
    do {
      receive(inlet);
      for (unsigned i = 0; i < floor_.burst.size; ++i) drop_packet(port, i, PacketDrop::kPortNotConfigured);
    } while (floor_.burst.size > 0);
  }
}

template <class Observer>
void Pipeline<Observer>::abandon(PortSlot port) {
  Outlet& outlet = floor_.outlets[port];
  while (!outlet.copies->empty()) {
    const ToolQueue::Copy copy = outlet.copies->abandon();
    uncount<Line::kInFlightDown>(floor_.book.leg(copy.leg).in_flight, copy.frame.length);
    drop_copy(0, port, copy.leg, copy.frame.length, CopyDrop::kPortClosed);
    floor_.pool.release(copy.frame.index);
  }
}

template class Pipeline<Unwatched>;
template class Pipeline<Tracer>;

}  // namespace sluice
