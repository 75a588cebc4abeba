#include "engine/classify/cut_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>
#include <unordered_set>

namespace sluice {
namespace {

/// An address range of no more addresses is narrow: /8, and of IPv6 /32.
constexpr Key kNarrow4 = Key{1} << 24, kNarrow6 = Key{1} << 96;
/// How often trees are made again without those rows that no cut told apart; they are in some leaves then, and among the dimensions' rows too.
constexpr unsigned kMostAttempts = 2;
/// Wide rows that trees take: no more than a block for every packet.
constexpr std::ptrdiff_t kFewWide = 4;
/// When of a family's rows one out of so many has come or gone, all trees are cut again: the cuts were chosen for others. Some may always.
constexpr std::size_t kChangedShare = 4, kAlwaysChanged = 32;
/// A tree that few rows would have costs every packet more than their copies in that of rows which leave nothing open. That one is mostly cut by
/// destination first, so what leaves the destination open has more copies. One row out of so many, by tree, is few.
constexpr std::array<std::size_t, CutForest::kTrees> kFewest{0, 16, 64};

/// Of IPv6 addresses: where the last 32 bits begin, and how far windows are apart.
constexpr unsigned kLastWindow = 96, kWindowStep = 16;

/// Whether all addresses of a range of IPv6 have the same first bits.
bool is_alike(const Interval& range, unsigned bits) { return bits == 0 || (range.from ^ range.to) >> (128 - bits) == 0; }

bool is_narrow(const CutRow& row, bool of_dst) {
  const Interval range = row.range(of_dst);
  return range.to - range.from < (row.v6 ? kNarrow6 : kNarrow4);
}

/// If it had rows enough: what leaves no address open, what leaves the source open, what leaves the destination open.
unsigned own_tree_of(const CutRow& row) {
  const bool src = is_narrow(row, false), dst = is_narrow(row, true);
  return src == dst ? 0 : dst ? 1 : 2;
}

bool is_wide(const CutRow& row) { return !is_narrow(row, true) && !is_narrow(row, false); }

bool same(const Criterion& a, const Criterion& b) { return a.where == b.where && (a.values == b.values || *a.values == *b.values); }

/// Whatever their place in the order is.
bool same(const CutRow& a, const CutRow& b) {
  return a.v6 == b.v6 && a.kind == b.kind && a.kind_mask == b.kind_mask && a.bounds == b.bounds && a.src6 == b.src6 && a.dst6 == b.dst6 &&
         std::equal(a.checks.begin(), a.checks.end(), b.checks.begin(), b.checks.end(),
                    [](const Criterion& x, const Criterion& y) { return same(x, y); });
}

/// Rows that are the same have the same.
uint64_t hash_of(const CutRow& row) {
  uint64_t hash = row.kind;
  const auto add = [&hash](uint64_t word) { hash = (hash ^ word) * 0x9E3779B97F4A7C15U + (hash >> 29); };
  for (const auto& bounds : row.bounds) add(uint64_t{bounds.from} << 32 | bounds.to);
  for (const Interval* range : {&row.src6, &row.dst6}) add(static_cast<uint64_t>(range->from)), add(static_cast<uint64_t>(range->from >> 64));
  for (const Criterion& check : row.checks) {
    add(static_cast<uint64_t>(check.where.field) << 16 | uint64_t{check.where.level} << 8 | (check.where.inner ? 1 : 0));
    constexpr std::size_t kFew = 8;  // of a long list these tell enough
    for (const auto* list : {&check.values->numbers, &check.values->ipv6}) {
      add(list->size());
      for (const Interval& one : std::span(*list).first(std::min(kFew, list->size())))
        add(static_cast<uint64_t>(one.from)), add(static_cast<uint64_t>(one.from >> 64)), add(static_cast<uint64_t>(one.to));
    }
  }
  return hash;
}

/// Of pairs, ascending by the first: as many as ascend by the second, too.
using Pairs = std::vector<std::pair<uint32_t, uint32_t>>;
Pairs ascending(const Pairs& pairs) {
  // Patience: ends[n] is the pair with the lowest second that n others can come before.
  std::vector<std::size_t> ends, previous(pairs.size());
  constexpr auto kNone = std::numeric_limits<std::size_t>::max();
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const auto at = std::lower_bound(ends.begin(), ends.end(), pairs[i].second, [&](std::size_t end, uint32_t second) { return pairs[end].second < second; });
    previous[i] = at == ends.begin() ? kNone : *(at - 1);
    if (at == ends.end()) ends.push_back(i);
    else *at = i;
  }
  Pairs out;
  for (std::size_t i = ends.empty() ? kNone : ends.back(); i != kNone; i = previous[i]) out.push_back(pairs[i]);
  std::reverse(out.begin(), out.end());
  return out;
}

}  // namespace

CutPlan::CutPlan(std::vector<CutRow> rows, Simd simd, const CutPlan* before) : rows_(std::move(rows)) {
  forest_.simd_ = simd;
  if (!before || !continue_from(*before)) make_anew();
  count_trees();
  gather_checks();
  forest_.slots_.shrink_to_fit();
  forest_.blocks_.shrink_to_fit();
}

std::vector<bool> CutPlan::taken(std::size_t rows) const {
  std::vector<bool> out(rows);
  for (std::size_t id = 0; id < rows_.size(); ++id) out[rows_[id].row] = places_[id] == Place::kTrees;
  return out;
}

void CutPlan::make_anew() {
  choose_windows();
  changed_ = {};
  places_.assign(rows_.size(), Place::kTrees);
  without_wide_ = std::count_if(rows_.begin(), rows_.end(), is_wide) > kFewWide;
  for (unsigned attempt = 1;; ++attempt) {
    Ids ids;
    for (uint32_t id = 0; id < rows_.size(); ++id) {
      if (without_wide_ && is_wide(rows_[id])) places_[id] = Place::kNone;
      if (places_[id] == Place::kTrees) ids.push_back(id);
    }
    const Ids evicted = plant(ids);
    const bool is_last = evicted.empty() || attempt == kMostAttempts;
    for (const uint32_t id : evicted) places_[id] = is_last ? Place::kSomeLeaves : Place::kNone;
    if (is_last) return;
  }
}

/// Makes the trees of these rows. Returns those that are not in every leaf where they belong.
CutPlan::Ids CutPlan::plant(const Ids& ids) {
  std::array<std::array<Ids, CutForest::kTrees>, 2> trees;
  joined_ = {};
  for (const uint32_t id : ids) trees[rows_[id].v6][tree_of(rows_[id])].push_back(id);
  forest_.slots_.clear();
  forest_.blocks_.clear();
  CutForest::Builder builder(forest_, rows_, ids.size());
  for (unsigned v6 = 0; v6 < 2; ++v6) {
    Ids& both = trees[v6][0];
    for (unsigned t = 1; t < CutForest::kTrees; ++t) {
      if (trees[v6][t].size() > both.size() / kFewest[t]) continue;
      joined_[v6][t] = true;
      both.insert(both.end(), trees[v6][t].begin(), trees[v6][t].end());
      trees[v6][t].clear();
    }
    std::sort(both.begin(), both.end());
    for (unsigned t = 0; t < CutForest::kTrees; ++t) forest_.roots_[v6][t] = builder.tree(trees[v6][t]);
  }
  return {builder.evicted().begin(), builder.evicted().end()};
}

/// False: too much has changed.
bool CutPlan::continue_from(const CutPlan& before) {
  if (before.rows_.empty() || before.forest_.simd_ != forest_.simd_) return false;
  forest_.windows_ = before.forest_.windows_;
  look_through_windows();
  const auto was = positions_in(before);
  without_wide_ = before.without_wide_;
  joined_ = before.joined_;
  changed_ = before.changed_;

  std::array<std::array<std::vector<CutForest::Builder::Change>, CutForest::kTrees>, 2> changes;
  CutForest::Builder::Before then{before.forest_, Ids(before.rows_.back().row + 1, kNoRow)};
  places_.assign(rows_.size(), Place::kTrees);
  std::vector<bool> stays(before.rows_.size());
  for (uint32_t id = 0; id < rows_.size(); ++id) {
    const CutRow& row = rows_[id];
    if (was[id] != kNoRow) {
      places_[id] = before.places_[was[id]];
      then.ids[before.rows_[was[id]].row] = id;
      stays[was[id]] = true;
    } else if (without_wide_ && is_wide(row)) {
      places_[id] = Place::kNone;
    } else {
      changes[row.v6][tree_of(row)].push_back({&row, id});
    }
  }
  for (std::size_t position = 0; position < before.rows_.size(); ++position) {
    const CutRow& row = before.rows_[position];
    if (!stays[position] && before.places_[position] != Place::kNone) changes[row.v6][tree_of(row)].push_back({&row, kNoRow});
  }
  for (unsigned v6 = 0; v6 < 2; ++v6)
    for (const auto& of_tree : changes[v6]) changed_[v6] += of_tree.size();
  if (!is_still_fitting()) return false;
  const auto planted = static_cast<std::size_t>(std::count_if(places_.begin(), places_.end(), [](Place place) { return place != Place::kNone; }));
  CutForest::Builder builder(forest_, rows_, planted);
  forest_.slots_.reserve(before.forest_.slots_.size());
  forest_.blocks_.reserve(before.forest_.blocks_.size());
  for (unsigned v6 = 0; v6 < 2; ++v6)
    for (unsigned t = 0; t < CutForest::kTrees; ++t) {
      const auto root = builder.tree(then, before.forest_.roots_[v6][t], changes[v6][t]);
      if (!root) return false;
      forest_.roots_[v6][t] = *root;
    }
  for (const uint32_t id : builder.evicted()) places_[id] = Place::kSomeLeaves;
  return true;
}

/// Whether what was decided for the rows before, how they are shared out and cut, is right for these as well.
bool CutPlan::is_still_fitting() const {
  std::array<std::array<std::size_t, CutForest::kTrees>, 2> rows{};  // by family and the tree that they would have
  std::ptrdiff_t wide = 0;
  for (std::size_t id = 0; id < rows_.size(); ++id) {
    if (places_[id] == Place::kNone) continue;
    ++rows[rows_[id].v6][own_tree_of(rows_[id])];
    wide += is_wide(rows_[id]);
  }
  if (wide > kFewWide) return false;
  for (unsigned v6 = 0; v6 < 2; ++v6) {
    if (changed_[v6] > std::accumulate(rows[v6].begin(), rows[v6].end(), std::size_t{0}) / kChangedShare + kAlwaysChanged) return false;
    std::size_t both = rows[v6][0];  // as plant() has it, tree after tree
    for (unsigned t = 1; t < CutForest::kTrees; ++t) {
      if (!joined_[v6][t]) continue;
      if (rows[v6][t] > both / kFewest[t] + kAlwaysChanged) return false;
      both += rows[v6][t];
    }
  }
  return true;
}

/// Of each row, where the same row is in the plan before, in the same order; kNoRow: nowhere.
std::vector<uint32_t> CutPlan::positions_in(const CutPlan& before) const {
  const auto& then = before.rows_;
  std::vector<uint32_t> out(rows_.size(), kNoRow);
  const std::size_t least = std::min(rows_.size(), then.size());
  std::size_t head = 0, tail = 0;
  while (head < least && same(rows_[head], then[head])) ++head;
  while (tail < least - head && same(rows_[rows_.size() - 1 - tail], then[then.size() - 1 - tail])) ++tail;
  std::iota(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(head), 0U);
  std::iota(out.end() - static_cast<std::ptrdiff_t>(tail), out.end(), static_cast<uint32_t>(then.size() - tail));
  // What lies between, by hashes: the first of those that are the same there is the first here, and so on.
  Pairs pairs;
  std::vector<std::pair<uint64_t, uint32_t>> places;
  for (std::size_t at = head; at < then.size() - tail; ++at) places.emplace_back(hash_of(then[at]), static_cast<uint32_t>(at));
  std::sort(places.begin(), places.end());
  std::vector<std::size_t> taken(places.size());  // of those that have a hash, by the first of them
  for (std::size_t id = head; id < rows_.size() - tail; ++id) {
    const uint64_t hash = hash_of(rows_[id]);
    const auto first = static_cast<std::size_t>(std::lower_bound(places.begin(), places.end(), std::pair{hash, 0U}) - places.begin());
    if (first == places.size()) continue;
    const std::size_t at = first + taken[first];
    if (at == places.size() || places[at].first != hash || !same(rows_[id], then[places[at].second])) continue;
    ++taken[first];
    pairs.emplace_back(static_cast<uint32_t>(id), places[at].second);
  }
  for (const auto& [id, position] : ascending(pairs)) out[id] = position;
  return out;
}

unsigned CutPlan::tree_of(const CutRow& row) const {
  const unsigned tree = own_tree_of(row);
  return joined_[row.v6][tree] ? 0 : tree;
}

/// Which 32 bits of IPv6 addresses the trees look at: those that tell most rows apart and that few leave open.
void CutPlan::choose_windows() {
  for (const bool of_dst : {false, true}) {
    int64_t most = 0;
    for (unsigned window = 0; window <= kLastWindow; window += kWindowStep) {
      std::unordered_set<uint32_t> values;
      int64_t open = 0;
      for (const CutRow& row : rows_) {
        if (!row.v6) continue;
        const Interval range = row.range(of_dst);
        if (is_alike(range, window + kWindowStep)) values.insert(static_cast<uint32_t>(range.from >> (kLastWindow - window)));
        else ++open;
      }
      const int64_t apart = static_cast<int64_t>(values.size()) - open;
      if (window == 0 || apart > most) most = apart, forest_.windows_[of_dst] = window;
    }
  }
  look_through_windows();
}

/// Sets the bounds of IPv6 addresses.
void CutPlan::look_through_windows() {
  for (CutRow& row : rows_)
    for (const bool of_dst : {false, true}) {
      if (!row.v6) continue;
      const Interval range = row.range(of_dst);
      const unsigned window = forest_.windows_[of_dst], behind = kLastWindow - window;
      auto& bounds = row.bounds[of_dst ? CutKey::kDst : CutKey::kSrc];
      if (is_alike(range, window)) bounds = {static_cast<uint32_t>(range.from >> behind), static_cast<uint32_t>(range.to >> behind)};
      else bounds = {};  // wider than the bits say: any of them
    }
}

void CutPlan::count_trees() {
  forest_.roots_[2].fill(CutForest::Slot::leaf(0, 0));
  forest_.trees_ = 0;
  for (const auto& roots : forest_.roots_)
    for (unsigned t = 0; t < CutForest::kTrees; ++t)
      if (roots[t] != CutForest::Slot::leaf(0, 0)) forest_.trees_ = std::max(forest_.trees_, t + 1);
}

/// What is looked at of rows beyond their numbers.
void CutPlan::gather_checks() {
  forest_.checks_.resize(rows_.empty() ? 0 : rows_.back().row + 1);
  for (std::size_t id = 0; id < rows_.size(); ++id) {
    const CutRow& row = rows_[id];
    if (places_[id] == Place::kNone) continue;
    forest_.checks_[row.row] = {row.v6 ? static_cast<uint32_t>(forest_.networks_.size()) : kNoRow, static_cast<uint32_t>(forest_.criteria_.size()),
                                static_cast<uint32_t>(row.checks.size())};
    if (row.v6) forest_.networks_.push_back({row.src6, row.dst6});
    forest_.criteria_.insert(forest_.criteria_.end(), row.checks.begin(), row.checks.end());
  }
}

}  // namespace sluice
