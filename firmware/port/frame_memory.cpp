#include "port/frame_memory.h"

#include <new>

#include "base/large_pages.h"

namespace sluice {

FrameMemory::FrameMemory(uint32_t chunks, unsigned chunk_shift) : chunks_(chunks), shift_(chunk_shift) {
  base_ = map_large_pages(size(), true);
  if (!base_) throw std::bad_alloc();
}

FrameMemory::~FrameMemory() { unmap_large_pages(base_, size()); }

}  // namespace sluice
