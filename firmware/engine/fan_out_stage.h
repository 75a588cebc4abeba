// Fan-out: the copies of a burst. First what each destination asks for becomes loads, a burst of copies of one way and shape each; then
// each tool's loads are queued in the order of the packets. So the account is kept a load at a time, and the copies of a tool stay in
// order whichever maps they come from. The bodies of a template: included by pipeline.cpp alone.
#pragma once

#include <algorithm>
#include <cstring>

#include "engine/distribute.h"
#include "engine/pipeline.h"
#include "packet/flow_hash.h"

namespace sluice {
namespace {

unsigned count_of(uint64_t packets) { return static_cast<unsigned>(std::popcount(packets)); }

/// The first n packets of a mask; n at most their number.
uint64_t first_of(uint64_t packets, unsigned n) {
  uint64_t out = 0;
  for (; n > 0; --n) {
    out |= packets & (~packets + 1);
    packets &= packets - 1;
  }
  return out;
}

/// The frames of a copy that is `length` bytes long, out of those of the whole packet. Returns how many.
unsigned cut_chain(const Frame& first, std::span<const Frame> rest, uint32_t length, std::array<Frame, kMaxChain>& out) {
  unsigned count = 0;
  const Frame* frame = &first;
  do {
    out[count] = *frame;
    out[count].length = std::min(frame->length, length);
    length -= out[count].length;
    if (count < rest.size()) frame = &rest[count];
    ++count;
  } while (length > 0 && count <= rest.size());
  return count;
}

}  // namespace

template <class Observer>
void Pipeline<Observer>::fan_out(const Snapshot& snapshot, MemoryClass memory_class) {
  Workbench& bench = floor_.bench;
  bench.references.fill(0);
  if (floor_.burst.chained) bench.rest_references.fill(0);
  bench.hashed = 0;
  bench.loads.clear();
  bench.longest = 0;
  for (unsigned i = 0; i < floor_.burst.size; ++i) bench.longest = std::max(bench.longest, floor_.burst.lengths[i]);
  for (std::size_t word = 0; word < bench.maps.size(); ++word) {
    each(bench.maps[word], [&](unsigned bit) {
      const auto map = static_cast<uint32_t>(word * 64 + bit);
      send_copies(snapshot, map, bench.passed[map]);
      bench.passed[map] = 0;
    });
    bench.maps[word] = 0;
  }
  if (std::any_of(bench.loaded_ports.begin(), bench.loaded_ports.end(), [](uint64_t ports) { return ports != 0; })) bench.now = now();
  for (std::size_t word = 0; word < bench.loaded_ports.size(); ++word) {
    each(bench.loaded_ports[word], [&](unsigned bit) {
      const auto port = static_cast<PortSlot>(word * 64 + bit);
      queue_loads(snapshot, port, memory_class);
      note_asked(port);
    });
    bench.loaded_ports[word] = 0;
  }
  hold_frames();
  release_pushed_out();
}

template <class Observer>
void Pipeline<Observer>::send_copies(const Snapshot& snapshot, uint32_t map, uint64_t packets) {
  for (const SnapshotDestination& destination : snapshot.maps[map].destinations) {
    if (destination.is_limited()) tell(wanted(destination, packets), [&](unsigned i) { observe_.limited(i, map, destination); });
    const uint64_t rest = destination.is_limited() && floor_.limited ? keep_rate(map, destination, packets) : packets;
    if (destination.port == kNoPort) distribute(snapshot, map, destination, rest);
    else load(snapshot, map, destination, destination.port, destination.legs.front(), rest);
  }
}

/// Those of the packets that the destination's rates have room for, and its duplicates, which never get as far. Copies are made of the others
/// only for the account.
template <class Observer>
uint64_t Pipeline<Observer>::keep_rate(uint32_t map, const SnapshotDestination& destination, uint64_t packets) {
  const uint64_t wanted = this->wanted(destination, packets);
  RateLimit *const of_bytes = destination.limit.get(), *const of_packets = destination.packet_limit.get();
  uint64_t refused = 0;
  const auto keep = [&](uint64_t some, uint64_t now_ns) {
    const uint64_t bytes = of_bytes ? of_bytes->claim(now_ns, bytes_of(some, destination.slice)) : UINT64_MAX;
    const uint64_t count = of_packets ? of_packets->claim(now_ns, count_of(some)) : UINT64_MAX;
    uint64_t sent = 0, passed = 0;
    each(some, [&](unsigned i) {
      if (sent < bytes && passed < count) sent += shaped_length(i, destination.slice), ++passed;
      else refused |= uint64_t{1} << i;
    });
    if (of_bytes) of_bytes->settle(bytes, sent);
    if (of_packets) of_packets->settle(count, passed);
  };
  const uint64_t now = this->now();
  if (floor_.replay_ns) each(wanted, [&](unsigned i) { keep(uint64_t{1} << i, time_of(i, now)); });
  else keep(wanted, now);
  if (refused) {
    const uint32_t leg = destination.legs.back();
    count<Line::kCreated>(floor_.book.leg(leg).created, count_of(refused), bytes_of(refused, destination.slice));
    drop_copies(map, destination.port, leg, refused, destination.slice, CopyDrop::kRateLimit);
  }
  return packets & ~refused;
}

/// Each packet of a tool group goes to the member of its flow.
template <class Observer>
void Pipeline<Observer>::distribute(const Snapshot& snapshot, uint32_t map, const SnapshotDestination& destination, uint64_t packets) {
  Workbench& bench = floor_.bench;
  const Group& group = snapshot.groups[destination.group];
  if (bench.hash_choice != group.hash) bench.hash_choice = group.hash, bench.hashed = 0;
  each(packets & ~bench.hashed,
       [&](unsigned i) { bench.flow_hashes[i] = balance_hash(floor_.burst.frames[i].data, floor_.burst.parsed[i], group.hash); });
  bench.hashed |= packets;
  if (floor_.flow_census) floor_.flow_census->note(destination.group, group.hash, destination.slice, floor_.burst, bench.flow_hashes, packets);
  const Buckets& buckets = group.table->in_force();
  std::array<uint64_t, bucket::kNoMember + 1> of_member;
  std::fill_n(of_member.begin(), group.members.size(), 0);
  of_member[bucket::kNoMember] = of_member[bucket::kMemberDown] = 0;
  each(packets, [&](unsigned i) { of_member[pick_member(buckets, bench.flow_hashes[i])] |= uint64_t{1} << i; });
  for (std::size_t m = 0; m < group.members.size(); ++m) {
    if (of_member[m] == 0) continue;
    tell(of_member[m], [&](unsigned i) { observe_.distributed(i, map, destination.group, group.members[m]); });
    load(snapshot, map, destination, group.members[m], destination.legs[m], of_member[m]);
  }
  for (const auto& [why, reason] : {std::pair(bucket::kNoMember, CopyDrop::kNoMember), std::pair(bucket::kMemberDown, CopyDrop::kMemberDown)}) {
    const uint64_t nowhere = of_member[why];
    if (nowhere == 0) continue;
    const uint32_t leg = destination.legs.back();
    tell(nowhere, [&](unsigned i) { observe_.distributed(i, map, destination.group, kNoPort); });
    count<Line::kCreated>(floor_.book.leg(leg).created, count_of(nowhere), bytes_of(nowhere, destination.slice));
    drop_copies(map, kNoPort, leg, nowhere, destination.slice, reason);
  }
}

/// Creates the copies of one way, ends those that the tool can't have or has already, and loads the others.
template <class Observer>
void Pipeline<Observer>::load(const Snapshot& snapshot, uint32_t map, const SnapshotDestination& destination, PortSlot port, uint32_t leg,
                              uint64_t packets) {
  Workbench& bench = floor_.bench;
  const Slice& slice = destination.slice;
  LegCounters& account = floor_.book.leg(leg);
  uint64_t bytes = bytes_of(packets, slice);
  count<Line::kCreated>(account.created, count_of(packets), bytes);
  uint64_t rest = packets;
  if (const uint64_t repeated = destination.keeps_duplicates ? 0 : rest & bench.duplicates) {
    drop_copies(map, port, leg, repeated, slice, CopyDrop::kDuplicate);
    rest &= ~repeated;
    if (rest == 0) return;
  }
  const Outlet& outlet = floor_.outlets[port];
  if (!outlet.open || !snapshot.sending[port]) return drop_copies(map, port, leg, rest, slice, CopyDrop::kToolDown);
  if (snapshot.egress.filtered[port]) {
    if (const uint64_t refused = rest & ~bench.may_leave[port]) {
      drop_copies(map, port, leg, refused, slice, CopyDrop::kPortFilter);
      rest &= ~refused;
    }
  }
  uint64_t too_long = 0;
  if (floor_.bench.longest > outlet.max_length)
    each(rest, [&](unsigned i) { too_long |= uint64_t{shaped_length(i, slice) > outlet.max_length} << i; });
  if (too_long) {
    drop_copies(map, port, leg, too_long, slice, CopyDrop::kExceedsMtu);
    rest &= ~too_long;
  }
  const bool loaded_before = (bench.loaded_ports[port / 64] >> port % 64 & 1) != 0;
  if (loaded_before) {
    if (const uint64_t merged = merge_loads(port, rest, slice, destination.priority)) {
      count<Line::kMerged>(account.merged, count_of(merged), bytes_of(merged, slice));
      tell(merged, [&](unsigned i) { observe_.merged(i, map, port); });
      rest &= ~merged;
    }
  }
  if (rest == 0) return;
  if (rest != packets) bytes = bytes_of(rest, slice);
  const auto position = static_cast<uint32_t>(bench.loads.size());
  bench.loads.push_back({.packets = rest, .bytes = bytes, .leg = leg, .map = map, .priority = destination.priority, .next = kNoLoad, .slice = slice});
  if (loaded_before) bench.loads[bench.last_load[port]].next = position;
  else bench.first_load[port] = position;
  bench.last_load[port] = position;
  bench.loaded_ports[port / 64] |= uint64_t{1} << port % 64;
}

/// Those of the packets of which the load has a copy of this shape. Slices of one packet are alike if they are as long.
template <class Observer>
uint64_t Pipeline<Observer>::alike(const Load& load, uint64_t packets, const Slice& slice) const {
  const uint64_t both = load.packets & packets;
  if (load.slice == slice) return both;
  uint64_t out = 0;
  each(both, [&](unsigned i) { out |= uint64_t{shaped_length(i, load.slice) == shaped_length(i, slice)} << i; });
  return out;
}

/// A tool gets one copy of a packet in one shape, at the highest priority that is asked for. Returns those of the packets of which the port
/// has such a copy already; what was loaded at a lower priority is merged into what comes now.
template <class Observer>
uint64_t Pipeline<Observer>::merge_loads(PortSlot port, uint64_t packets, const Slice& slice, Priority priority) {
  uint64_t loaded = 0;
  for (uint32_t l = floor_.bench.first_load[port]; l != kNoLoad; l = floor_.bench.loads[l].next) {
    Load& load = floor_.bench.loads[l];
    const uint64_t both = alike(load, packets, slice);
    if (both == 0) continue;
    if (load.priority <= priority) {
      loaded |= both;
      continue;
    }
    const uint64_t bytes = bytes_of(both, load.slice);
    load.packets &= ~both;
    load.bytes -= bytes;
    count<Line::kMerged>(floor_.book.leg(load.leg).merged, count_of(both), bytes);
    tell(both, [&](unsigned i) { observe_.merged(i, load.map, port); });
  }
  return loaded;
}

template <class Observer>
void Pipeline<Observer>::queue_loads(const Snapshot& snapshot, PortSlot port, MemoryClass memory_class) {
  Workbench& bench = floor_.bench;
  const Outlet& outlet = floor_.outlets[port];
  uint32_t& first_load = bench.first_load[port];
  while (bench.loads[first_load].packets == 0 && bench.loads[first_load].next != kNoLoad) first_load = bench.loads[first_load].next;
  const Load& first = bench.loads[first_load];
  if (first.next == kNoLoad && outlet.queue && outlet.memory_class == memory_class && (first.packets & floor_.burst.chained) == 0)
    return queue_at_once(snapshot, port, first);
  uint64_t packets = 0;
  for (uint32_t l = bench.first_load[port]; l != kNoLoad; l = bench.loads[l].next) packets |= bench.loads[l].packets;
  each(packets, [&](unsigned i) {
    for (uint32_t l = bench.first_load[port]; l != kNoLoad; l = bench.loads[l].next)
      if (bench.loads[l].packets >> i & 1) queue_copy(snapshot, port, bench.loads[l], i, memory_class);
  });
}

/// For who looks for bursts: what the port was asked to take, and how full its queue is after that. Frames too short for the link count as they
/// are where longer ones come with them.
template <class Observer>
void Pipeline<Observer>::note_asked(PortSlot port) {
  const Workbench& bench = floor_.bench;
  const Outlet& outlet = floor_.outlets[port];
  if (!outlet.bursts) return;
  uint64_t bytes = 0;
  for (uint32_t l = bench.first_load[port]; l != kNoLoad; l = bench.loads[l].next) {
    const uint64_t packets = count_of(bench.loads[l].packets);
    bytes += std::max(bench.loads[l].bytes, packets * kShortestFrame) + packets * kWireOverhead;
  }
  outlet.bursts->asked(bench.now, bytes);
  if (outlet.queue) outlet.bursts->holds(bench.now, outlet.copies->size());
}

/// The common case: one load of packets of one frame each, for a queue of this worker's, by reference. What the line has no room for joins
/// the backlog.
template <class Observer>
void Pipeline<Observer>::queue_at_once(const Snapshot& snapshot, PortSlot port, const Load& load) {
  const Burst& burst = floor_.burst;
  const Outlet& outlet = floor_.outlets[port];
  ToolQueue& copies = *outlet.copies;
  const uint32_t fitting = outlet.quota - std::min(copies.size(), outlet.quota);
  const uint32_t room = takes_directly(snapshot, port) ? std::min(outlet.line_room(), fitting) : 0;
  uint64_t packets = load.packets;
  uint64_t bytes = load.bytes;
  uint64_t later = 0;
  if (count_of(packets) > room) {
    packets = first_of(packets, room);
    bytes = bytes_of(packets, load.slice);
    later = load.packets & ~packets;
    if (count_of(load.packets) > fitting && copies.backlog().frames_below(load.priority) == 0) {
      later = first_of(later, fitting - room);
      drop_copies(load.map, port, load.leg, load.packets & ~packets & ~later, load.slice, outlet.full());
    }
  }
  count<Line::kInFlightUp>(floor_.book.leg(load.leg).in_flight, count_of(packets), bytes);
  auto& references = floor_.bench.references;
  const auto push = [&](auto&& length_of) {
    copies.push_each(packets, [&](unsigned i) {
      ++references[i];
      const uint32_t length = length_of(i);
      return std::pair(Frame{burst.frames[i].data, length, burst.frames[i].index}, ToolQueue::Note(load.leg, length, floor_.worker));
    });
  };
  if (load.slice.length == 0) push([&](unsigned i) { return burst.lengths[i]; });
  else push([&](unsigned i) { return shaped_length(i, load.slice); });
  if (outlet.bursts && packets != 0) copies.mark(floor_.bench.now);
  tell(packets, [&](unsigned i) { observe_.queued(i, load.map, port, shaped_length(i, load.slice), load.priority); });
  each(later, [&](unsigned i) { queue_copy(snapshot, port, load, i, outlet.memory_class); });
}

/// One copy: of one frame or several, into this worker's queue or to the worker that has the port's queue, by reference or, into memory
/// of another class, by a copy that all tools of that class share.
template <class Observer>
void Pipeline<Observer>::queue_copy(const Snapshot& snapshot, PortSlot port, const Load& load, unsigned i, MemoryClass memory_class) {
  const Burst& burst = floor_.burst;
  Workbench& bench = floor_.bench;
  Outlet& outlet = floor_.outlets[port];
  const uint32_t bytes = shaped_length(i, load.slice);
  const auto drop = [&](CopyDrop reason) { drop_copies(load.map, port, load.leg, uint64_t{1} << i, load.slice, reason); };

  std::array<Frame, kMaxChain> frames;
  unsigned size = 0;
  Workbench::Copied* copied = nullptr;
  if (outlet.memory_class == memory_class) {
    size = cut_chain(burst.frames[i], burst.rest_of(i), bytes, frames);
  } else {
    copied = copy_into(outlet.memory_class, i);
    if (!copied) return drop(CopyDrop::kNoFrame);
    size = cut_chain(copied->frames[0], std::span(copied->frames).subspan(1, copied->size - 1U), bytes, frames);
  }
  if (outlet.queue) {
    if (!make_room(outlet, size, load.priority)) return drop(outlet.full());
  } else if (!floor_.peers[outlet.owner]->takes_copy(size)) {
    return drop(CopyDrop::kHandoverFull);
  }
  if (outlet.queue) enqueue(snapshot, port, std::span(frames).first(size), load.priority, {load.leg, bytes, floor_.worker});
  for (unsigned f = 0; f < size; ++f) {
    if (!outlet.queue)
      floor_.peers[outlet.owner]->pass(
          PassedCopy{.frame = frames[f], .leg = load.leg, .bytes = bytes, .port = port, .loan = outlet.loan, .priority = load.priority, .last = f + 1 == size});
    if (copied) ++copied->references[f];
    else ++(f == 0 ? bench.references[i] : bench.rest_references[burst.rest_begin[i] + f - 1U]);
  }
  count<Line::kInFlightUp>(floor_.book.leg(load.leg).in_flight, 1, bytes);
  observe_.queued(i, load.map, port, bytes, load.priority);
}

/// The packet in frames of another class, copied at most once a burst; null: no frames are free.
template <class Observer>
Workbench::Copied* Pipeline<Observer>::copy_into(MemoryClass memory_class, unsigned i) {
  Workbench& bench = floor_.bench;
  for (auto& known : bench.copied)
    if (known.packet == i && known.memory_class == memory_class) return &known;
  const Burst& burst = floor_.burst;
  const auto chunk = static_cast<uint32_t>(floor_.memory->chunk_size());
  const uint32_t frames = (burst.lengths[i] + chunk - 1) / chunk;
  if (frames > kMaxChain || floor_.pool.free(memory_class) < frames) return nullptr;
  auto& copied = bench.copied.emplace_back(
      Workbench::Copied{.packet = i, .memory_class = memory_class, .size = static_cast<uint8_t>(frames), .references = {}, .frames = {}});
  for (uint32_t f = 0; f < frames; ++f) {
    const uint32_t index = floor_.pool.take(memory_class);
    copied.frames[f] = {floor_.memory->chunk(index), std::min(chunk, burst.lengths[i] - f * chunk), index};
  }
  uint32_t at = 0;
  const auto append = [&](const Frame& from) {
    for (uint32_t done = 0; done < from.length;) {
      const uint32_t n = std::min(from.length - done, chunk - at % chunk);
      std::memcpy(floor_.memory->chunk(copied.frames[at / chunk].index) + at % chunk, from.data + done, n);
      done += n;
      at += n;
    }
  };
  append(burst.frames[i]);
  for (const Frame& frame : burst.rest_of(i)) append(frame);
  ++floor_.book.worker().copied;
  return &copied;
}

/// What nothing refers to is free again.
template <class Observer>
void Pipeline<Observer>::hold_frames() {
  const Burst& burst = floor_.burst;
  Workbench& bench = floor_.bench;
  for (unsigned i = 0; i < burst.size; ++i) floor_.pool.hold(burst.frames[i].index, bench.references[i]);
  for (unsigned r = 0; r < burst.rest_size; ++r) floor_.pool.hold(burst.rest[r].index, bench.rest_references[r]);
  for (const auto& copied : bench.copied)
    for (unsigned f = 0; f < copied.size; ++f) floor_.pool.hold(copied.frames[f].index, copied.references[f]);
  bench.copied.clear();
}

template <class Observer>
void Pipeline<Observer>::drop_copies(uint32_t map, PortSlot port, uint32_t leg, uint64_t packets, const Slice& slice, CopyDrop reason) {
  count<Line::kCopyDropped>(floor_.book.leg(leg).dropped[static_cast<unsigned>(reason)], count_of(packets), bytes_of(packets, slice));
  tell(packets, [&](unsigned i) { observe_.copy_dropped(i, map, port, reason); });
}

/// One destination after the other asks for the same packets as a rule: the last answer is kept.
template <class Observer>
uint64_t Pipeline<Observer>::bytes_of(uint64_t packets, const Slice& slice) {
  auto& last = floor_.bench.last_sum;
  if (last.packets == packets && last.slice == slice) return last.bytes;
  uint64_t bytes = 0;
  each(packets, [&](unsigned i) { bytes += shaped_length(i, slice); });
  last = {packets, bytes, slice};
  return bytes;
}

}  // namespace sluice
