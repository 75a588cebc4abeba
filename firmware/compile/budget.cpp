#include "compile/budget.h"

#include <algorithm>

#include "engine/tool_queue.h"
#include "packet/frame.h"

namespace sluice::compile {

Result<uint32_t> buffer_of(const v1::Port& port, const std::string& path) {
  const auto& egress = port.egress();
  if ((egress.buffer() > 0 || egress.rate_limit() > 0) && port.role() == v1::PortRole::NETWORK)
    return Error{ErrorCode::kInvalid, path + (egress.buffer() > 0 ? ".buffer" : ".rate_limit"), "a NETWORK port sends nothing"};
  const uint64_t frames = egress.buffer() / kBufferFrame;
  if (egress.buffer() > 0 && (frames < kMinQuota || frames > kMostBuffer))
    return Error{ErrorCode::kInvalid, path + ".buffer",
                 std::to_string(egress.buffer()) + " bytes; a buffer has from " + std::to_string(kMinQuota * kBufferFrame) + " to " +
                     std::to_string(kMostBuffer * kBufferFrame) + " for each worker, of which every packet, or piece of a long one, takes " +
                     std::to_string(kBufferFrame)};
  return static_cast<uint32_t>(frames);
}

Result<Shares> share_out(const Plan& plan, uint32_t frames_per_worker, uint32_t workers) {
  Shares shares;
  for (const bool multi_buffer : {false, true}) {
    uint32_t receiving = 0, sending = 0;
    uint64_t buffers = 0;
    for (const auto& port : plan.ports) {
      if (port.multi_buffer() != multi_buffer) continue;
      receiving += port.receives();
      if (!port.sends()) continue;
      if (port.buffer == 0) {
        sending += workers;  // queues
        continue;
      }
      buffers += uint64_t{port.buffer} * workers;
      shares.buffers[port.slot] = port.buffer;
    }
    const uint64_t need = kBurst + uint64_t{receiving} * kMinFillReserve + uint64_t{sending} * kMinQuota + buffers;
    if (need > kBurst && need > frames_per_worker)
      return Error{ErrorCode::kExhausted, "ports",
                   std::string(multi_buffer ? "the ports with a large MTU" : "these ports") + " need " + std::to_string(need) +
                       " frames a worker (" + std::to_string(kMinFillReserve) + " for each that receives, " + std::to_string(buffers) +
                       " for buffers, " + std::to_string(kMinQuota) + " a worker for each other that sends, and a burst), and there are " + std::to_string(frames_per_worker) +
                       "; start sluiced with a larger --frames"};
    Share& share = multi_buffer ? shares.multi_buffer : shares.single_buffer;
    share = {.fill = kFillRing, .queue = kToolQueue};
    if (receiving > 0) share.fill = std::clamp(frames_per_worker / 2 / receiving, kMinFillReserve, kFillRing);
    // Ports that send want their least first.
    const auto given = static_cast<uint32_t>(buffers + kBurst);
    if (receiving > 0) share.fill = std::min(share.fill, (frames_per_worker - given - sending * kMinQuota) / receiving);
    if (sending > 0) share.queue = std::min(kToolQueue, (frames_per_worker - given - receiving * share.fill) / sending);
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
