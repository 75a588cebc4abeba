// Buffers are budgets: what each port may have of a worker's frames is fixed before a revision is in force.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "compile/compile.h"

namespace sluice {

/// Ring sizes of a port's queue: descriptors.
inline constexpr uint32_t kFillRing = 2048;
inline constexpr uint32_t kRxRing = 2048;
inline constexpr uint32_t kTxRing = 2048;
/// Fewer frames than this a tool port can't do with.
inline constexpr uint32_t kMinQuota = 1024;

/// Frames that each tool port may hold of one worker's, by kind of port: with one buffer a packet, or with several.
struct Quotas {
  uint32_t single_buffer = 0;
  uint32_t multi_buffer = 0;
  [[nodiscard]] uint32_t of(const compile::PortPlan& port) const { return port.multi_buffer() ? multi_buffer : single_buffer; }
};

/// Every worker keeps a full fill ring for each port that receives, a burst in its hands, and an equal share of the rest for each port that
/// sends; ports with several buffers a packet have memory of their own. Refused with the sum if the shares get too small. A port's memory
/// class is known only when it is opened, so all ports of a kind are taken to share one.
[[nodiscard]] Result<Quotas> share_out(const compile::Plan& plan, uint32_t frames_per_worker);

}  // namespace sluice
