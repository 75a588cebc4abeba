#include "engine/floor.h"

namespace sluice {

Workbench::Workbench() : passed(std::make_unique<uint64_t[]>(kMaxSlots.maps)) {
  loads.reserve(kMaxSlots.legs);
  copied.reserve(std::size_t{kBurst} * kMemoryClasses);
  pushed_out.reserve(kMostPushedOut);
}

Floor::Floor(const FrameLayout& frame_layout, uint32_t own_worker)
    : worker(own_worker),
      layout(frame_layout),
      pool(frame_layout, own_worker),
      verdicts(kMaxSlots.maps),
      filter_verdicts(kMaxPorts),
      fragments(frame_layout) {}

}  // namespace sluice
