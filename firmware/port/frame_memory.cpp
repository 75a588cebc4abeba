#include "port/frame_memory.h"

#include <sys/mman.h>

#include <new>

namespace sluice {

FrameMemory::FrameMemory(uint32_t chunks, unsigned chunk_shift) : chunks_(chunks), shift_(chunk_shift) {
  void* memory = mmap(nullptr, size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<std::byte*>(memory);
}

FrameMemory::~FrameMemory() { munmap(base_, size()); }

}  // namespace sluice
