// A worker's floor: everything it owns and works with. The control thread changes it only between bursts (Worker::between_bursts).
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "engine/classify.h"
#include "engine/counters.h"
#include "engine/snapshot.h"
#include "engine/tool_queue.h"
#include "port/frame_pool.h"
#include "port/port_queue.h"

namespace sluice {

/// A port's queue that the worker receives from.
struct Inlet {
  PortSlot port;
  PortQueue* queue;
};

/// A port's queue that the worker sends to.
struct Outlet {
  PortQueue* queue = nullptr;  ///< null: not open
  std::unique_ptr<ToolQueue> copies;
};

struct Floor {
  Floor(uint32_t first_frame, uint32_t frames) : pool(first_frame, frames), verdicts(kMaxSlots.maps) {}

  FramePool pool;
  AccountBook book;
  std::vector<Inlet> inlets;
  std::array<Outlet, kMaxPorts> outlets;
  std::vector<PortSlot> open_outlets;  ///< slots of outlets with a queue
  Burst burst;
  VerdictBuffer verdicts;
};

}  // namespace sluice
