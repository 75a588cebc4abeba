#include "engine/pipeline.h"

#include "engine/fan_out_stage.h"
#include "engine/fragment_stage.h"
#include "engine/handover_stage.h"
#include "engine/tracer.h"
#include "engine/transmit_stage.h"

namespace sluice {

template <class Observer>
bool Pipeline<Observer>::run_once(const Snapshot& snapshot) {
  bool worked = take_returns();
  worked |= collect_completions();
  for (Inlet& inlet : floor_.inlets) {
    receive(inlet);
    if (floor_.burst.size == 0) continue;
    worked = true;
    parse_burst(floor_.burst);
    if (inlet.spread) hand_over(inlet);
    if (floor_.burst.size == 0) continue;  // all of it is other workers'
    process(snapshot, inlet.port, inlet.memory_class);
  }
  worked |= process_passed(snapshot);
  worked |= release_fragments(snapshot);
  worked |= take_copies(snapshot);
  worked |= transmit(snapshot);
  kick();
  flush_peers();
  return worked;
}

template <class Observer>
void Pipeline<Observer>::receive(Inlet& inlet) {
  Burst& burst = floor_.burst;
  inlet.queue->rx_burst(burst, floor_.pool);
  floor_.bench.last_sum = {};
  if (burst.size > 0) count<Line::kDequeued>(floor_.book.port(inlet.port).dequeued, burst.size, bytes_of(burst.all(), {}));
  inlet.queue->refill(floor_.pool);
  inlet.queue->kick();
}

/// The burst at hand, received on `port` by this worker or another.
template <class Observer>
void Pipeline<Observer>::process(const Snapshot& snapshot, PortSlot port, MemoryClass memory_class) {
  if (!admit(snapshot, port)) return;
  if (snapshot.asks_upper_layer() || (floor_.measurement && floor_.measurement->asks_upper_layer())) join_fragments(port, memory_class);
  if (floor_.burst.size > 0) decide(snapshot, port, memory_class);
}

/// What maps say of the burst, and what follows.
template <class Observer>
void Pipeline<Observer>::decide(const Snapshot& snapshot, PortSlot port, MemoryClass memory_class) {
  if (snapshot.ingress.filtered[port]) filter_ingress(snapshot, port);
  if (floor_.burst.size == 0) return;
  if (floor_.surveyor) floor_.surveyor->look_at(floor_.burst, port, now());
  mark_duplicates(snapshot, port);
  if (snapshot.egress.filtered.any()) filter_egress(snapshot, port);
  snapshot.classifier.classify(floor_.burst, port, floor_.verdicts);
  observe_.classified(snapshot, floor_.burst, port, floor_.verdicts);
  if (floor_.measurement) floor_.measurement->look_at(floor_.burst, port);
  select(snapshot, port);
  fan_out(snapshot, memory_class);
  transmit(snapshot);
}

/// Port rules that bind whatever maps say.
template <class Observer>
bool Pipeline<Observer>::admit(const Snapshot& snapshot, PortSlot port) {
  for (unsigned i = 0; i < floor_.burst.size; ++i) {
    observe_.parsed(i, port, floor_.burst);
    if (!snapshot.receiving[port]) drop_packet(port, i, PacketDrop::kPortNotConfigured);
  }
  return snapshot.receiving[port];
}

template <class Observer>
void Pipeline<Observer>::drop_packet(PortSlot port, unsigned i, PacketDrop reason) {
  const Burst& burst = floor_.burst;
  count<Line::kPacketDropped>(floor_.book.port(port).dropped[static_cast<unsigned>(reason)], 1, burst.lengths[i]);
  observe_.packet_dropped(i, reason);
  floor_.pool.hold(burst.frames[i].index, 0);
  for (const Frame& frame : burst.rest_of(i)) floor_.pool.hold(frame.index, 0);
}

/// What the port's own filter does not pass ends here.
template <class Observer>
void Pipeline<Observer>::filter_ingress(const Snapshot& snapshot, PortSlot port) {
  Burst& burst = floor_.burst;
  const VerdictBuffer& passed = floor_.filter_verdicts;
  snapshot.ingress.classifier.classify(burst, port, floor_.filter_verdicts);
  uint64_t kept = 0;
  for (unsigned i = 0; i < burst.size; ++i) kept |= uint64_t{passed.begin[i] < passed.begin[i + 1]} << i;
  if (kept == burst.all()) return;
  each(burst.all() & ~kept, [&](unsigned i) { drop_packet(port, i, PacketDrop::kPortFilter); });
  burst.keep(kept);
  observe_.kept(kept);
  floor_.bench.last_sum = {};
}

/// Which packets the port's domain has seen before. They go on: each destination says whether it wants them.
template <class Observer>
void Pipeline<Observer>::mark_duplicates(const Snapshot& snapshot, PortSlot port) {
  const Burst& burst = floor_.burst;
  uint64_t& duplicates = floor_.bench.duplicates = 0;
  const uint8_t d = snapshot.domain_of[port];
  if (d == kNoDomain) return;
  const DedupDomain& domain = snapshot.domains[d];
  DedupMemory* const memory = floor_.dedup_apart.empty() ? domain.memory.get() : floor_.dedup_apart[d].get();
  if (!memory) return;
  PortCounters& counters = floor_.book.port(port);
  const uint64_t now = this->now();
  std::array<uint64_t, kBurst> fingerprints;
  for (unsigned next = 0; next < burst.size + DedupTable::kAhead; ++next) {
    if (next < burst.size) {
      fingerprints[next] = memory->fingerprints.of(burst, next, domain.comparison);
      memory->table.prefetch(fingerprints[next]);
    }
    if (next < DedupTable::kAhead) continue;
    const unsigned i = next - DedupTable::kAhead;
    const auto answer = memory->table.look_up(fingerprints[i], time_of(i, now), domain.window_ns);
    duplicates |= uint64_t{answer == DedupTable::Answer::kDuplicate} << i;
    counters.dedup_evicted_live += answer == DedupTable::Answer::kFirstEvicted;
    observe_.compared(i, d, answer == DedupTable::Answer::kDuplicate);
  }
  counters.compared += {burst.size, bytes_of(burst.all(), {})};
  if (duplicates) counters.duplicates += {static_cast<unsigned>(std::popcount(duplicates)), bytes_of(duplicates, {})};
}

/// Which tools may have each packet; load() asks.
template <class Observer>
void Pipeline<Observer>::filter_egress(const Snapshot& snapshot, PortSlot port) {
  const VerdictBuffer& passed = floor_.filter_verdicts;
  snapshot.egress.classifier.classify(floor_.burst, port, floor_.filter_verdicts);
  for (PortSlot tool = 0; tool < kMaxPorts; ++tool)
    if (snapshot.egress.filtered[tool]) floor_.bench.may_leave[tool] = 0;
  for (unsigned i = 0; i < floor_.burst.size; ++i)
    for (uint32_t v = passed.begin[i]; v < passed.begin[i + 1]; ++v) floor_.bench.may_leave[passed.verdicts[v].map] |= uint64_t{1} << i;
}

/// Which maps send each packet on. Every map has its full view; only maps that consume hide what they pass from later ones that consume,
/// and a collector gets what nobody took. Collectors are last in the snapshot's order.
template <class Observer>
void Pipeline<Observer>::select(const Snapshot& snapshot, PortSlot port) {
  const Burst& burst = floor_.burst;
  Workbench& bench = floor_.bench;
  uint64_t fanned_out = 0;
  const uint64_t now = coarse_wall_ns();
  const std::span verdicts(floor_.verdicts.verdicts.get(), floor_.verdicts.begin[burst.size]);
  for (const Verdict& verdict : verdicts)  // of many rules, the counters of one are seldom at hand
    if (verdict.rule != kNoRule) __builtin_prefetch(&floor_.book.rule(snapshot.rule_slots[verdict.rule]), 1);
  for (unsigned i = 0; i < burst.size; ++i) {
    bool taken = false;     // a rule or a default of an earlier map decided about it
    bool consumed = false;  // by a map that hides it
    for (uint32_t v = floor_.verdicts.begin[i]; v < floor_.verdicts.begin[i + 1]; ++v) {
      const Verdict& verdict = floor_.verdicts.verdicts[v];
      const SnapshotMap& map = snapshot.maps[verdict.map];
      if (map.collector && taken) continue;
      const bool by_rule = verdict.rule != kNoRule;
      const uint32_t rule_slot = by_rule ? snapshot.rule_slots[verdict.rule] : 0;
      if (by_rule) {
        RuleCounters& rule = floor_.book.rule(rule_slot);
        rule.hits += {1, burst.lengths[i]};
        rule.last_hit_ns = now;
      }
      const bool hidden = verdict.pass && map.consume && consumed;
      observe_.judged(i, verdict, rule_slot, hidden);
      taken = true;  // a rule that drops has decided too: a collector is for what nobody thought of
      if (!verdict.pass) continue;
      MapCounters& counters = floor_.book.map(map.slot);
      counters.passed += {1, burst.lengths[i]};
      if (!by_rule) counters.passed_by_default += {1, burst.lengths[i]};
      if (hidden) {
        counters.hidden += {1, burst.lengths[i]};
        continue;
      }
      consumed |= map.consume;
      fanned_out |= uint64_t{1} << i;
      bench.passed[verdict.map] |= uint64_t{1} << i;
      bench.maps[verdict.map / 64] |= uint64_t{1} << verdict.map % 64;
    }
  }
  const uint64_t unmatched = burst.all() & ~fanned_out;
  PortCounters& counters = floor_.book.port(port);
  count<Line::kFannedOut>(counters.fanned_out, static_cast<unsigned>(std::popcount(fanned_out)), bytes_of(fanned_out, {}));
  count<Line::kUnmatched>(counters.unmatched, static_cast<unsigned>(std::popcount(unmatched)), bytes_of(unmatched, {}));
  tell(unmatched, [&](unsigned i) { observe_.unmatched(i); });
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

template class Pipeline<Unwatched>;
template class Pipeline<Tracer>;

}  // namespace sluice
