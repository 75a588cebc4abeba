// Buffers are budgets: what each port may have of a worker's frames is fixed before a revision is in force.
#pragma once

#include <array>
#include <cstdint>

#include "base/result.h"
#include "compile/compile.h"
#include "sluice/v1/status.pb.h"

namespace sluice::compile {

/// Ring sizes of a port's queue: descriptors. A worker that loses its processor for a tick of 4 ms finds 8,192 packets of 2 Mpps.
inline constexpr uint32_t kFillRing = 8192;
inline constexpr uint32_t kRxRing = 8192;
inline constexpr uint32_t kTxRing = 2048;
/// Frames in the fill ring of a queue that a port can't do with fewer of.
inline constexpr uint32_t kMinFillReserve = 2048;
/// Fewer frames than this a tool port's queue can't do with: four bursts.
inline constexpr uint32_t kMinQuota = 256;
/// A packet's place in a buffer, bytes: a frame. Most frames of a buffer: 32 GiB.
inline constexpr uint64_t kBufferFrame = 2048;
inline constexpr uint64_t kMostBuffer = uint64_t{1} << 24;

/// What one port may have of one worker's frames. Frames that copies into another memory class need are of what nobody was given.
struct Share {
  uint32_t fill = 0;   ///< lent for reception, if it receives
  uint32_t queue = 0;  ///< in its queue, if it sends
  friend bool operator==(const Share&, const Share&) = default;
};
struct Shares {
  Share single_buffer;
  Share multi_buffer;
  std::array<uint32_t, kMaxPorts> buffers{};  ///< frames of the queues of ports that are given a buffer, by slot; 0: the share
  [[nodiscard]] Share of(const PortPlan& port) const {
    Share share = port.multi_buffer() ? multi_buffer : single_buffer;
    if (buffers[port.slot] > 0) share.queue = buffers[port.slot];
    return share;
  }
  friend bool operator==(const Shares&, const Shares&) = default;
};

/// Frames of the buffer that a port is given in each worker; 0: none, it has a share. path: of the port's egress. What a port's egress asks
/// for and a network port can't have is refused here, too.
[[nodiscard]] Result<uint32_t> buffer_of(const v1::Port& port, const std::string& path);

/// Ports that are given a buffer have that. Half of the frames go to fill rings, up to full ones, and what is left to the queues of the other
/// ports that send, each alike: one a worker, because a one-queue network port's frames, all of one worker, may wait in every worker's queue; ports with several buffers a
/// packet have memory of their own. Refused with the sum if the shares get too small. A port's memory class is known only when it is
/// opened, so all ports of a kind are taken to share one.
[[nodiscard]] Result<Shares> share_out(const Plan& plan, uint32_t frames_per_worker, uint32_t workers);

/// What a compiled revision takes, and what there is: rules, maps, accounts of copies, frames (of ports with one buffer a packet).
[[nodiscard]] v1::Cost cost_of(const Compiled& compiled, const Shares& shares);

}  // namespace sluice::compile
