// Which of many intervals is a number in? A static B+ tree of the intervals' first numbers, a cache line a node, searched for a burst of
// numbers level by level, so that their cache misses overlap. (The layout: "S+ tree" of Sergey Slotin, Algorithms for Modern Hardware,
// chapter 12.2.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice {

/// What of the processor is used; the same answers from all.
enum class Simd : uint8_t { kScalar, kAvx2, kAvx512 };
/// The most that this processor has.
[[nodiscard]] Simd best_simd();

/// Number: uint32_t or uint64_t.
template <class Number>
class SearchTree {
 public:
  static constexpr unsigned kKeys = 64 / sizeof(Number);  ///< of a node

  SearchTree() = default;
  /// keys: ascending, each once.
  SearchTree(std::span<const Number> keys, Simd simd);
  SearchTree(SearchTree&&) = default;  // a copy would lie otherwise to the cache lines
  SearchTree& operator=(SearchTree&&) = default;

  /// For each number, how many keys are not above it. Any thread.
  void ranks(std::span<const Number> numbers, uint32_t* out) const;

 private:
  struct Level {
    std::size_t begin;  ///< of its nodes, counted in nodes
    uint32_t nodes;
  };
  void ranks_scalar(std::span<const Number> numbers, uint32_t* out) const;
  [[gnu::target("avx2,popcnt")]] void ranks_avx2(std::span<const Number> numbers, uint32_t* out) const;
  [[gnu::target("avx512f,popcnt")]] void ranks_avx512(std::span<const Number> numbers, uint32_t* out) const;

  std::vector<Number> nodes_;  ///< from the root's level to the leaves'
  std::vector<Level> levels_;
  std::size_t shift_ = 0;  ///< numbers before the first node that begins a cache line
  uint32_t keys_ = 0;
  Simd simd_ = Simd::kScalar;

  [[nodiscard]] const Number* node(const Level& level, uint32_t k) const { return nodes_.data() + shift_ + (level.begin + k) * kKeys; }
};

}  // namespace sluice
