// Back from the engine to the model: counters and traces in the operator's names.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "compile/compile.h"
#include "engine/counters.h"
#include "engine/measurement.h"
#include "engine/tracer.h"
#include "sluice/v1/status.pb.h"

namespace sluice::compile {

/// What a port lost or threw away outside the worker, as its driver and the kernel tell. Absent: unknown.
struct OutsideCounts {
  PortSlot port = kNoPort;
  std::optional<uint64_t> wire_losses;
  std::optional<uint64_t> tx_dropped;
  uint64_t xdp_misses = 0;
  uint64_t xdp_misses_before = 0;
  uint64_t lost_in_kernel = 0;
};

/// The balanced account of all workers together. `departing`: retired legs whose account is not folded yet, with the slot that takes it
/// over as port. `books`: one a worker, each of one moment.
[[nodiscard]] v1::Ledger report_ledger(const Plan& plan, std::span<const LegPlan> departing, std::span<AccountBook> books,
                                       const SlotCounts& used, std::span<const OutsideCounts> outside, int64_t frames_lost);

/// What all workers measured in so many nanoseconds. plan: of the configuration with the one map.
[[nodiscard]] v1::Measurement report_measurement(const MapPlan& map, const Snapshot& snapshot, std::span<const Measurement> measured,
                                                 uint64_t interval_ns);

/// A trace of one packet as steps in words.
[[nodiscard]] v1::Explanation report_trace(const Plan& plan, std::span<const TraceStep> steps);

}  // namespace sluice::compile
