#include "engine/classify/kernel.h"

#include <bit>
#include <utility>

namespace sluice {

void ClassifierKernel::run(Simd simd) {
  out_.seen.scanner = nullptr;  // that was another burst
  if (c_.rows_.empty() || burst_.size == 0) {
    out_.begin.fill(0);
    return;
  }
  switch (simd) {
    case Simd::kAvx512: return run_avx512();
    case Simd::kAvx2: return run_avx2();
    case Simd::kScalar: return run_scalar();
  }
}

void ClassifierKernel::run_scalar() { choose(); }
[[gnu::target("avx2,bmi,bmi2,popcnt,lzcnt")]] void ClassifierKernel::run_avx2() { choose(); }
[[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,avx2,bmi,bmi2,popcnt,lzcnt")]] void ClassifierKernel::run_avx512() { choose(); }

void ClassifierKernel::choose() {
  switch (c_.layout_.words) {
    case 1: return match<1>();
    case 2: return match<2>();
    case 4: return match<4>();
    case 5: return match<5>();
    case 8: return match<8>();
    case 16: return match<16>();
    default: return match<32>();
  }
}

template <uint32_t kWords>
void ClassifierKernel::match() {
  for (const Dimension& dimension : c_.dimensions_) {
    const auto d = static_cast<std::size_t>(&dimension - c_.dimensions_.data());
    const RuleSets& sets = dimension.sets();
    if (!sets.dense) {
      sparse_[sparse_size_++] = {sets.leaves.at(0), sets.bases.at(0), sets.leaf_words, classes_[d].data()};
    } else if (dimension.where().field != Field::kPort || !sets.is_everything(classes_[d][0], c_.layout_)) {
      dense_[dense_size_++] = {sets.summaries.at(0), sets.bitmaps.at(0), classes_[d].data()};
    }
  }
  if (c_.plain_ && c_.bits_.empty() && !forest_) return match_all();
  if (forest_) {
    forest_->keys_of(burst_, keys_.data());
    forest_->walk(keys_.data(), burst_.size, leaves_);
  }
  fetch(0);
  for (unsigned begin = 0; begin < burst_.size; begin += kGroup) {
    fetch(begin + kGroup);
    const unsigned end = std::min(begin + kGroup, burst_.size);
    if (c_.plain_) match_one_map<kWords>(begin, end);
    else match_maps<kWords>(begin, end);
  }
  out_.begin[burst_.size] = verdicts_;
}

/// Nothing is asked of packets but their port.
void ClassifierKernel::match_all() {
  const bool all = c_.maps_.front().ports[port_];
  const auto& row = c_.rows_[c_.last_resort_];
  for (unsigned i = 0; i < burst_.size; ++i) {
    out_.begin[i] = all ? i : 0;
    out_.verdicts[i] = {c_.maps_.front().map, row.rule, row.pass};
  }
  out_.begin[burst_.size] = all ? burst_.size : 0;
}

/// What the leaves of a group of packets have, on its way.
void ClassifierKernel::fetch(unsigned begin) const {
  for (uint32_t d = 0; d < sparse_size_; ++d)
    for (unsigned i = begin; i < std::min(begin + kGroup, burst_.size); ++i) {
      const uint64_t* const leaf = sparse_[d].leaves + std::size_t{sparse_[d].classes[i]} * sparse_[d].leaf_words;
      for (uint32_t at = 0; at < sparse_[d].leaf_words; at += 8) __builtin_prefetch(leaf + at);
    }
}

/// Blocks in which every dimension leaves something.
template <uint32_t kWords>
void ClassifierKernel::narrow_down(unsigned i, std::array<uint64_t, kWords>& candidates) const {
  std::array<uint64_t, kWords> left;
#pragma GCC unroll 8
  for (uint32_t w = 0; w < kWords; ++w) left[w] = c_.blocks_[w];
  for (uint32_t d = 0; d < sparse_size_; ++d) {
    const Sparse& sets = sparse_[d];
    const uint64_t* const leaf = sets.leaves + std::size_t{sets.classes[i]} * sets.leaf_words;
    const uint64_t* const base = sets.bases + static_cast<uint32_t>(leaf[kWords]) * std::size_t{8};
#pragma GCC unroll 8
    for (uint32_t w = 0; w < kWords; ++w) left[w] &= leaf[w] | base[w];
  }
  for (uint32_t d = 0; d < dense_size_; ++d) {
    const uint64_t* const summary = dense_[d].summaries + std::size_t{dense_[d].classes[i]} * Lines::whole(kWords);
#pragma GCC unroll 8
    for (uint32_t w = 0; w < kWords; ++w) left[w] &= summary[w];
  }
  candidates = left;
}

/// The rules of a block that every dimension leaves. Without a branch that depends on the packet: it would be mispredicted half of the
/// time.
template <uint32_t kWords>
uint64_t ClassifierKernel::matching(unsigned i, uint32_t block) const {
  constexpr uint32_t kHead = Layout::base_head(kWords);
  const uint32_t w = block / 64, b = block % 64;
  const uint64_t below = (uint64_t{1} << b) - 1;
  const auto if_set = [b](uint64_t word, uint64_t value) { return value & (0 - (word >> b & 1)); };
  const uint32_t rows = c_.layout_.rules - block * 64;
  uint64_t bits = rows >= 64 ? ~uint64_t{0} : (uint64_t{1} << rows) - 1;
  for (uint32_t d = 0; d < sparse_size_; ++d) {
    const Sparse& sets = sparse_[d];
    const uint64_t* const leaf = sets.leaves + std::size_t{sets.classes[i]} * sets.leaf_words;
    const uint64_t meta = leaf[kWords], narrow = leaf[w];
    const uint64_t* const base = sets.bases + static_cast<uint32_t>(meta) * std::size_t{8};
    const uint64_t full = base[kWords + w], stored = base[w] & ~full;
    const uint16_t before = reinterpret_cast<const uint16_t*>(base + 2 * kWords)[w];
    // Where nothing is stored of this block, what is read instead lies in a line that is at hand.
    const uint64_t of_base = base[(0 - (stored >> b & 1)) & (kHead + before + static_cast<unsigned>(std::popcount(stored & below)))];
    auto rank = static_cast<uint32_t>(std::popcount(narrow & below));
    if constexpr (kWords <= Layout::kMostCounted) rank += static_cast<uint32_t>(meta >> (32 + 4 * w) & 15U);
    else
      for (uint32_t earlier = 0; earlier < w; ++earlier) rank += static_cast<uint32_t>(std::popcount(leaf[earlier]));
    const uint64_t of_leaf = leaf[(0 - (narrow >> b & 1)) & (kWords + 1 + rank)];
    bits &= if_set(stored, of_base) | if_set(full, ~uint64_t{0}) | if_set(narrow, of_leaf);
  }
  for (uint32_t d = 0; d < dense_size_; ++d) bits &= dense_[d].bitmaps[std::size_t{dense_[d].classes[i]} * kWords * 64 + block];
  return bits;
}

/// One map, no remainders: all packets of the burst take one step at a time, each to the next block that may have a row before its best,
/// until none has one.
template <uint32_t kWords>
void ClassifierKernel::match_one_map(unsigned begin, unsigned end) {
  struct Step {
    uint32_t packet, block;
  };
  std::array<std::array<uint64_t, kWords>, kGroup> candidates;  // by place in the group, as all of these
  std::array<uint32_t, kGroup> best;
  std::array<Step, kGroup> steps;
  std::array<uint8_t, kGroup> going;
  const bool is_source = c_.maps_.front().ports[port_];
  unsigned left = end - begin;
  std::fill_n(best.begin(), left, is_source ? c_.last_resort_ : kNoRow);
  if (is_source && forest_) forest_->first(burst_, port_, keys_.data(), leaves_, begin, end, best.data());
  if (c_.bits_.empty()) left = 0;
  for (unsigned i = 0; i < left; ++i) {
    narrow_down<kWords>(begin + i, candidates[i]);
    going[i] = static_cast<uint8_t>(i);
  }
  while (left > 0) {
    unsigned n = 0;
    for (unsigned g = 0; g < left; ++g) {
      const unsigned i = going[g];
      auto& mine = candidates[i];
      uint32_t w = kWords;
#pragma GCC unroll 8
      for (uint32_t at = 0; at < kWords; ++at) w = w == kWords && mine[at] != 0 ? at : w;
      const bool some = w < kWords;
      w = some ? w : 0;
      const auto b = some ? static_cast<uint32_t>(std::countr_zero(mine[w])) : 0U;
      mine[w] &= mine[w] - 1;
      const uint32_t block = w * 64 + b;
      steps[n] = {i, block};
      going[n] = static_cast<uint8_t>(i);
      n += some && c_.first_row_[block] < best[i];
    }
    left = n;
    for (unsigned s = 0; s < n; ++s) {
      const auto [i, block] = steps[s];
      const uint64_t bits = matching<kWords>(begin + i, block);
      const uint32_t row = bits != 0 ? c_.row_of_bit_[block * 64 + static_cast<unsigned>(std::countr_zero(bits))] : kNoRow;
      best[i] = std::min(best[i], row);
    }
  }
  const uint32_t map = c_.maps_.front().map;
  for (unsigned i = begin; i < end; ++i) {
    out_.begin[i] = verdicts_;
    if (best[i - begin] == kNoRow) continue;
    const auto& row = c_.rows_[best[i - begin]];
    out_.verdicts[verdicts_++] = {map, row.rule, row.pass};
  }
}

/// Several maps: packet after packet, each with the best row of each map so far.
template <uint32_t kWords>
void ClassifierKernel::match_maps(unsigned begin, unsigned end) {
  for (unsigned i = begin; i < end; ++i) {
    out_.begin[i] = verdicts_;
    if (forest_) settle_cut(i);
    std::array<uint64_t, kWords> candidates;
    narrow_down<kWords>(i, candidates);
    for (uint32_t w = 0; w < kWords; ++w)
      for (uint64_t rest = candidates[w]; rest != 0; rest &= rest - 1) {
        const uint32_t block = w * 64 + static_cast<uint32_t>(std::countr_zero(rest));
        settle(i, block, matching<kWords>(i, block));
      }
    for (std::size_t w = 0; w < (c_.maps_.size() + 63) / 64; ++w)
      for (uint64_t touched = std::exchange(out_.touched[w], 0); touched != 0; touched &= touched - 1) {
        const auto map = static_cast<uint32_t>(w * 64 + static_cast<unsigned>(std::countr_zero(touched)));
        const auto& row = c_.rows_[std::exchange(out_.best[map], kNoRow)];
        out_.verdicts[verdicts_++] = {c_.maps_[map].map, row.rule, row.pass};
      }
  }
}

/// Rows that match but for their remainder. The first of each map stays.
void ClassifierKernel::settle(unsigned i, uint32_t block, uint64_t bits) {
  for (; bits != 0; bits &= bits - 1) {
    const auto& bit = c_.bits_[block * 64 + static_cast<unsigned>(std::countr_zero(bits))];
    if (bit.row >= out_.best[bit.map] || (bit.has_remainder && !holds(*c_.remainders_[bit.row], {burst_, i, port_, &out_.seen}))) continue;
    settle_row(bit.map, bit.row);
  }
}

void ClassifierKernel::settle_row(uint32_t map, uint32_t row) {
  out_.best[map] = row;
  out_.touched[map / 64] |= uint64_t{1} << map % 64;
}

/// Rows of the trees.
void ClassifierKernel::settle_cut(unsigned i) {
  std::array<uint32_t, CutForest::kMostFound> rows;
  const unsigned found = forest_->all(burst_, port_, keys_.data(), leaves_, i, rows.data());
  for (unsigned r = 0; r < found; ++r) {
    const uint32_t map = c_.rows_[rows[r]].map;
    if (rows[r] < out_.best[map] && c_.maps_[map].ports[port_]) settle_row(map, rows[r]);
  }
}

}  // namespace sluice
