// Memory that the packet path reads at random. A processor has some hundred translations of addresses at hand, and some thousand nearby; beyond, a
// read of a page of 4 KiB misses twice. Pages of 2 MiB are few.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace sluice {

inline constexpr std::size_t kLargePage = std::size_t{2} << 20;

/// Zeroed, whole pages of 2 MiB, large ones as far as the kernel has any; nullptr: there is no memory, errno says why. Of what is touched, all of its page
/// is taken. Ends with unmap_large_pages() of as many bytes. sparse: most of it
/// is never touched, and the kernel need not have it. Any thread.
[[nodiscard]] std::byte* map_large_pages(std::size_t bytes, bool sparse = false);
void unmap_large_pages(void* memory, std::size_t bytes);

/// Of a standard container. Whatever is smaller than kLeast is allocated as usual: it would take a whole page all the same.
template <class T>
class LargePageAllocator {
 public:
  using value_type = T;
  static constexpr std::size_t kLeast = kLargePage / 4;

  LargePageAllocator() = default;
  template <class Other>
  LargePageAllocator(const LargePageAllocator<Other>&) {}

  [[nodiscard]] T* allocate(std::size_t n) {
    if (n * sizeof(T) < kLeast) return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{alignof(T)}));
    auto* const memory = map_large_pages(taken(n));
    if (!memory) throw std::bad_alloc();
    return reinterpret_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t n) {
    if (n * sizeof(T) < kLeast) ::operator delete(memory, std::align_val_t{alignof(T)});
    else unmap_large_pages(memory, taken(n));
  }

  /// Bytes of memory that n of them take.
  [[nodiscard]] static constexpr std::size_t taken(std::size_t n) {
    const std::size_t bytes = n * sizeof(T);
    return bytes < kLeast ? bytes : (bytes + kLargePage - 1) / kLargePage * kLargePage;
  }

  friend bool operator==(const LargePageAllocator&, const LargePageAllocator&) { return true; }
};

template <class T>
using LargeVector = std::vector<T, LargePageAllocator<T>>;

/// What it has of memory.
template <class T>
[[nodiscard]] std::size_t bytes_of(const LargeVector<T>& vector) {
  return LargePageAllocator<T>::taken(vector.capacity());
}

}  // namespace sluice
