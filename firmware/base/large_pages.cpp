#include "base/large_pages.h"

#include <sys/mman.h>

#include <bit>
#include <cstdint>

namespace sluice {
namespace {

/// A page of which the end is not there can't be a large one.
constexpr std::size_t whole_pages(std::size_t bytes) { return (bytes + kLargePage - 1) / kLargePage * kLargePage; }

}  // namespace

std::byte* map_large_pages(std::size_t bytes, bool sparse) {
  bytes = whole_pages(bytes);
  void* const memory = mmap(nullptr, bytes + kLargePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (sparse ? MAP_NORESERVE : 0), -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  // What is in front of the first large page and behind the last goes back.
  auto* const begin = static_cast<std::byte*>(memory);
  auto* const aligned = std::bit_cast<std::byte*>((std::bit_cast<uintptr_t>(begin) + kLargePage - 1) & ~(kLargePage - 1));
  if (aligned != begin) munmap(begin, static_cast<std::size_t>(aligned - begin));
  munmap(aligned + bytes, static_cast<std::size_t>(begin + kLargePage - aligned));
  madvise(aligned, bytes, MADV_HUGEPAGE);  // without it, it is as right, and slower
  return aligned;
}

void unmap_large_pages(void* memory, std::size_t bytes) { munmap(memory, whole_pages(bytes)); }

}  // namespace sluice
