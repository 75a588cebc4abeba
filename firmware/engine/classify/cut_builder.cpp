// How the trees are made: at each node the cut that leaves the fewest blocks to compare, within bounds of memory.
#include <algorithm>
#include <bit>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "engine/classify/cut_forest.h"

namespace sluice {
namespace {

constexpr unsigned kRowsOfBlock = 4;
/// A leaf of no more rows is not cut.
constexpr std::size_t kFewRows = kRowsOfBlock;
constexpr unsigned kMostDepth = 6;
/// Of a leaf's rows, so many may have criteria that trees do not know.
constexpr std::size_t kMostChecked = 4;
constexpr unsigned kWidest = 14;  // bits of a cut
/// An address range of no more addresses is narrow: /8, and of IPv6 /32.
constexpr Key kNarrow4 = Key{1} << 24, kNarrow6 = Key{1} << 96;
/// Rows that are looked at to choose a cut.
constexpr std::size_t kSample = 2048;
/// Blocks and slots beyond some a row, that a forest may have.
constexpr std::size_t kSpare = 4096;
/// How often it is made again without those that no cut told apart; they are in some leaves then, and among the dimensions' rows too.
constexpr unsigned kMostAttempts = 2;
/// Children may have so many times the rows of their node.
constexpr double kMostCopies = 3;

unsigned blocks_for(std::size_t rows) { return static_cast<unsigned>((rows + kRowsOfBlock - 1) / kRowsOfBlock); }

struct Cut {
  unsigned number = 0, shift = 0, width = 0;
  [[nodiscard]] uint32_t children() const { return 1U << width; }
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

}  // namespace

class CutForest::Builder {
 public:
  Builder(CutForest& out, const std::vector<CutRow>& rows) : out_(out), rows_(rows) {
    for (const CutRow& row : rows) is_checked_.push_back(!row.checks.empty());
  }

  /// The root of a tree of these rows.
  uint64_t tree(const std::vector<uint32_t>& ids) {
    const uint64_t root = slot(ids, 0);
    leaves_.clear();  // trees share no leaves: each ends at its first row
    return root;
  }
  /// Rows that no cut tells apart from too many others.
  [[nodiscard]] const std::set<uint32_t>& evicted() const { return evicted_; }

 private:
  uint64_t slot(std::span<const uint32_t> ids, unsigned depth) {
    if (ids.empty()) return Slot::leaf(0, 0);
    if (const auto known = leaves_.find(ids); known != leaves_.end()) return known->second;
    std::optional<Cut> cut;
    const bool room = out_.blocks_.size() < 4 * rows_.size() + kSpare && out_.slots_.size() < 16 * rows_.size() + kSpare;
    if (ids.size() > kFewRows && depth < kMostDepth && room) cut = best_cut(ids);
    if (!cut) {
      std::vector<uint32_t> of_leaf(ids.begin(), ids.end());
      const uint64_t made = leaf(of_leaf);
      return leaves_.emplace(std::move(of_leaf), made).first->second;
    }
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
    const auto base = static_cast<uint32_t>(out_.slots_.size());
    out_.slots_.resize(base + cut->children());
    for (uint32_t child = 0; child < cut->children(); ++child) {
      const std::size_t begin = child == 0 ? 0 : ends[child - 1];
      const uint64_t made = slot(std::span(of_children).subspan(begin, ends[child] - begin), depth + 1);
      out_.slots_[base + child] = made;
    }
    return Slot::node(base, cut->number, cut->shift, cut->width);
  }

  /// Rows that all children have together.
  double copies(std::span<const uint32_t> ids, const Cut& cut) const {
    double sum = 0;
    for (const uint32_t id : ids) {
      const auto& bounds = rows_[id].bounds[cut.number];
      sum += 1 + std::min((bounds.to >> cut.shift) - (bounds.from >> cut.shift), cut.children() - 1);
    }
    return sum;
  }

  /// Blocks that a packet of the rows would compare after a cut, as a share of now; nothing: the cut copies too many rows.
  std::optional<double> worth(const Cut& cut, std::size_t all) {
    const auto& sample = sample_[cut.number];
    const double n = static_cast<double>(all);
    if (cut.children() > 2 * n) return std::nullopt;
    counts_.assign(cut.children() + 1, 0);
    // Where ranges begin and end; their sum is how many there are.
    for (const CutRow::Bounds& bounds : sample) {
      const uint32_t from = bounds.from >> cut.shift, to = bounds.to >> cut.shift, last = cut.children() - 1;
      if (to - from >= last) {
        ++counts_[0];
      } else {
        const uint32_t a = from & last, b = to & last;
        ++counts_[a];
        --counts_[b + 1];
        if (a > b) ++counts_[0];
      }
    }
    const double scale = static_cast<double>(all) / static_cast<double>(sample.size());
    double copies = 0, compared = 0, blocks = 0;
    int64_t rows = 0;
    for (uint32_t child = 0; child < cut.children(); ++child) {
      rows += counts_[child];
      if (rows == 0) continue;  // most, of a wide cut
      const double here = static_cast<double>(rows) * scale;
      copies += here;
      // A packet's child is one that has rows, the more the more it has.
      compared += here * std::max(1.0, here / kRowsOfBlock);
      blocks += std::max(1.0, here / kRowsOfBlock);
      if (copies > kMostCopies * n) return std::nullopt;
    }
    // Memory that is spread wider is found colder.
    constexpr double kPerCopy = 0.25;
    return compared / copies + kPerCopy * blocks / (n / kRowsOfBlock);
  }

  std::optional<Cut> best_cut(std::span<const uint32_t> ids) {
    for (auto& of : sample_) of.clear();
    const std::size_t step = std::max<std::size_t>(1, ids.size() / kSample);
    // Scattered: rules often alternate in kind.
    for (std::size_t i = 0; i < ids.size(); i += step) {
      const CutRow& row = rows_[ids[std::min(i + i * 0x9E3779B97F4A7C15U % step, ids.size() - 1)]];
      for (unsigned number = 0; number < CutKey::kCut; ++number) sample_[number].push_back(row.bounds[number]);
    }
    const auto wanted = static_cast<unsigned>(std::bit_width(ids.size() / 2));  // two rows a child
    // Where many rows are wide, wide cuts copy too many of them.
    for (unsigned width = wanted; width > 0; width -= std::min(width, 4U)) {
      const auto best = best_cut(ids.size(), width);
      // The sample may have missed the wide ones.
      if (best && copies(ids, *best) <= (kMostCopies + 1) * static_cast<double>(ids.size())) return best;
    }
    return std::nullopt;
  }

  /// Of the cuts of this width and some smaller ones.
  std::optional<Cut> best_cut(std::size_t all, unsigned wanted) {
    static constexpr std::array<unsigned, CutKey::kCut> kBits{32, 32, 16, 16, 8};
    std::optional<Cut> best;
    // What is compared without a cut, and what a step of the walk costs in these terms.
    constexpr double kStep = 0.5;
    double least = static_cast<double>(blocks_for(all)) + 0.25 - kStep;
    for (unsigned number = 0; number < CutKey::kCut; ++number) {
      const auto& sample = sample_[number];
      const CutRow::Bounds& first = sample.front();
      const bool alike =
          std::all_of(sample.begin(), sample.end(), [&](const CutRow::Bounds& one) { return one.from == first.from && one.to == first.to; });
      if (alike) continue;
      for (unsigned less = 0; less < std::min(4U, wanted); ++less) {
        const unsigned width = std::min({wanted - less, kWidest, kBits[number]});
        for (unsigned shift = 0; shift + width <= kBits[number]; shift += number < CutKey::kSrcPort ? 2 : 1) {
          const Cut cut{number, shift, width};
          const auto value = worth(cut, all);
          if (value && *value < least) least = *value, best = cut;
        }
      }
    }
    return best;
  }

  uint64_t leaf(std::vector<uint32_t> ids) {
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

  /// Leaves no more rows than a leaf may have. The widest go: they are in most leaves. What has checks is cheaper elsewhere, where the
  /// dimensions do them.
  void evict(std::vector<uint32_t>& ids) {
    const auto openness = [this](uint32_t id) {
      unsigned bits = 0;
      for (const auto& bounds : rows_[id].bounds) bits += static_cast<unsigned>(std::bit_width(bounds.to - bounds.from));
      return bits;
    };
    const auto is_checked = [this](uint32_t id) { return is_checked_[id]; };
    const auto checked = static_cast<std::size_t>(std::count_if(ids.begin(), ids.end(), is_checked));
    if (ids.size() <= kMostInLeaf && checked <= kMostChecked) return;
    std::stable_sort(ids.begin(), ids.end(), [&](uint32_t a, uint32_t b) { return openness(a) < openness(b); });
    std::vector<uint32_t> kept;
    std::size_t kept_checked = 0;
    for (const uint32_t id : ids) {
      const bool stays = kept.size() < kMostInLeaf && (!is_checked(id) || kept_checked++ < kMostChecked);
      if (stays) kept.push_back(id);
      else evicted_.insert(id);
    }
    std::sort(kept.begin(), kept.end());
    ids = std::move(kept);
  }

  CutForest& out_;
  const std::vector<CutRow>& rows_;
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
  std::unordered_map<std::vector<uint32_t>, uint64_t, Hash, Equal> leaves_;
  std::array<std::vector<CutRow::Bounds>, CutKey::kCut> sample_;  ///< of the node's rows, by what may be cut: many cuts are tried on them
  std::vector<int32_t> counts_;
  std::set<uint32_t> evicted_;
};

namespace {

/// The one range of an address field, of one family; nothing: it asks for several.
const Interval* only_range(const Criterion& ask, bool& v6) {
  const Values& values = *ask.values;
  if (values.numbers.size() + values.ipv6.size() != 1) return nullptr;
  v6 = values.numbers.empty();
  return v6 ? values.ipv6.data() : values.numbers.data();
}

const Criterion* find(std::span<const Criterion> asks, Field field) {
  for (const Criterion& ask : asks)
    if (ask.where == Where{field}) return &ask;
  return nullptr;
}

bool is_narrow(const CutRow& row, bool of_dst) {
  const Interval range = row.range(of_dst);
  return range.to - range.from < (row.v6 ? kNarrow6 : kNarrow4);
}

/// A tree that few rows would have costs every packet more than their copies in that of rows which leave nothing open. That one is mostly
/// cut by destination first, so what leaves the destination open has more copies.
void plant_few_together(std::array<std::vector<uint32_t>, CutForest::kTrees>& trees) {
  constexpr std::array<std::size_t, CutForest::kTrees> kFewest{0, 16, 64};  // one row out of so many
  auto& both = trees[0];
  for (unsigned t = 1; t < CutForest::kTrees; ++t) {
    if (trees[t].size() > both.size() / kFewest[t]) continue;
    both.insert(both.end(), trees[t].begin(), trees[t].end());
    trees[t].clear();
  }
  std::sort(both.begin(), both.end());
}

}  // namespace

std::optional<CutRow> CutForest::row_of(uint32_t row, std::span<const Criterion> asks) {
  std::optional<CutRow> out(std::in_place);
  out->row = row;
  std::optional<bool> family;
  for (const Field field : {Field::kSrc, Field::kDst}) {
    const Criterion* const ask = find(asks, field);
    if (!ask) continue;
    bool v6 = false;
    const Interval* const range = only_range(*ask, v6);
    if (!range || (family && *family != v6)) return std::nullopt;
    family = v6;
    if (v6) (field == Field::kSrc ? out->src6 : out->dst6) = *range;
    else
      out->bounds[field == Field::kSrc ? CutKey::kSrc : CutKey::kDst] = {static_cast<uint32_t>(range->from),
                                                                         static_cast<uint32_t>(range->to)};
  }
  if (!family) return std::nullopt;
  out->v6 = *family;
  for (const Criterion& ask : asks) {
    if (ask.where == Where{Field::kSrc} || ask.where == Where{Field::kDst}) continue;
    const auto& ranges = ask.values->numbers;
    const bool source = ask.where == Where{Field::kSrcPort}, destination = ask.where == Where{Field::kDstPort};
    if (source || destination) {
      out->kind |= CutKey::kHasPorts, out->kind_mask |= CutKey::kHasPorts;
      if (ranges.size() == 1)
        out->bounds[source ? CutKey::kSrcPort : CutKey::kDstPort] = {static_cast<uint32_t>(ranges[0].from),
                                                                     static_cast<uint32_t>(ranges[0].to)};
      else out->checks.push_back(ask);
    } else if (ask.where == Where{Field::kProtocol} && ranges.size() == 1 && ranges[0].from == ranges[0].to) {
      const auto protocol = static_cast<uint32_t>(ranges[0].from);
      out->bounds[CutKey::kProtocol] = {protocol, protocol};
      out->kind |= static_cast<uint16_t>(CutKey::kHasProtocol | protocol), out->kind_mask |= CutKey::kHasProtocol | 0xFFU;
    } else {
      out->checks.push_back(ask);
    }
  }
  return out;
}

Interval CutRow::range(bool of_dst) const {
  if (v6) return of_dst ? dst6 : src6;
  const Bounds& numbers = bounds[of_dst ? CutKey::kDst : CutKey::kSrc];
  return {numbers.from, numbers.to};
}

/// Which 32 bits of IPv6 addresses the trees look at: those that tell most rows apart and that few leave open.
void CutForest::choose_windows(std::vector<CutRow>& rows) {
  constexpr unsigned kLast = 96, kStep = 16;
  for (const bool of_dst : {false, true}) {
    const auto same_up_to = [of_dst](const CutRow& row, unsigned bits) {
      const Interval range = row.range(of_dst);
      return bits == 0 || (range.from ^ range.to) >> (128 - bits) == 0;
    };
    int64_t most = 0;
    for (unsigned window = 0; window <= kLast; window += kStep) {
      std::unordered_set<uint32_t> values;
      int64_t open = 0;
      for (const CutRow& row : rows) {
        if (!row.v6) continue;
        if (same_up_to(row, window + kStep)) values.insert(static_cast<uint32_t>(row.range(of_dst).from >> (kLast - window)));
        else ++open;
      }
      const int64_t apart = static_cast<int64_t>(values.size()) - open;
      if (window == 0 || apart > most) most = apart, windows_[of_dst] = window;
    }
    for (CutRow& row : rows) {
      if (!row.v6 || !same_up_to(row, windows_[of_dst])) continue;  // wider than the bits say: any of them
      const Interval range = row.range(of_dst);
      const unsigned behind = kLast - windows_[of_dst];
      row.bounds[of_dst ? CutKey::kDst : CutKey::kSrc] = {static_cast<uint32_t>(range.from >> behind),
                                                          static_cast<uint32_t>(range.to >> behind)};
    }
  }
}

CutForest::CutForest(std::vector<CutRow>& rows, Simd simd) : simd_(simd) {
  choose_windows(rows);
  std::vector<CutRow> left_over;
  const auto is_wide = [](const CutRow& row) { return !is_narrow(row, true) && !is_narrow(row, false); };
  constexpr std::ptrdiff_t kFewWide = 4;  // no more than a block for every packet
  if (std::count_if(rows.begin(), rows.end(), is_wide) > kFewWide) {
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(left_over), is_wide);
    std::erase_if(rows, is_wide);
  }
  for (unsigned attempt = 1;; ++attempt) {
    const std::set<uint32_t> evicted = plant(rows);
    for (const uint32_t id : evicted) left_over.push_back(rows[id]);
    if (evicted.empty() || attempt == kMostAttempts) break;
    std::vector<CutRow> kept;
    for (uint32_t id = 0; id < rows.size(); ++id)
      if (!evicted.contains(id)) kept.push_back(std::move(rows[id]));
    rows = std::move(kept);
  }
  checks_.resize(rows.empty() ? 0 : rows.back().row + 1);
  for (const CutRow& row : rows) {
    checks_[row.row] = {row.v6 ? static_cast<uint32_t>(networks_.size()) : kNoRow, static_cast<uint32_t>(criteria_.size()),
                        static_cast<uint32_t>(row.checks.size())};
    if (row.v6) networks_.push_back({row.src6, row.dst6});
    criteria_.insert(criteria_.end(), row.checks.begin(), row.checks.end());
  }
  rows = std::move(left_over);
}

/// Makes the trees. Returns the positions of rows that are not in every leaf where they belong.
std::set<uint32_t> CutForest::plant(const std::vector<CutRow>& rows) {
  std::array<std::array<std::vector<uint32_t>, kTrees>, 2> trees;
  for (uint32_t id = 0; id < rows.size(); ++id) {
    const bool src = is_narrow(rows[id], false), dst = is_narrow(rows[id], true);
    trees[rows[id].v6][src == dst ? 0 : dst ? 1 : 2].push_back(id);
  }
  slots_.clear();
  blocks_.clear();
  trees_ = 0;
  Builder builder(*this, rows);
  for (unsigned v6 = 0; v6 < 2; ++v6) {
    plant_few_together(trees[v6]);
    for (unsigned t = 0; t < kTrees; ++t) {
      roots_[v6][t] = builder.tree(trees[v6][t]);
      if (!trees[v6][t].empty()) trees_ = std::max(trees_, t + 1);
    }
  }
  roots_[2].fill(Slot::leaf(0, 0));
  return builder.evicted();
}

}  // namespace sluice
