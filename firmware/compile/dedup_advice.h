// From what a survey saw to domains that fit. A proposal has all ports of the domains that it replaces as well, also those that received nothing; what it
// saves is a part of what all of its ports received.
#pragma once

#include <cstdint>
#include <span>

#include "compile/compile.h"
#include "engine/dedup/survey.h"
#include "sluice/v1/status.pb.h"

namespace sluice::compile {

/// surveyed: by worker, over so many nanoseconds, one packet in `sampled` in the end. plan, snapshot: in force now, with the ports of then.
[[nodiscard]] v1::DedupAdvice advise_dedup(const Plan& plan, const Snapshot& snapshot, std::span<const DedupSurveyor> surveyed, uint32_t sampled,
                                           uint64_t interval_ns);

}  // namespace sluice::compile
