// What a device's AF_XDP can do, found out on a throw-away UMEM: the mode of a UMEM is decided by its first socket, for all that share it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "port/frame_memory.h"

namespace sluice {

/// The best memory class that a socket on this queue can have: zero-copy if the driver has it, several buffers a packet only if they are
/// wanted. Nothing if no class can be bound (several buffers a packet where the kernel has none). Control thread; the device's queue must
/// not be bound.
[[nodiscard]] std::optional<MemoryClass> probe_memory_class(unsigned ifindex, uint32_t queue, bool multi_buffer);

/// Whether the kernel has let go of a queue that was bound: only then does it neither read nor write the frames of the socket that was
/// closed (a pool is torn down some time after its socket). True also if the device is gone.
[[nodiscard]] bool is_released(unsigned ifindex, uint32_t queue);

}  // namespace sluice
