// The classifier's inner loops: classes of values in, rows out. Compiled three times, for each kind of processor.
#pragma once

#include "engine/classify/classifier.h"

namespace sluice {

class ClassifierKernel {
 public:
  ClassifierKernel(const Classifier& classifier, const Burst& burst, PortSlot port, const Classifier::Classes& classes, VerdictBuffer& out)
      : c_(classifier), forest_(classifier.forest()), burst_(burst), port_(port), classes_(classes), out_(out) {}

  void run(Simd simd);

 private:
  /// Packets that are worked on together: what is read of more does not fit into the first cache.
  static constexpr unsigned kGroup = 16;

  // One body for each size of summary; inlined, so that it is compiled for the caller's processor.
  [[gnu::always_inline]] inline void choose();
  template <uint32_t kWords>
  [[gnu::always_inline]] inline void match();
  [[gnu::always_inline]] inline void match_all();
  template <uint32_t kWords>
  [[gnu::always_inline]] inline void match_one_map(unsigned begin, unsigned end);
  template <uint32_t kWords>
  [[gnu::always_inline]] inline void match_maps(unsigned begin, unsigned end);
  template <uint32_t kWords>
  [[gnu::always_inline]] inline void narrow_down(unsigned i, std::array<uint64_t, kWords>& candidates) const;
  template <uint32_t kWords>
  [[gnu::always_inline]] inline uint64_t matching(unsigned i, uint32_t block) const;
  [[gnu::always_inline]] inline void settle(unsigned i, uint32_t block, uint64_t bits);
  [[gnu::always_inline]] inline void settle_row(uint32_t map, uint32_t row);
  void settle_cut(unsigned i);

  /// What is read of a dimension, at hand.
  struct Sparse {
    const uint64_t* leaves;
    const uint64_t* bases;
    uint32_t leaf_words;
    const uint32_t* classes;
  };
  struct Dense {
    const uint64_t* summaries;
    const uint64_t* bitmaps;
    const uint32_t* classes;
  };

  [[gnu::always_inline]] inline void fetch(unsigned begin) const;

  void run_scalar();
  void run_avx2();
  void run_avx512();

  const Classifier& c_;
  const CutForest* const forest_;  ///< null: no row is in a tree
  const Burst& burst_;
  const PortSlot port_;
  const Classifier::Classes& classes_;
  VerdictBuffer& out_;
  std::array<Sparse, Classifier::kMostDimensions> sparse_;
  std::array<Dense, Classifier::kMostDimensions> dense_;
  uint32_t sparse_size_ = 0, dense_size_ = 0;
  std::array<CutKey, kBurst> keys_;  // for the trees
  CutForest::Leaves leaves_;
  uint32_t verdicts_ = 0;  ///< so far
};

}  // namespace sluice
