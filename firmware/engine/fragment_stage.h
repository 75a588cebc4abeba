// Fragments of datagrams: later ones get the ports that their first one showed, so that rules on them apply to all. The bodies of a
// template: included by pipeline.cpp alone.
#pragma once

#include "engine/pipeline.h"

namespace sluice {

/// Later fragments that came before their first leave the burst and wait for it.
template <class Observer>
void Pipeline<Observer>::join_fragments(PortSlot port, MemoryClass memory_class) {
  Burst& burst = floor_.burst;
  uint64_t firsts = 0, later = 0;
  for (unsigned i = 0; i < burst.size; ++i) {
    firsts |= uint64_t{burst.parsed[i].outer.fragment == Fragment::kFirst} << i;
    later |= uint64_t{burst.parsed[i].outer.fragment == Fragment::kLater} << i;
  }
  if ((firsts | later) == 0) return;
  const uint64_t now = this->now();
  const auto datagram = [&burst](unsigned i) { return datagram_of(burst.frames[i].data, burst.parsed[i].outer); };
  each(firsts, [&](unsigned i) { floor_.fragments.remember(datagram(i), burst.parsed[i].outer, time_of(i, now)); });
  uint64_t waiting = 0;
  each(later, [&](unsigned i) {
    const DatagramKey key = datagram(i);
    if (floor_.fragments.complete(key, burst.parsed[i].outer, time_of(i, now))) return;
    // Whoever watches wants to see what happens to this packet now.
    if (Observer::kWatches || !floor_.fragments.may_wait(key, burst.rest_of(i).size() + 1)) {
      ++floor_.book.worker().frag_unknown;
      return;
    }
    waiting |= uint64_t{1} << i;
    WaitingFragment fragment{.key = key,
                             .frames = {},
                             .received_ns = burst.received_ns[i],
                             .until_ns = time_of(i, now) + Fragments::kLongestWait,
                             .port = port,
                             .memory_class = memory_class};
    fragment.frames[fragment.frame_count++] = burst.frames[i];
    for (const Frame& frame : burst.rest_of(i)) fragment.frames[fragment.frame_count++] = frame;
    floor_.fragments.wait(fragment);
  });
  if (waiting == 0) return;
  count<Line::kHeldUp>(floor_.book.port(port).held, static_cast<unsigned>(std::popcount(waiting)), bytes_of(waiting, {}));
  burst.keep(burst.all() & ~waiting);
  floor_.bench.last_sum = {};
}

/// Those whose first one has come, and those that have waited long enough: a burst of one port's at a time.
template <class Observer>
bool Pipeline<Observer>::release_fragments(const Snapshot& snapshot) {
  auto& waiting = floor_.fragments.waiting();
  if (waiting.empty()) return false;
  const uint64_t now = this->now();
  if (!floor_.fragments.any_due(now)) return false;
  Burst& burst = floor_.burst;
  burst.clear();
  PortSlot port = kNoPort;
  MemoryClass memory_class = MemoryClass::kCopy;
  std::erase_if(waiting, [&](const WaitingFragment& fragment) {
    LayerSet probe;
    if (now < fragment.until_ns && !floor_.fragments.complete(fragment.key, probe, now)) return false;
    if (burst.size > 0 && (fragment.port != port || fragment.memory_class != memory_class)) return false;
    if (burst.size == kBurst || burst.rest_size >= kBurst) return false;
    port = fragment.port;
    memory_class = fragment.memory_class;
    burst.add(std::span(fragment.frames).first(fragment.frame_count), fragment.received_ns);
    return true;
  });
  if (burst.size == 0) {
    floor_.fragments.looked_at_all();
    return false;
  }
  floor_.bench.last_sum = {};
  uncount<Line::kHeldDown>(floor_.book.port(port).held, burst.size, bytes_of(burst.all(), {}));
  parse_burst(burst);
  for (unsigned i = 0; i < burst.size; ++i) {
    LayerSet& set = burst.parsed[i].outer;
    floor_.book.worker().frag_unknown += !floor_.fragments.complete(datagram_of(burst.frames[i].data, set), set, now);
  }
  if (admit(snapshot, port)) decide(snapshot, port, memory_class);
  return true;
}

}  // namespace sluice
