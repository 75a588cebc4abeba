// Transmission: from the tools' queues into their rings, and what comes back from there. The bodies of a template: included by pipeline.cpp
// alone.
#pragma once

#include "engine/pipeline.h"

namespace sluice {

/// What waits goes into the tx rings as far as they have room; the rest keeps its place.
template <class Observer>
bool Pipeline<Observer>::transmit() {
  bool worked = false;
  for (const PortSlot port : floor_.open_outlets) {
    Outlet& outlet = floor_.outlets[port];
    while (outlet.copies->waiting() > 0) {
      const auto next = outlet.copies->next_to_post();
      const auto wanted = static_cast<unsigned>(next.frames.size());
      const unsigned taken = !next.is_chain ? outlet.queue->tx_burst(next.frames) : outlet.queue->tx_chain(next.frames) ? wanted : 0;
      if (taken > 0) outlet.copies->mark_posted(taken);
      worked |= taken > 0;
      if (taken < wanted) break;
    }
  }
  return worked;
}

template <class Observer>
void Pipeline<Observer>::kick() {
  for (const PortSlot port : floor_.open_outlets)
    if (floor_.outlets[port].copies->posted() > 0) floor_.outlets[port].queue->kick();
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
  // Copies of one leg follow each other as a rule: counted together.
  Tally sent;
  uint32_t leg = 0;
  const auto count_sent = [&] {
    count<Line::kSent>(floor_.book.leg(leg).sent, sent.packets, sent.bytes);
    uncount<Line::kInFlightDown>(floor_.book.leg(leg).in_flight, sent.packets, sent.bytes);
    sent = {};
  };
  while (const unsigned n = outlet.queue->reap(done)) {
    worked = true;
    outlet.copies->complete({done.data(), n}, [&](uint32_t frame, ToolQueue::Note note) {
      if (!note.more()) {
        if (note.leg != leg) {
          count_sent();
          leg = note.leg;
        }
        sent += {1, note.bytes()};
      }
      release(frame, note.holder());
    });
  }
  count_sent();
  return worked;
}

template <class Observer>
void Pipeline<Observer>::detain(PortSlot port) {
  Outlet& outlet = floor_.outlets[port];
  if (outlet.queue) {
    collect_completions_of(port);
    floor_.detained.push_back({outlet.loan, port, std::move(outlet.copies)});
    std::erase(floor_.open_outlets, port);
  }
  outlet = {};
}

template <class Observer>
void Pipeline<Observer>::give_up(Loan loan) {
  for (auto& detained : floor_.detained) {
    if (detained.loan != loan) continue;
    while (!detained.copies->empty()) {
      const ToolQueue::Entry entry = detained.copies->abandon();
      if (!entry.note.more()) {
        LegCounters& account = floor_.book.leg(entry.note.leg);
        uncount<Line::kInFlightDown>(account.in_flight, 1, entry.note.bytes());
        count<Line::kCopyDropped>(account.dropped[static_cast<unsigned>(CopyDrop::kPortClosed)], 1, entry.note.bytes());
      }
      release(entry.frame, entry.note.holder());
    }
  }
  std::erase_if(floor_.detained, [loan](const Detained& d) { return d.loan == loan; });
  floor_.pool.reclaim(loan);
}

}  // namespace sluice
