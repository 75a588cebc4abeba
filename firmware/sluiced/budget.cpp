#include "sluiced/budget.h"

#include <algorithm>

#include "engine/tool_queue.h"
#include "packet/frame.h"

namespace sluice {

Result<Quotas> share_out(const compile::Plan& plan, uint32_t frames_per_worker) {
  Quotas quotas;
  for (const bool multi_buffer : {false, true}) {
    uint64_t receiving = 0, sending = 0;
    for (const auto& port : plan.ports) {
      if (port.multi_buffer() != multi_buffer) continue;
      receiving += port.receives();
      sending += port.sends();
    }
    const uint64_t need = (receiving + sending == 0 ? 0 : kBurst) + receiving * kFillRing + sending * kMinQuota;
    if (need > frames_per_worker)
      return Error{ErrorCode::kExhausted, "ports",
                   std::string(multi_buffer ? "the ports with a large MTU" : "these ports") + " need " + std::to_string(need) +
                       " frames a worker (" + std::to_string(kFillRing) + " for each that receives, at least " + std::to_string(kMinQuota) +
                       " for each that sends, and a burst), and there are " + std::to_string(frames_per_worker) +
                       "; start sluiced with a larger --frames"};
    const uint64_t rest = frames_per_worker - kBurst - receiving * kFillRing;
    const auto quota = static_cast<uint32_t>(std::min<uint64_t>(kToolQueue, sending ? rest / sending : kToolQueue));
    (multi_buffer ? quotas.multi_buffer : quotas.single_buffer) = quota;
  }
  return quotas;
}

}  // namespace sluice
