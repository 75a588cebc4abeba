// A worker's account book. The worker alone writes, into memory of its own, and publishes all of it under one sequence number; a
// reader gets the figures of one moment or tries again.
//
// The lines of the ledger, each in packets and bytes, each counted where it happens and never calculated:
//   a received packet:  dequeued = dropped(reason) + unmatched + fanned_out + held
//   a copy, per leg:    created  = merged + dropped(reason) + sent + in_flight
// A leg is one way to a tool: a map's destination and the port that carried it. Sums over legs are the accounts of destinations,
// members, tool groups and tool ports, so that those can never disagree.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/drop_reasons.h"

namespace sluice {

struct Tally {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  Tally& operator+=(const Tally& other) {
    packets += other.packets;
    bytes += other.bytes;
    return *this;
  }
};

/// Gauges (held, in_flight) are counted up by the worker that hands something over and down by the one that ends it: one worker's alone
/// may be below zero, modulo 2^64; the sum over workers is not, once they are at rest.
struct PortCounters {
  Tally dequeued;
  Tally unmatched;
  Tally fanned_out;
  Tally held;  ///< a gauge: received, on the way to the worker that processes it
  std::array<Tally, kPacketDrops> dropped;
  // Of its domain; no part of the balance.
  Tally compared;
  Tally duplicates;               ///< of those
  uint64_t dedup_evicted_live;    ///< packets that were forgotten within the window, for one of this port's
  PortCounters& operator+=(const PortCounters& other);
  /// dequeued less all its ends, packets and bytes each by absolute value; 0 when the account balances.
  [[nodiscard]] uint64_t unaccounted() const;
};

struct LegCounters {
  Tally created;
  Tally merged;
  Tally sent;
  Tally in_flight;  ///< a gauge; counted up and down by itself
  std::array<Tally, kCopyDrops> dropped;
  LegCounters& operator+=(const LegCounters& other);
  [[nodiscard]] uint64_t unaccounted() const;
};

/// Statistics of a map or a rule; no part of the balance.
struct MapCounters {
  Tally passed;  ///< hidden ones included
  Tally passed_by_default;
  Tally hidden;  ///< passed, but an earlier consuming map had taken it
};
struct RuleCounters {
  Tally hits;
  uint64_t last_hit_ns = 0;  ///< wall clock
};

struct WorkerCounters {
  uint64_t loops = 0;
  uint64_t busy_loops = 0;
  uint64_t sleeps = 0;
  uint64_t handed_over = 0;   ///< packets given to another worker
  uint64_t copied = 0;        ///< packets copied because a tool's memory is of another class
  uint64_t frag_unknown = 0;  ///< later fragments that were matched without what their first one showed: it did not come in time
};

/// How many slots of each kind are in use; what lies behind them is neither written nor published.
struct SlotCounts {
  uint32_t ports = 0;
  uint32_t legs = 0;
  uint32_t maps = 0;
  uint32_t rules = 0;
};

/// Most slots of each kind. Kept small enough that a worker's whole book is 8 MB, committed as used.
inline constexpr SlotCounts kMaxSlots{.ports = 128, .legs = 16384, .maps = 1024, .rules = 65536};

/// The book as plain memory, in one piece: [worker][ports][legs][maps][rules].
class AccountBook {
 public:
  AccountBook();

  WorkerCounters& worker() { return *reinterpret_cast<WorkerCounters*>(words_.get()); }
  PortCounters& port(uint32_t slot) { return reinterpret_cast<PortCounters*>(words_.get() + kPortsAt)[slot]; }
  LegCounters& leg(uint32_t slot) { return reinterpret_cast<LegCounters*>(words_.get() + kLegsAt)[slot]; }
  MapCounters& map(uint32_t slot) { return reinterpret_cast<MapCounters*>(words_.get() + kMapsAt)[slot]; }
  RuleCounters& rule(uint32_t slot) { return reinterpret_cast<RuleCounters*>(words_.get() + kRulesAt)[slot]; }

  static constexpr std::size_t kWorkerAt = 0;
  static constexpr std::size_t kPortsAt = 8;
  static_assert(sizeof(WorkerCounters) <= kPortsAt * sizeof(uint64_t));
  static constexpr std::size_t kLegsAt = kPortsAt + kMaxSlots.ports * sizeof(PortCounters) / 8;
  static constexpr std::size_t kMapsAt = kLegsAt + kMaxSlots.legs * sizeof(LegCounters) / 8;
  static constexpr std::size_t kRulesAt = kMapsAt + kMaxSlots.maps * sizeof(MapCounters) / 8;
  static constexpr std::size_t kWords = kRulesAt + kMaxSlots.rules * sizeof(RuleCounters) / 8;

  struct Unmap {
    void operator()(uint64_t* words) const;
  };
  [[nodiscard]] uint64_t* words() { return words_.get(); }

 private:
  std::unique_ptr<uint64_t, Unmap> words_;  ///< zero pages until written
};

/// The published copy of a book: one writer, any readers, a sequence lock on atomics (no fences, so that TSan can follow).
class PublishedBook {
 public:
  /// Worker thread.
  void publish(AccountBook& book, const SlotCounts& used);
  /// Any other thread. Copies what was published last, all of one moment; returns the slots in use then.
  SlotCounts read(AccountBook& into) const;

 private:
  std::atomic<uint64_t> sequence_{0};
  std::array<std::atomic<uint32_t>, 4> used_{};
  mutable AccountBook shared_;
};

}  // namespace sluice
