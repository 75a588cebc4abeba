#include "engine/classify/cut_builder.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace sluice {
namespace {

constexpr unsigned kRowsOfBlock = 4;
/// A leaf of no more rows is not cut.
constexpr std::size_t kFewRows = kRowsOfBlock;
constexpr unsigned kMostDepth = 6;
/// Of a leaf's rows, so many may have criteria that trees do not know.
constexpr std::size_t kMostChecked = 4;
constexpr unsigned kWidest = 14;  // bits of a cut
/// Rows that are looked at to choose a cut.
constexpr std::size_t kSample = 2048;
/// Blocks and slots beyond some a row, that a forest may have.
constexpr std::size_t kSpare = 4096;
/// Children may have so many times the rows of their node.
constexpr double kMostCopies = 3;

/// Slots beyond kSpare that a forest may have for each of its rows.
constexpr std::size_t kSlotsOfRow = 24;

unsigned blocks_for(std::size_t rows) { return static_cast<unsigned>((rows + kRowsOfBlock - 1) / kRowsOfBlock); }

}  // namespace

CutForest::Builder::Builder(CutForest& out, const std::vector<CutRow>& rows, std::size_t planted) : out_(out), rows_(rows), planted_(planted) {
  is_checked_.reserve(rows.size());
  for (const CutRow& row : rows) is_checked_.push_back(!row.checks.empty());
}

uint32_t CutForest::Builder::tree(std::span<const uint32_t> ids) {
  const uint32_t root = slot(ids, 0);
  leaves_.clear();  // trees share no leaves: each ends at its first row
  return root;
}

std::optional<uint32_t> CutForest::Builder::tree(const Before& before, uint32_t root, std::span<const Change> changes) {
  if (moved_.empty()) {  // the first of all trees
    moved_.resize(before.forest.blocks_.size(), kNoRow);
    blocks_left_ = before.forest.blocks_.size(), slots_left_ = before.forest.slots_.size();
  }
  const uint32_t made = slot(before, root, changes, 0);
  leaves_.clear();
  return reach_too_many() ? std::nullopt : std::optional(made);
}

bool CutForest::Builder::has_room() const {
  return out_.blocks_.size() + blocks_left_ < 4 * planted_ + kSpare && out_.slots_.size() + slots_left_ < kSlotsOfRow * planted_ + kSpare;
}

/// As many as slots may be made: a rule that leaves nearly everything open reaches all of them.
bool CutForest::Builder::reach_too_many() const { return reached_ > 16 * planted_ + kSpare; }

/// Where the children of a node begin.
uint32_t CutForest::Builder::room_for(const Cut& cut) {
  // Slots have bits for all that may be: has_room() bounds them before the last cut, and a leaf is a slot's.
  constexpr std::size_t kMost = kSlotsOfRow * kMostRows + kSpare + (std::size_t{1} << kWidest), kMostInBlocks = kMostInLeaf / kRowsOfBlock;
  static_assert(kMost <= Slot::kMostSlots && kMost * kMostInBlocks <= Slot::kMostBlocks && kMostInBlocks < 32 && kWidest < 16);
  const auto base = static_cast<uint32_t>(out_.slots_.size());
  out_.slots_.resize(base + Slot::taken(cut.children()));
  return base;
}

uint32_t CutForest::Builder::slot(std::span<const uint32_t> ids, unsigned depth) {
  if (ids.empty()) return Slot::leaf(0, 0);
  if (const auto known = leaves_.find(ids); known != leaves_.end()) return known->second;
  std::optional<Cut> cut;
  if (ids.size() > kFewRows && depth < kMostDepth && has_room()) cut = best_cut(ids);
  if (!cut) return leaf_of(ids);
  // The children's rows, one child after the other.
  std::vector<std::size_t> ends(cut->children());
  const auto each = [&](auto&& f) {
    for (const uint32_t id : ids) cut->each(rows_[id].bounds[cut->number], [&](uint32_t child) { f(id, child); });
  };
  each([&](uint32_t, uint32_t child) { ++ends[child]; });
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  std::vector<uint32_t> of_children(ends.back());
  for (uint32_t child = cut->children(); child-- > 1;) ends[child] = ends[child - 1];  // where each begins
  ends[0] = 0;
  each([&](uint32_t id, uint32_t child) { of_children[ends[child]++] = id; });
  const uint32_t base = room_for(*cut);
  for (uint32_t child = 0; child < cut->children(); ++child) {
    const std::size_t begin = child == 0 ? 0 : ends[child - 1];
    const uint32_t made = slot(std::span(of_children).subspan(begin, ends[child] - begin), depth + 1);
    out_.slots_[base + child] = made;
  }
  return Slot::node(base, cut->number, cut->shift, cut->width);
}

uint32_t CutForest::Builder::slot(const Before& before, uint32_t slot_before, std::span<const Change> changes, unsigned depth) {
  if (Slot::is_leaf(slot_before)) return changes.empty() ? copy_leaf(before, slot_before) : renew_leaf(before, slot_before, changes, depth);
  const Cut cut{Slot::number(slot_before), Slot::shift(slot_before), Slot::width(slot_before)};
  for (const Change& change : changes) reached_ += cut.reached(change.row->bounds[cut.number]);
  if (reach_too_many()) return Slot::leaf(0, 0);  // all of this is thrown away
  std::vector<std::pair<uint32_t, Change>> reached;  // the child, what reaches it
  for (const Change& change : changes) cut.each(change.row->bounds[cut.number], [&](uint32_t child) { reached.emplace_back(child, change); });
  std::stable_sort(reached.begin(), reached.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const uint32_t base = room_for(cut);
  slots_left_ -= Slot::taken(cut.children());
  std::vector<Change> mine;
  auto next = reached.begin();
  for (uint32_t child = 0; child < cut.children(); ++child) {
    mine.clear();
    for (; next != reached.end() && next->first == child; ++next) mine.push_back(next->second);
    const uint32_t made = slot(before, before.forest.slots_[Slot::base(slot_before) + child], mine, depth + 1);
    out_.slots_[base + child] = made;
  }
  return Slot::node(base, cut.number, cut.shift, cut.width);
}

uint32_t CutForest::Builder::renew_leaf(const Before& before, uint32_t leaf, std::span<const Change> changes, unsigned depth) {
  std::vector<uint32_t> ids;
  for (uint32_t b = 0; b < Slot::blocks(leaf); ++b)
    for (const uint32_t row : before.forest.blocks_[Slot::begin(leaf) + b].rows)
      if (row != kNoRow && before.ids[row & ~kChecked] != kNoRow) ids.push_back(before.ids[row & ~kChecked]);
  for (const Change& change : changes)
    if (change.id != kNoRow) ids.push_back(change.id);
  std::sort(ids.begin(), ids.end());
  blocks_left_ -= std::min<std::size_t>(blocks_left_, Slot::blocks(leaf));  // one that is shared comes several times
  // Cut before and found not worth it, but where a packet would now compare a block more, or a row would have no place.
  return blocks_for(ids.size()) > Slot::blocks(leaf) || too_many(ids) > 0 ? slot(ids, depth) : leaf_of(ids);
}

/// Many children have the same rows: they share a leaf.
uint32_t CutForest::Builder::leaf_of(std::span<const uint32_t> ids) {
  if (ids.empty()) return Slot::leaf(0, 0);
  if (const auto known = leaves_.find(ids); known != leaves_.end()) return known->second;
  const uint32_t made = make_leaf({ids.begin(), ids.end()});
  leaves_.emplace(std::vector<uint32_t>(ids.begin(), ids.end()), made);
  return made;
}

/// Requires that none of its rows is gone.
uint32_t CutForest::Builder::copy_leaf(const Before& before, uint32_t leaf) {
  const uint32_t blocks = Slot::blocks(leaf);
  if (blocks == 0) return leaf;
  uint32_t& begin = moved_[Slot::begin(leaf)];
  if (begin == kNoRow) {
    begin = static_cast<uint32_t>(out_.blocks_.size());
    blocks_left_ -= std::min<std::size_t>(blocks_left_, blocks);
    const auto first = before.forest.blocks_.begin() + Slot::begin(leaf);
    out_.blocks_.insert(out_.blocks_.end(), first, first + blocks);
    for (uint32_t b = begin; b < begin + blocks; ++b)
      for (uint32_t& row : out_.blocks_[b].rows)
        if (row != kNoRow) row = rows_[before.ids[row & ~kChecked]].row | (row & kChecked);
  }
  return Slot::leaf(begin, blocks);
}

/// Rows that all children have together.
double CutForest::Builder::copies(std::span<const uint32_t> ids, const Cut& cut) const {
  double sum = 0;
  for (const uint32_t id : ids) sum += cut.reached(rows_[id].bounds[cut.number]);
  return sum;
}

/// What a packet of the rows would cost after a cut, in blocks that it compares; nothing: not less than `least`, or the cut copies too many rows.
/// evicted: what the rows would cost for which a leaf of all has no place.
std::optional<double> CutForest::Builder::worth(const Cut& cut, std::size_t all, double evicted, double least) {
  const auto& sample = sample_[cut.number];
  const double n = static_cast<double>(all);
  if (cut.children() > 2 * n) return std::nullopt;
  counts_.assign(cut.children() + 1, 0);
  // Where ranges begin and end; their sum is how many there are.
  const double most_wide = kMostCopies * static_cast<double>(sample.size()) / cut.children();
  uint32_t wide = 0;  // in every child
  for (const CutRow::Bounds& bounds : sample) {
    const uint32_t from = bounds.from >> cut.shift, to = bounds.to >> cut.shift, last = cut.children() - 1;
    if (to - from >= last) {
      if (++wide > most_wide) return std::nullopt;
    } else {
      const uint32_t a = from & last, b = to & last;
      ++counts_[a];
      --counts_[b + 1];
      if (a > b) ++counts_[0];
    }
  }
  const double scale = static_cast<double>(all) / static_cast<double>(sample.size());
  // Memory that is spread wider is found colder.
  constexpr double kPerCopy = 0.6;
  const double most_blocks = (least - 1) / kPerCopy * (n / kRowsOfBlock);  // a packet compares one block or more
  double copies = 0, compared = 0, blocks = 0, fullest = 0;
  int64_t rows = wide;
  for (uint32_t child = 0; child < cut.children(); ++child) {
    rows += counts_[child];
    if (rows == 0) continue;  // most, of a wide cut
    const double here = static_cast<double>(rows) * scale;
    copies += here;
    fullest = std::max(fullest, here);
    // A packet's child is one that has rows, the more the more it has.
    compared += here * std::max(1.0, here / kRowsOfBlock);
    blocks += std::max(1.0, here / kRowsOfBlock);
    if (copies > kMostCopies * n || blocks > most_blocks) return std::nullopt;
  }
  const double value = compared / copies + kPerCopy * blocks / (n / kRowsOfBlock) + evicted * fullest / n;
  return value < least ? std::optional(value) : std::nullopt;
}

std::optional<Cut> CutForest::Builder::best_cut(std::span<const uint32_t> ids) {
  for (auto& of : sample_) of.clear();
  const std::size_t step = std::max<std::size_t>(1, ids.size() / kSample);
  // Scattered: rules often alternate in kind.
  for (std::size_t i = 0; i < ids.size(); i += step) {
    const CutRow& row = rows_[ids[std::min(i + i * 0x9E3779B97F4A7C15U % step, ids.size() - 1)]];
    for (unsigned number = 0; number < CutKey::kCut; ++number) sample_[number].push_back(row.bounds[number]);
  }
  /// Of a row that has no place in a leaf: the dimensions must look for it for every packet.
  constexpr double kPerEvicted = 4;
  const auto wanted = static_cast<unsigned>(std::bit_width(ids.size() / 2));  // two rows a child
  // Where many rows are wide, wide cuts copy too many of them.
  for (unsigned width = wanted; width > 0; width -= std::min(width, 4U)) {
    const auto best = best_cut(ids.size(), width, kPerEvicted * static_cast<double>(too_many(ids)));
    // The sample may have missed the wide ones.
    if (best && copies(ids, *best) <= (kMostCopies + 1) * static_cast<double>(ids.size())) return best;
  }
  return std::nullopt;
}

/// Of the cuts of this width and some smaller ones; nothing: none is better than no cut.
std::optional<Cut> CutForest::Builder::best_cut(std::size_t all, unsigned wanted, double evicted) {
  static constexpr std::array<unsigned, CutKey::kCut> kBits{32, 32, 16, 16, 8};
  std::optional<Cut> best;
  // What is compared without a cut, and what a step of the walk costs in these terms.
  constexpr double kStep = 1;
  double least = static_cast<double>(blocks_for(all)) + 0.25 - kStep + evicted;
  for (unsigned number = 0; number < CutKey::kCut; ++number) {
    const auto& sample = sample_[number];
    const CutRow::Bounds& first = sample.front();
    if (std::all_of(sample.begin(), sample.end(), [&](const CutRow::Bounds& one) { return one == first; })) continue;
    uint32_t apart = 0;  // bits that are not the same in all that lies within
    for (const CutRow::Bounds& one : sample) apart |= (one.from ^ first.from) | (one.to ^ first.from);
    for (unsigned less = 0; less < std::min(4U, wanted); ++less) {
      const unsigned width = std::min({wanted - less, kWidest, kBits[number]});
      for (unsigned shift = 0; shift + width <= kBits[number]; shift += number < CutKey::kSrcPort ? 2 : 1) {
        const Cut cut{number, shift, width};
        if ((apart >> shift & (cut.children() - 1)) == 0) continue;
        if (const auto value = worth(cut, all, evicted, least)) least = *value, best = cut;
      }
    }
  }
  return best;
}

uint32_t CutForest::Builder::make_leaf(std::vector<uint32_t> ids) {
  evict(ids);
  const auto first = static_cast<uint32_t>(out_.blocks_.size());
  for (std::size_t at = 0; at < ids.size(); at += kRowsOfBlock) {
    Block& block = out_.blocks_.emplace_back();
    for (unsigned r = 0; r < kRowsOfBlock; ++r) {
      block.src_from[r] = 1, block.src_to[r] = 0;  // nothing lies within
      block.rows[r] = kNoRow;
      if (at + r >= ids.size()) continue;
      const CutRow& row = rows_[ids[at + r]];
      block.src_from[r] = row.bounds[CutKey::kSrc].from, block.src_to[r] = row.bounds[CutKey::kSrc].to;
      block.dst_from[r] = row.bounds[CutKey::kDst].from, block.dst_to[r] = row.bounds[CutKey::kDst].to;
      block.src_port_from[r] = static_cast<uint16_t>(row.bounds[CutKey::kSrcPort].from);
      block.src_port_to[r] = static_cast<uint16_t>(row.bounds[CutKey::kSrcPort].to);
      block.dst_port_from[r] = static_cast<uint16_t>(row.bounds[CutKey::kDstPort].from);
      block.dst_port_to[r] = static_cast<uint16_t>(row.bounds[CutKey::kDstPort].to);
      block.kind[r] = row.kind, block.kind_mask[r] = row.kind_mask;
      block.rows[r] = row.row | (row.checks.empty() && !row.v6 ? 0 : kChecked);
    }
  }
  return Slot::leaf(first, blocks_for(ids.size()));
}

/// Rows beyond those that a leaf may have.
std::size_t CutForest::Builder::too_many(std::span<const uint32_t> ids) const {
  const auto beyond = [](std::size_t n, std::size_t most) { return n > most ? n - most : 0; };
  const auto checked = static_cast<std::size_t>(std::count_if(ids.begin(), ids.end(), [this](uint32_t id) { return is_checked_[id]; }));
  return std::max(beyond(ids.size(), kMostInLeaf), beyond(checked, kMostChecked));
}

/// Leaves no more rows than a leaf may have. The widest go: they are in most leaves. What has checks is cheaper elsewhere, where the
/// dimensions do them.
void CutForest::Builder::evict(std::vector<uint32_t>& ids) {
  const auto openness = [this](uint32_t id) {
    unsigned bits = 0;
    for (const auto& bounds : rows_[id].bounds) bits += static_cast<unsigned>(std::bit_width(bounds.to - bounds.from));
    return bits;
  };
  if (too_many(ids) == 0) return;
  std::stable_sort(ids.begin(), ids.end(), [&](uint32_t a, uint32_t b) { return openness(a) < openness(b); });
  std::vector<uint32_t> kept;
  std::size_t kept_checked = 0;
  for (const uint32_t id : ids) {
    const bool stays = kept.size() < kMostInLeaf && (!is_checked_[id] || kept_checked++ < kMostChecked);
    if (stays) kept.push_back(id);
    else evicted_.insert(id);
  }
  std::sort(kept.begin(), kept.end());
  ids = std::move(kept);
}

}  // namespace sluice
