// Makes the trees of a CutForest: at each node the cut that leaves the fewest blocks to compare, within bounds of memory; or those of a
// forest before, where few rows differ.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/classify/cut_forest.h"

namespace sluice {

/// Some bits of a number.
struct Cut {
  unsigned number = 0, shift = 0, width = 0;
  [[nodiscard]] uint32_t children() const { return 1U << width; }
  /// How many each() calls.
  [[nodiscard]] uint32_t reached(const CutRow::Bounds& bounds) const { return 1 + std::min((bounds.to >> shift) - (bounds.from >> shift), children() - 1); }
  /// For each child that has a packet within the bounds.
  void each(const CutRow::Bounds& bounds, auto&& f) const {
    const uint32_t from = bounds.from >> shift, to = bounds.to >> shift, last = children() - 1;
    if (to - from >= last) {
      for (uint32_t child = 0; child <= last; ++child) f(child);
      return;
    }
    for (uint32_t n = 0; n <= to - from; ++n) f((from + n) & last);  // `to` may be the highest number
  }
};

/// Rows are known by their positions in `rows`, here: ids.
class CutForest::Builder {
 public:
  /// planted: how many of the rows the trees will have.
  Builder(CutForest& out, const std::vector<CutRow>& rows, std::size_t planted);

  /// The root of a tree of these rows. ids: ascending.
  uint32_t tree(std::span<const uint32_t> ids);

  /// A row that a tree has, and had not before; or the other way round.
  struct Change {
    const CutRow* row;  ///< of the rows of now, or of before
    uint32_t id;        ///< kNoRow: it is gone
  };
  struct Before {
    const CutForest& forest;
    std::vector<uint32_t> ids;  ///< by row of then; kNoRow: it is gone
  };
  /// The root of what the tree of before becomes. Its leaves that no change reaches are copied; the others are made anew, where they stand.
  /// Nothing: the changes reach so many children that it costs less to make all trees anew.
  std::optional<uint32_t> tree(const Before& before, uint32_t root, std::span<const Change> changes);

  /// Rows that no cut tells apart from too many others.
  [[nodiscard]] const std::set<uint32_t>& evicted() const { return evicted_; }

 private:
  uint32_t slot(std::span<const uint32_t> ids, unsigned depth);
  uint32_t slot(const Before& before, uint32_t slot_before, std::span<const Change> changes, unsigned depth);
  uint32_t room_for(const Cut& cut);
  uint32_t leaf_of(std::span<const uint32_t> ids);
  uint32_t make_leaf(std::vector<uint32_t> ids);
  uint32_t copy_leaf(const Before& before, uint32_t leaf);
  uint32_t renew_leaf(const Before& before, uint32_t leaf, std::span<const Change> changes, unsigned depth);
  [[nodiscard]] bool reach_too_many() const;
  [[nodiscard]] bool has_room() const;
  [[nodiscard]] double copies(std::span<const uint32_t> ids, const Cut& cut) const;
  std::optional<double> worth(const Cut& cut, std::size_t all, double evicted, double least);
  std::optional<Cut> best_cut(std::span<const uint32_t> ids);
  std::optional<Cut> best_cut(std::size_t all, unsigned wanted, double evicted);
  [[nodiscard]] std::size_t too_many(std::span<const uint32_t> ids) const;
  void evict(std::vector<uint32_t>& ids);

  CutForest& out_;
  const std::vector<CutRow>& rows_;
  const std::size_t planted_;
  std::vector<bool> is_checked_;  ///< of each row; all of them in a cache, as the rows are not
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::span<const uint32_t> ids) const {
      uint64_t hash = ids.size();
      for (const uint32_t id : ids) hash = (hash ^ id) * 0x9E3779B97F4A7C15U + (hash >> 29);
      return hash;
    }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(std::span<const uint32_t> a, std::span<const uint32_t> b) const { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }
  };
  std::unordered_map<std::vector<uint32_t>, uint32_t, Hash, Equal> leaves_;  ///< of this tree, by their rows
  // Of trees that are made from those before.
  std::vector<uint32_t> moved_;  ///< where a leaf is that was copied, by its first block of before
  std::size_t reached_ = 0;      ///< children, by changes, so far
  std::size_t blocks_left_ = 0, slots_left_ = 0;  ///< of before, that have not come here yet
  std::array<std::vector<CutRow::Bounds>, CutKey::kCut> sample_;  ///< of the node's rows, by what may be cut: many cuts are tried on them
  std::vector<int32_t> counts_;
  std::set<uint32_t> evicted_;
};

}  // namespace sluice
