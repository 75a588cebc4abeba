// What may watch the pipeline at work. The pipeline is a template over its observer: workers run with Unwatched, which costs nothing;
// explain and replay's --explain run the very same code with a tracer. No second description of the path exists.
#pragma once

#include <cstdint>

#include "engine/backlog.h"
#include "engine/classify/classifier.h"
#include "engine/drop_reasons.h"
#include "packet/frame.h"
#include "port/frame_pool.h"

namespace sluice {

struct Snapshot;
struct SnapshotDestination;

/// Every place where the ledger's balance is written (hits of rules and maps are no part of it). An observer may forbid one: the test that
/// a lost increment is noticed.
enum class Line : uint8_t {
  kDequeued,
  kPacketDropped,
  kUnmatched,
  kFannedOut,
  kHeldUp,
  kHeldDown,
  kCreated,
  kMerged,
  kCopyDropped,
  kSent,
  kInFlightUp,
  kInFlightDown,
  kCount,
};

/// `i` is the packet's place in the burst at hand; parsed() comes first of all that concerns it. Packets that are handed over, or dropped
/// on the way there, are seen by nobody: a watched pipeline has no peers.
struct Unwatched {
  /// Whether the calls below do anything: the pipeline then makes them packet by packet.
  static constexpr bool kWatches = false;
  static constexpr bool counts(Line) { return true; }
  static constexpr void parsed(unsigned /*i*/, PortSlot, const Burst&) {}
  /// Only these packets are still in the burst, in their order: i counts them anew.
  static constexpr void kept(uint64_t /*packets*/) {}
  static constexpr void packet_dropped(unsigned /*i*/, PacketDrop) {}
  static constexpr void compared(unsigned /*i*/, uint8_t /*domain*/, bool /*duplicate*/) {}
  /// All packets of the burst, which this port received; verdicts follow with judged().
  static constexpr void classified(const Snapshot&, const Burst&, PortSlot, const VerdictBuffer&) {}
  static constexpr void judged(unsigned /*i*/, const Verdict&, uint32_t /*rule_slot*/, bool /*hidden*/) {}
  static constexpr void unmatched(unsigned /*i*/) {}
  /// A destination with limits, which may drop a copy of it.
  static constexpr void limited(unsigned /*i*/, uint32_t /*map*/, const SnapshotDestination&) {}
  static constexpr void distributed(unsigned /*i*/, uint32_t /*map*/, uint32_t /*group*/, PortSlot /*member*/) {}
  static constexpr void merged(unsigned /*i*/, uint32_t /*map*/, PortSlot) {}
  static constexpr void copy_dropped(unsigned /*i*/, uint32_t /*map*/, PortSlot, CopyDrop) {}
  static constexpr void queued(unsigned /*i*/, uint32_t /*map*/, PortSlot, uint32_t /*bytes*/, Priority) {}
};

}  // namespace sluice
