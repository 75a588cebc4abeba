#include "engine/classify/search_tree.h"

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <limits>

namespace sluice {
namespace {

// How many keys of a node are not above x. GCC inlines a function into one that is compiled for another processor only if it is asked to.

template <class Number>
[[gnu::always_inline]] inline uint32_t count_scalar(const Number* node, Number x) {
  uint32_t count = 0;
  for (unsigned i = 0; i < SearchTree<Number>::kKeys; ++i) count += node[i] <= x;
  return count;
}

// AVX2 compares signed numbers alone: both sides are moved by half of the range.
[[gnu::target("avx2,popcnt"), gnu::always_inline]] inline uint32_t count_avx2(const uint32_t* node, uint32_t x) {
  const __m256i half = _mm256_set1_epi32(std::numeric_limits<int32_t>::min());
  const __m256i sought = _mm256_xor_si256(_mm256_set1_epi32(static_cast<int>(x)), half);
  const auto above = [&](unsigned i) __attribute__((target("avx2"), always_inline)) {
    const __m256i keys = _mm256_xor_si256(_mm256_load_si256(reinterpret_cast<const __m256i*>(node) + i), half);
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(keys, sought))));
  };
  return SearchTree<uint32_t>::kKeys - static_cast<uint32_t>(__builtin_popcount(above(0) | above(1) << 8));
}
[[gnu::target("avx2,popcnt"), gnu::always_inline]] inline uint32_t count_avx2(const uint64_t* node, uint64_t x) {
  const __m256i half = _mm256_set1_epi64x(std::numeric_limits<int64_t>::min());
  const __m256i sought = _mm256_xor_si256(_mm256_set1_epi64x(static_cast<long long>(x)), half);
  const auto above = [&](unsigned i) __attribute__((target("avx2"), always_inline)) {
    const __m256i keys = _mm256_xor_si256(_mm256_load_si256(reinterpret_cast<const __m256i*>(node) + i), half);
    return static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(keys, sought))));
  };
  return SearchTree<uint64_t>::kKeys - static_cast<uint32_t>(__builtin_popcount(above(0) | above(1) << 4));
}
[[gnu::target("avx512f,popcnt"), gnu::always_inline]] inline uint32_t count_avx512(const uint32_t* node, uint32_t x) {
  return static_cast<uint32_t>(
      __builtin_popcount(_mm512_cmple_epu32_mask(_mm512_load_si512(node), _mm512_set1_epi32(static_cast<int>(x)))));
}
[[gnu::target("avx512f,popcnt"), gnu::always_inline]] inline uint32_t count_avx512(const uint64_t* node, uint64_t x) {
  return static_cast<uint32_t>(
      __builtin_popcount(_mm512_cmple_epu64_mask(_mm512_load_si512(node), _mm512_set1_epi64(static_cast<long long>(x)))));
}

}  // namespace

Simd best_simd() {
  // All that the functions with a target of their own are compiled for. lzcnt came with bmi.
  static const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  static const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  static const Simd best = avx512 ? Simd::kAvx512 : avx2 ? Simd::kAvx2 : Simd::kScalar;
  return best;
}

template <class Number>
SearchTree<Number>::SearchTree(std::span<const Number> keys, Simd simd) : keys_(static_cast<uint32_t>(keys.size())), simd_(simd) {
  constexpr Number kNone = std::numeric_limits<Number>::max();  // fills up nodes
  // From the leaves up: a level's keys are the first key below each child but the first.
  std::vector<std::vector<Number>> levels(1, std::vector<Number>(keys.begin(), keys.end()));
  std::size_t span = kKeys;  // leaf keys below a child of the level that is made
  const auto nodes_of = [](std::size_t n) { return std::max<std::size_t>(1, (n + kKeys - 1) / kKeys); };
  std::size_t children = nodes_of(keys.size());
  while (children > 1) {
    const std::size_t nodes = (children + kKeys) / (kKeys + 1);
    std::vector<Number> level(nodes * kKeys, kNone);
    for (std::size_t n = 0; n < nodes; ++n)
      for (unsigned k = 0; k < kKeys; ++k)
        if (const std::size_t at = (n * (kKeys + 1) + k + 1) * span; at < keys.size()) level[n * kKeys + k] = keys[at];
    levels.push_back(std::move(level));
    span *= kKeys + 1;
    children = nodes;
  }
  std::reverse(levels.begin(), levels.end());
  std::size_t total = 0;
  for (const auto& level : levels) {
    levels_.push_back({total, static_cast<uint32_t>(nodes_of(level.size()))});
    total += nodes_of(level.size());
  }
  nodes_.assign((total + 1) * kKeys, kNone);
  while (reinterpret_cast<uintptr_t>(nodes_.data() + shift_) % 64 != 0) ++shift_;
  for (std::size_t l = 0; l < levels.size(); ++l)
    std::copy(levels[l].begin(), levels[l].end(), nodes_.begin() + static_cast<std::ptrdiff_t>(shift_ + levels_[l].begin * kKeys));
}

template <class Number>
void SearchTree<Number>::ranks_scalar(std::span<const Number> numbers, uint32_t* out) const {
  std::fill_n(out, numbers.size(), 0U);
  for (std::size_t l = 0; l + 1 < levels_.size(); ++l) {
    const uint32_t last = levels_[l + 1].nodes - 1;  // the highest number counts the fillings too
    const Number* const nodes = node(levels_[l], 0);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      out[i] = std::min(out[i] * (kKeys + 1) + count_scalar(nodes + std::size_t{out[i]} * kKeys, numbers[i]), last);
  }
  const Number* const leaves = node(levels_.back(), 0);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    out[i] = std::min(out[i] * kKeys + count_scalar(leaves + std::size_t{out[i]} * kKeys, numbers[i]), keys_);
}
template <class Number>
[[gnu::target("avx2,popcnt")]] void SearchTree<Number>::ranks_avx2(std::span<const Number> numbers, uint32_t* out) const {
  std::fill_n(out, numbers.size(), 0U);
  for (std::size_t l = 0; l + 1 < levels_.size(); ++l) {
    const uint32_t last = levels_[l + 1].nodes - 1;  // the highest number counts the fillings too
    const Number* const nodes = node(levels_[l], 0);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      out[i] = std::min(out[i] * (kKeys + 1) + count_avx2(nodes + std::size_t{out[i]} * kKeys, numbers[i]), last);
  }
  const Number* const leaves = node(levels_.back(), 0);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    out[i] = std::min(out[i] * kKeys + count_avx2(leaves + std::size_t{out[i]} * kKeys, numbers[i]), keys_);
}
template <class Number>
[[gnu::target("avx512f,popcnt")]] void SearchTree<Number>::ranks_avx512(std::span<const Number> numbers, uint32_t* out) const {
  std::fill_n(out, numbers.size(), 0U);
  for (std::size_t l = 0; l + 1 < levels_.size(); ++l) {
    const uint32_t last = levels_[l + 1].nodes - 1;  // the highest number counts the fillings too
    const Number* const nodes = node(levels_[l], 0);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      out[i] = std::min(out[i] * (kKeys + 1) + count_avx512(nodes + std::size_t{out[i]} * kKeys, numbers[i]), last);
  }
  const Number* const leaves = node(levels_.back(), 0);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    out[i] = std::min(out[i] * kKeys + count_avx512(leaves + std::size_t{out[i]} * kKeys, numbers[i]), keys_);
}

template <class Number>
void SearchTree<Number>::ranks(std::span<const Number> numbers, uint32_t* out) const {
  switch (simd_) {
    case Simd::kAvx512: return ranks_avx512(numbers, out);
    case Simd::kAvx2: return ranks_avx2(numbers, out);
    case Simd::kScalar: return ranks_scalar(numbers, out);
  }
}

template class SearchTree<uint32_t>;
template class SearchTree<uint64_t>;

}  // namespace sluice
