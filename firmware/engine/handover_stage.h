// Hand-over between workers: see handover.h for what goes which way. The bodies of a template: included by pipeline.cpp alone.
#pragma once

#include "engine/handover.h"
#include "engine/pipeline.h"
#include "packet/flow_hash.h"

namespace sluice {

/// Every packet goes to the worker of its outermost address pair, both directions of a flow to the same. This worker keeps its own.
template <class Observer>
void Pipeline<Observer>::hand_over(const Inlet& inlet) {
  Burst& burst = floor_.burst;
  uint64_t kept = 0;
  Tally passed;
  for (unsigned i = 0; i < burst.size; ++i) {
    const uint64_t hash = pair_hash(burst.frames[i].data, burst.parsed[i].outer);
    const auto target = static_cast<uint32_t>((hash >> 32) * floor_.layout.workers >> 32);
    if (target == floor_.worker) {
      kept |= uint64_t{1} << i;
      continue;
    }
    Peer& peer = *floor_.peers[target];
    const auto rest = burst.rest_of(i);
    if (!peer.takes_packet(static_cast<uint32_t>(rest.size()) + 1)) {
      drop_packet(inlet.port, i, PacketDrop::kHandoverFull);
      continue;
    }
    const auto pass = [&](const Frame& frame, bool last) {
      floor_.pool.send_away(frame.index);
      peer.pass(PassedFrame{
          .frame = frame, .received_ns = burst.received_ns[i], .port = inlet.port, .memory_class = inlet.memory_class, .last = last});
    };
    pass(burst.frames[i], rest.empty());
    for (const Frame& frame : rest) pass(frame, &frame == &rest.back());
    passed += {1, burst.lengths[i]};
  }
  burst.keep(kept);
  floor_.bench.last_sum = {};
  floor_.book.worker().handed_over += passed.packets;
  count<Line::kHeldUp>(floor_.book.port(inlet.port).held, passed.packets, passed.bytes);
}

template <class Observer>
bool Pipeline<Observer>::take_returns() {
  bool worked = false;
  for (auto& peer : floor_.peers)
    if (peer)
      peer->take_returns([&](uint32_t frame) {
        floor_.pool.returned(frame);
        worked = true;
      });
  return worked;
}

/// What other workers received for this one, in bursts of one port each.
template <class Observer>
bool Pipeline<Observer>::process_passed(const Snapshot& snapshot) {
  constexpr unsigned kBursts = 4;  // then ports have their turn again
  bool worked = false;
  Burst& burst = floor_.burst;
  for (auto& peer : floor_.peers) {
    if (!peer) continue;
    auto& packets = peer->packets();
    for (unsigned n = 0; n < kBursts; ++n) {
      const PassedFrame* next = packets.front();
      if (!next) break;
      const PortSlot port = next->port;
      const MemoryClass memory_class = next->memory_class;
      burst.clear();
      std::array<Frame, kMaxChain> chain;
      unsigned size = 0;
      // A packet's frames are shown together: its last one is there if its first one is.
      while (next && next->port == port && next->memory_class == memory_class && burst.size < kBurst && burst.rest_size < kBurst) {
        floor_.pool.adopt(next->frame.index);
        chain[size++] = next->frame;
        if (next->last) {
          burst.add(std::span(chain).first(size), next->received_ns);
          size = 0;
        }
        packets.pop();
        next = packets.front();
      }
      floor_.bench.last_sum = {};
      uncount<Line::kHeldDown>(floor_.book.port(port).held, burst.size, bytes_of(burst.all(), {}));
      parse_burst(burst);
      process(snapshot, port, memory_class);
      worked = true;
    }
    packets.done();
  }
  return worked;
}

/// What other workers have for tool ports whose queues are this one's.
template <class Observer>
bool Pipeline<Observer>::take_copies(const Snapshot& snapshot) {
  bool worked = false;
  for (auto& peer : floor_.peers) {
    if (!peer) continue;
    while (peer->copies().front()) {
      if (!worked) floor_.bench.now = now();
      take_copy(snapshot, *peer);
      release_pushed_out();
      worked = true;
    }
    peer->copies().done();
  }
  return worked;
}

template <class Observer>
void Pipeline<Observer>::take_copy(const Snapshot& snapshot, Peer& peer) {
  std::array<Frame, kMaxChain> frames;
  unsigned size = 0;
  PassedCopy last{};
  for (bool more = true; more; more = !last.last) {
    last = *peer.copies().front();
    frames[size++] = last.frame;
    peer.copies().pop();
  }
  Outlet& outlet = floor_.outlets[last.port];
  const bool closed = !outlet.queue || outlet.loan != last.loan;
  if (closed || !make_room(outlet, size, last.priority)) {
    const CopyDrop reason = closed ? CopyDrop::kPortClosed : outlet.full();
    LegCounters& account = floor_.book.leg(last.leg);
    uncount<Line::kInFlightDown>(account.in_flight, 1, last.bytes);
    count<Line::kCopyDropped>(account.dropped[static_cast<unsigned>(reason)], 1, last.bytes);
    for (unsigned f = 0; f < size; ++f) peer.give_back(frames[f].index);
    return;
  }
  enqueue(snapshot, last.port, std::span(frames).first(size), last.priority, {last.leg, last.bytes, peer.worker()});
  if (outlet.bursts) outlet.bursts->holds(floor_.bench.now, outlet.copies->size());
}

/// A reference ended here; the worker that counts it hears of it.
template <class Observer>
void Pipeline<Observer>::release(uint32_t frame, uint32_t holder) {
  if (holder == floor_.worker) floor_.pool.release(frame);
  else floor_.peers[holder]->give_back(frame);
}

template <class Observer>
void Pipeline<Observer>::flush_peers() {
  if (floor_.peers.empty()) return;
  auto& homeward = floor_.pool.homeward();
  for (const uint32_t frame : homeward) floor_.peers[floor_.layout.owner(frame)]->give_back(frame);
  homeward.clear();
  for (auto& peer : floor_.peers)
    if (peer) peer->flush();
}

}  // namespace sluice
