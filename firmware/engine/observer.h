// What may watch the pipeline at work. The pipeline is a template over its observer: workers run with Unwatched, which costs nothing;
// explain and replay's --explain run the very same code with a tracer. No second description of the path exists.
#pragma once

#include <cstdint>

#include "engine/classify.h"
#include "engine/drop_reasons.h"
#include "packet/frame.h"
#include "port/frame_pool.h"

namespace sluice {

/// Every place where the ledger is written. An observer may forbid one: the test that a lost increment is noticed.
enum class Line : uint8_t {
  kDequeued,
  kPacketDropped,
  kUnmatched,
  kFannedOut,
  kCreated,
  kMerged,
  kCopyDropped,
  kSent,
  kInFlightUp,
  kInFlightDown,
  kCount,
};

struct Unwatched {
  static constexpr bool counts(Line) { return true; }
  static constexpr void parsed(PortSlot, const Frame&, const Parsed&) {}
  static constexpr void packet_dropped(PacketDrop) {}
  static constexpr void judged(const Verdict&, uint32_t /*rule_slot*/, bool /*hidden*/) {}
  static constexpr void unmatched() {}
  static constexpr void distributed(uint32_t /*map*/, uint32_t /*group*/, PortSlot /*member*/) {}
  static constexpr void merged(uint32_t /*map*/, PortSlot) {}
  static constexpr void copy_dropped(uint32_t /*map*/, PortSlot, CopyDrop) {}
  static constexpr void queued(uint32_t /*map*/, PortSlot) {}
};

}  // namespace sluice
