// Transmission: from the tools' queues into their rings, and what comes back from there. The bodies of a template: included by pipeline.cpp
// alone.
#pragma once

#include "engine/pipeline.h"

namespace sluice {

/// Whether copies for this worker's queue of the port go into its line: nothing is in front of them, and no rate is to be kept.
template <class Observer>
bool Pipeline<Observer>::takes_directly(const Snapshot& snapshot, PortSlot port) const {
  return floor_.outlets[port].copies->backlog().empty() && (!snapshot.shapers[port] || !floor_.limited);
}

/// Room for so many frames in the port's buffer; if it is full, at the cost of the oldest copies of the lowest priority.
template <class Observer>
bool Pipeline<Observer>::make_room(Outlet& outlet, uint32_t frames, Priority priority) {
  ToolQueue& copies = *outlet.copies;
  if (copies.size() + frames <= outlet.quota) return true;
  auto& pushed_out = floor_.bench.pushed_out;
  Backlog& backlog = copies.backlog();
  const uint32_t missing = copies.size() + frames - outlet.quota;
  if (backlog.frames_below(priority) < missing || pushed_out.size() + missing + kMaxChain > Workbench::kMostPushedOut) return false;
  while (copies.size() + frames > outlet.quota) {
    backlog.take(backlog.lowest(), [&](const Frame& frame, CopyNote note) {
      pushed_out.emplace_back(frame.index, note.holder());
      if (note.more()) return;
      LegCounters& account = floor_.book.leg(note.leg);
      uncount<Line::kInFlightDown>(account.in_flight, 1, note.bytes());
      count<Line::kCopyDropped>(account.dropped[static_cast<unsigned>(CopyDrop::kPushedOut)], 1, note.bytes());
    });
  }
  return true;
}

/// One copy, its frames in their order, into the port's line, or behind what waits for it. note: its account. Requires make_room().
template <class Observer>
void Pipeline<Observer>::enqueue(const Snapshot& snapshot, PortSlot port, std::span<const Frame> copy, Priority priority, const CopyNote& note) {
  const Outlet& outlet = floor_.outlets[port];
  const bool directly = takes_directly(snapshot, port) && outlet.line_room() >= copy.size();
  for (const Frame& frame : copy) {
    const CopyNote of_frame(note.leg, note.bytes(), note.holder(), &frame != &copy.back());
    if (directly) outlet.copies->push(frame, of_frame);
    else outlet.copies->backlog().push(priority, frame, of_frame, static_cast<uint32_t>(floor_.bench.now / 1000));
  }
  if (directly && outlet.bursts) outlet.copies->mark(floor_.bench.now);
}

template <class Observer>
void Pipeline<Observer>::release_pushed_out() {
  for (const auto& [frame, holder] : floor_.bench.pushed_out) release(frame, holder);
  floor_.bench.pushed_out.clear();
}

/// For who looks for bursts, once a second: what waits and does not leave is told as well.
template <class Observer>
void Pipeline<Observer>::note_waiting() {
  const uint64_t now = this->now();
  for (const PortSlot port : floor_.open_outlets) {
    const Outlet& outlet = floor_.outlets[port];
    if (!outlet.bursts || outlet.copies->empty()) continue;
    outlet.bursts->holds(now, outlet.copies->size());
    if (const auto since = outlet.copies->oldest_since()) outlet.bursts->waited(now, now - *since);
    const Backlog& backlog = outlet.copies->backlog();
    for (const Priority priority : {Priority::kHigh, Priority::kNormal, Priority::kLow})
      if (backlog.waits(priority)) outlet.bursts->waited(now, uint64_t{static_cast<uint32_t>(now / 1000) - backlog.since_us(priority)} * 1000);
  }
}

/// From the backlog into the line, as far as the line has room and the port's rate allows.
template <class Observer>
bool Pipeline<Observer>::advance(const Snapshot& snapshot, PortSlot port) {
  Outlet& outlet = floor_.outlets[port];
  ToolQueue& copies = *outlet.copies;
  Backlog& backlog = copies.backlog();
  RateLimit* const rate = floor_.limited ? snapshot.shapers[port].get() : nullptr;
  const uint64_t claimed = rate ? rate->claim(now(), backlog.bytes()) : backlog.bytes();
  uint64_t sent = 0;
  const uint64_t now = outlet.bursts ? this->now() : 0;
  uint32_t longest_us = 0;
  while (sent < claimed && outlet.line_room() >= kMaxChain) {
    const Priority turn = backlog.next();
    longest_us = std::max(longest_us, static_cast<uint32_t>(now / 1000) - backlog.since_us(turn));
    sent += backlog.take(turn, [&](const Frame& frame, CopyNote note) { copies.push(frame, note); });
  }
  if (outlet.bursts && sent > 0) copies.mark(now - std::min(now, longest_us * uint64_t{1000}));
  if (rate) rate->settle(claimed, sent);
  return sent > 0;
}

/// What waits goes into the tx rings as far as they have room; the rest keeps its place.
template <class Observer>
bool Pipeline<Observer>::transmit(const Snapshot& snapshot) {
  bool worked = false;
  for (const PortSlot port : floor_.open_outlets) {
    Outlet& outlet = floor_.outlets[port];
    if (!outlet.copies->backlog().empty()) worked |= advance(snapshot, port);
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
  if (worked && outlet.bursts) {
    const uint64_t now = this->now();
    outlet.copies->each_left([&](uint64_t since) { outlet.bursts->waited(now, now - since); });
  }
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
bool Pipeline<Observer>::give_up(Loan loan) {
  unsigned most = kGivenUpAtOnce;
  for (auto& detained : floor_.detained) {
    if (detained.loan != loan) continue;
    while (!detained.copies->empty()) {
      if (most-- == 0) return false;
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
  return true;
}

}  // namespace sluice
