#include "compile/budget.h"

#include <algorithm>

#include "engine/tool_queue.h"
#include "packet/frame.h"

namespace sluice::compile {

Result<Shares> share_out(const Plan& plan, uint32_t frames_per_worker, uint32_t workers) {
  Shares shares;
  for (const bool multi_buffer : {false, true}) {
    uint32_t receiving = 0, sending = 0;
    for (const auto& port : plan.ports) {
      if (port.multi_buffer() != multi_buffer) continue;
      receiving += port.receives();
      sending += port.sends() ? workers : 0;  // queues
    }
    const uint32_t need = kBurst + receiving * kMinFillReserve + sending * kMinQuota;
    if (receiving + sending > 0 && need > frames_per_worker)
      return Error{ErrorCode::kExhausted, "ports",
                   std::string(multi_buffer ? "the ports with a large MTU" : "these ports") + " need " + std::to_string(need) +
                       " frames a worker (" + std::to_string(kMinFillReserve) + " for each that receives, " + std::to_string(kMinQuota) +
                       " a worker for each that sends, and a burst), and there are " + std::to_string(frames_per_worker) +
                       "; start sluiced with a larger --frames"};
    Share& share = multi_buffer ? shares.multi_buffer : shares.single_buffer;
    share = {.fill = kFillRing, .queue = kToolQueue};
    if (receiving > 0) share.fill = std::clamp(frames_per_worker / 2 / receiving, kMinFillReserve, kFillRing);
    // Ports that send want their least first.
    if (receiving > 0) share.fill = std::min(share.fill, (frames_per_worker - kBurst - sending * kMinQuota) / receiving);
    if (sending > 0) share.queue = std::min(kToolQueue, (frames_per_worker - kBurst - receiving * share.fill) / sending);
  }
  return shares;
}

v1::Cost cost_of(const Compiled& compiled, const Shares& shares) {
  uint32_t copies = 0;
  for (const auto& map : compiled.snapshot->maps)
    for (const auto& destination : map.destinations) copies += static_cast<uint32_t>(destination.legs.size());
  v1::Cost cost;
  cost.set_rules(static_cast<uint32_t>(compiled.snapshot->rule_slots.size()));
  cost.set_most_rules(kMaxSlots.rules);
  cost.set_maps(static_cast<uint32_t>(compiled.snapshot->maps.size()));
  cost.set_most_maps(kMaxSlots.maps);
  cost.set_copies(copies);
  cost.set_most_copies(kMaxSlots.legs - kReservedLegs);
  cost.set_receive_frames(shares.single_buffer.fill);
  cost.set_queue_frames(shares.single_buffer.queue);
  return cost;
}

}  // namespace sluice::compile
