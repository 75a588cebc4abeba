// The memory that packets live in: equal chunks, each one frame. Registered as UMEM where AF_XDP uses it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

class FrameMemory {
 public:
  /// `chunks` chunks of 2^chunk_shift bytes. Throws std::bad_alloc (start-up only).
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
