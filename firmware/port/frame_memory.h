// The memory that packets live in: equal chunks, each one frame, numbered through. It is laid out by memory class and worker; a class's
// stretch is registered as one UMEM where AF_XDP uses it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

/// A UMEM is wholly of one class, because its first socket decides for all that share it; a frame is sent from its own UMEM alone.
enum class MemoryClass : uint8_t { kCopy, kZeroCopy, kCopyMultiBuffer, kZeroCopyMultiBuffer, kCount };
inline constexpr unsigned kMemoryClasses = static_cast<unsigned>(MemoryClass::kCount);

[[nodiscard]] constexpr bool is_zero_copy(MemoryClass c) { return c == MemoryClass::kZeroCopy || c == MemoryClass::kZeroCopyMultiBuffer; }
[[nodiscard]] constexpr bool is_multi_buffer(MemoryClass c) {
  return c == MemoryClass::kCopyMultiBuffer || c == MemoryClass::kZeroCopyMultiBuffer;
}
[[nodiscard]] constexpr MemoryClass memory_class_of(bool zero_copy, bool multi_buffer) {
  if (multi_buffer) return zero_copy ? MemoryClass::kZeroCopyMultiBuffer : MemoryClass::kCopyMultiBuffer;
  return zero_copy ? MemoryClass::kZeroCopy : MemoryClass::kCopy;
}

/// Which frames belong to whom: [class][worker][frames_per_worker].
struct FrameLayout {
  uint32_t workers = 1;
  uint32_t frames_per_worker = 0;
  unsigned classes = 1;

  [[nodiscard]] uint32_t frames_per_class() const { return workers * frames_per_worker; }
  [[nodiscard]] uint32_t total() const { return classes * frames_per_class(); }
  [[nodiscard]] uint32_t first(MemoryClass c, uint32_t worker) const {
    return (static_cast<uint32_t>(c) * workers + worker) * frames_per_worker;
  }
  [[nodiscard]] uint32_t owner(uint32_t frame) const { return frame / frames_per_worker % workers; }
};

class FrameMemory {
 public:
  /// `chunks` chunks of 2^chunk_shift bytes. Pages are taken when first used. Throws std::bad_alloc (start-up only).
  FrameMemory(uint32_t chunks, unsigned chunk_shift);
  ~FrameMemory();
  FrameMemory(const FrameMemory&) = delete;
  FrameMemory& operator=(const FrameMemory&) = delete;

  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(chunks_) << shift_; }
  [[nodiscard]] uint32_t chunks() const { return chunks_; }
  [[nodiscard]] std::size_t chunk_size() const { return std::size_t{1} << shift_; }
  [[nodiscard]] std::byte* chunk(uint32_t index) const { return base_ + (static_cast<std::size_t>(index) << shift_); }
  /// The chunk that an offset into the memory falls into.
  [[nodiscard]] uint32_t index_of(uint64_t offset) const { return static_cast<uint32_t>(offset >> shift_); }

 private:
  std::byte* base_;
  uint32_t chunks_;
  unsigned shift_;
};

}  // namespace sluice
