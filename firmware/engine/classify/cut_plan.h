// A forest and what it was made of. The one of the next revision is mostly the same: whoever changes one of 16,384 rules does not wait until
// all trees have been cut again.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/classify/cut_builder.h"
#include "engine/classify/cut_forest.h"

namespace sluice {

class CutPlan {
 public:
  /// rows: that name one network or range of addresses each, IPv4 or IPv6; ascending. before: a plan for some of them, or null. Control thread.
  CutPlan(std::vector<CutRow> rows, Simd simd, const CutPlan* before);

  [[nodiscard]] const CutForest& forest() const { return forest_; }
  /// By row, as many as there are: whether the trees find it wherever a packet matches it. The others fit into no tree, or not into each leaf
  /// where they belong: they are for the dimensions.
  [[nodiscard]] std::vector<bool> taken(std::size_t rows) const;
  /// Whether rows have come or gone since all trees were cut.
  [[nodiscard]] bool is_continued() const { return changed_[0] + changed_[1] > 0; }

 private:
  enum class Place : uint8_t { kTrees, kSomeLeaves, kNone };
  using Ids = std::vector<uint32_t>;  ///< positions in rows_

  void make_anew();
  [[nodiscard]] bool continue_from(const CutPlan& before);
  [[nodiscard]] bool is_still_fitting() const;
  [[nodiscard]] std::vector<uint32_t> positions_in(const CutPlan& before) const;
  void choose_windows();
  void look_through_windows();
  [[nodiscard]] Ids plant(const Ids& ids);
  [[nodiscard]] unsigned tree_of(const CutRow& row) const;
  void count_trees();
  void gather_checks();

  std::vector<CutRow> rows_;
  std::vector<Place> places_;  ///< of each
  CutForest forest_;
  bool without_wide_ = false;  ///< rows whose source and destination are wide are in no tree
  std::array<std::array<bool, CutForest::kTrees>, 2> joined_{};  ///< by family: the rows of this tree are in the first
  std::array<std::size_t, 2> changed_{};  ///< rows that came or went since all trees were cut, by family
};

}  // namespace sluice
