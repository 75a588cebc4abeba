#include "engine/classify/dimension.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/endian.h"
#include "engine/classify/sweep.h"

namespace sluice {
namespace {

constexpr unsigned kWidestTable = 16;  // bits
constexpr unsigned kWidestTree = 32;
constexpr std::size_t kLine = 8;    // words of a cache line
constexpr std::size_t kSpare = 16;  // words, for the alignment
/// Bytes up to which the bitmaps of a field's classes are stored as they are.
constexpr std::size_t kMostDense = std::size_t{4} << 20;

/// Writes the sets of the classes that a sweep comes to, in their order.
class SetWriter {
 public:
  SetWriter(const std::vector<uint64_t>& silent, const Layout& layout, RuleSets& sets, std::size_t most_bytes)
      : bitmap_(silent), layout_(layout), sets_(sets), most_bytes_(most_bytes) {}

  void changed(const Sweep::Group& group) {
    if (sets_.dense) return toggle(group);
    if (group.wide) {
      Sweep::add(wide_sum_, group.number);
      toggle(group);
    } else if (group.active) {
      narrow_.push_back(&group);
    } else {
      narrow_.erase(std::find(narrow_.rbegin(), narrow_.rend(), &group).base() - 1);
    }
  }

  Result<void> add_class() {
    if (sets_.bytes() > most_bytes_) return too_large();
    return sets_.dense ? add_dense() : add_sparse();
  }

 private:
  static Result<void> too_large() { return Error{ErrorCode::kExhausted, "", "too many bytes"}; }

  void toggle(const Sweep::Group& group) {
    for (const uint32_t bit : group.bits) bitmap_[bit / 64] ^= uint64_t{1} << bit % 64;
  }

  Result<void> add_dense() {
    const auto summary = sets_.summaries.add(layout_.words), bitmap = sets_.bitmaps.add(layout_.blocks());
    if (!summary || !bitmap) return too_large();
    std::copy(bitmap_.begin(), bitmap_.end(), sets_.bitmaps.at(*bitmap));
    for (std::size_t b = 0; b < layout_.blocks(); ++b)
      if (bitmap_[b] != 0) sets_.summaries.at(*summary)[b / 64] |= uint64_t{1} << b % 64;
    return {};
  }

  Result<void> add_sparse() {
    const std::size_t most = sets_.leaf_words - layout_.words - 1;
    std::map<uint32_t, uint64_t> blocks;  // of the narrow groups
    for (const Sweep::Group* group : narrow_)
      for (const uint32_t bit : group->bits) {
        blocks[bit / 64] |= uint64_t{1} << bit % 64;
        if (blocks.size() > most) break;
      }
    const bool fits = blocks.size() <= most;
    const auto base = fits ? base_of_the_wide() : base_of_all();
    const auto place = sets_.leaves.add(sets_.leaf_words);
    if (!base || !place) return too_large();
    uint64_t* const leaf = sets_.leaves.at(*place);
    leaf[layout_.words] = *base;
    if (!fits) return {};
    uint64_t* bits = leaf + layout_.words + 1;
    for (const auto& [block, some] : blocks) {
      leaf[block / 64] |= uint64_t{1} << block % 64;
      *bits++ = some;
      for (uint32_t later = block / 64 + 1; later < std::min(layout_.words, Layout::kMostCounted); ++later)
        leaf[layout_.words] += uint64_t{1} << (32 + 4 * later);
    }
    return {};
  }

  Result<uint32_t> base_of_the_wide() {
    if (const auto known = bases_.find(wide_sum_); known != bases_.end()) return known->second;
    const auto made = add_base();
    if (made) bases_.emplace(wide_sum_, *made);
    return made;
  }

  Result<uint32_t> base_of_all() {
    for (const Sweep::Group* group : narrow_) toggle(*group);
    const auto made = add_base();
    for (const Sweep::Group* group : narrow_) toggle(*group);
    return made;
  }

  /// Of the bitmap; returns its cache line.
  Result<uint32_t> add_base() {
    const uint32_t words = layout_.words;
    std::vector<uint64_t> out(Layout::base_head(words));
    uint16_t stored = 0;
    for (uint32_t block = 0; block < layout_.blocks(); ++block) {
      if (block % 64 == 0) reinterpret_cast<uint16_t*>(&out[2 * words])[block / 64] = stored;
      const uint64_t bits = bitmap_[block], here = uint64_t{1} << block % 64;
      if (bits == 0) continue;
      out[block / 64] |= here;
      if (bits == layout_.valid(block)) {
        out[words + block / 64] |= here;
      } else {
        out.push_back(bits);
        ++stored;
      }
    }
    const auto place = sets_.bases.add(out.size());
    if (!place) return place.error();
    std::copy(out.begin(), out.end(), sets_.bases.at(*place));
    return static_cast<uint32_t>(*place / kLine);
  }

  std::vector<uint64_t> bitmap_;  ///< of what is silent or active; sparse: but for the narrow ones
  const Layout& layout_;
  RuleSets& sets_;
  std::size_t most_bytes_;
  Sweep::Sum wide_sum_{};
  std::map<Sweep::Sum, uint32_t> bases_;
  std::vector<const Sweep::Group*> narrow_;
};

}  // namespace

Result<Dimension> Dimension::make(Where where, const std::vector<Ask>& asks, const std::vector<uint64_t>& silent, const Layout& layout,
                                  std::size_t most_bytes, Simd simd) {
  Dimension out;
  out.simd_ = simd;
  out.where_ = where;
  Sweep sweep(asks);
  const auto nothing = [](const auto&...) {};
  sweep.run(false, nothing, nothing);
  if (is_address(where.field)) sweep.run(true, nothing, nothing);
  const uint32_t classes = sweep.size();
  const auto write = [&](RuleSets& sets) -> Result<void> {
    sweep.forget();
    SetWriter writer(silent, layout, sets, most_bytes);
    Result<void> state = writer.add_class();
    const auto changed = [&](const Sweep::Group& group) { writer.changed(group); };
    const auto is_new = [&] {
      if (state) state = writer.add_class();
    };
    out.index_numbers(sweep.run(false, changed, is_new));
    if (is_address(where.field)) out.index_v6(sweep.run(true, changed, is_new));
    return state;
  };
  if (classes * layout.blocks() * 8 <= kMostDense) {
    out.sets_.dense = true;
    out.sets_.summaries = Lines(classes * Lines::whole(layout.words) + kSpare);
    out.sets_.bitmaps = Lines(classes * layout.blocks() + kSpare);
    if (auto r = write(out.sets_); !r) return r.error();
    return out;
  }
  // Longer leaves where they spare more bases than they cost.
  for (const uint32_t more : {0U, 8U}) {
    RuleSets sets;
    sets.leaf_words = Layout::leaf_words(layout.words) + more;
    sets.leaves = Lines(classes * sets.leaf_words + kSpare);
    sets.bases = Lines(most_bytes / 8);
    if (auto r = write(sets); !r) {
      if (more == 0) return r.error();
      break;
    }
    if (more == 0 || sets.bytes() < out.sets_.bytes()) out.sets_ = std::move(sets);
    if (out.sets_.bases.bytes() < out.sets_.leaves.bytes() / 2) break;
  }
  return out;
}

void Dimension::index_numbers(const std::vector<std::pair<Key, uint32_t>>& stretches) {
  const unsigned bits = bits_of(where_.field);
  if (bits <= kWidestTable) {
    table_.resize(std::size_t{1} << bits);
    for (std::size_t c = 0; c < stretches.size(); ++c) {
      const Key end = c + 1 < stretches.size() ? stretches[c + 1].first : table_.size();
      for (Key value = stretches[c].first; value < end && value < table_.size(); ++value)
        table_[static_cast<std::size_t>(value)] = stretches[c].second;
    }
    return;
  }
  classes_.assign(1, stretches.front().second);  // nothing is below the first class, which begins at 0
  const auto build = [&]<class Number>(SearchTree<Number>& tree) {
    std::vector<Number> keys;
    for (const auto& [from, in_class] : stretches) {
      if (from >> bits != 0) break;
      keys.push_back(static_cast<Number>(from));
      classes_.push_back(in_class);
    }
    tree = SearchTree<Number>(keys, simd_);
  };
  if (bits <= kWidestTree) build(tree_);
  else build(long_tree_);
}

void Dimension::index_v6(const std::vector<std::pair<Key, uint32_t>>& stretches) {
  std::vector<uint64_t> keys;
  networks_.assign(1, {stretches.front().second, 0, 0});
  networks_high_.assign(1, 0);
  lows_.clear();
  low_classes_.clear();
  for (const auto& [from, in_class] : stretches) {
    const auto high = static_cast<uint64_t>(from >> 64), low = static_cast<uint64_t>(from);
    if (keys.empty() || keys.back() != high) {
      const uint32_t before = networks_.back().in_class;
      keys.push_back(high);
      networks_high_.push_back(high);
      networks_.push_back({before, static_cast<uint32_t>(lows_.size()), 0});
      if (low != 0) {  // up to there it is as before
        lows_.push_back(0);
        low_classes_.push_back(before);
        ++networks_.back().size;
      }
    }
    lows_.push_back(low);
    low_classes_.push_back(in_class);
    ++networks_.back().size;
    networks_.back().in_class = in_class;
  }
  long_tree_ = SearchTree<uint64_t>(keys, simd_);
}

uint32_t Dimension::class_of_v6(uint32_t rank, uint64_t high, uint64_t low) const {
  const Network& network = networks_[rank];
  if (network.size < 2 || networks_high_[rank] != high) return network.in_class;
  const auto begin = lows_.begin() + network.begin;
  const auto behind = std::upper_bound(begin, begin + network.size, low);
  return low_classes_[static_cast<std::size_t>(behind - lows_.begin()) - 1];
}

void Dimension::look_up_addresses(const Burst& burst, uint32_t* classes) const {
  std::array<uint32_t, kBurst> v4, ranks;
  std::array<uint64_t, kBurst> high, low;
  std::array<uint8_t, kBurst> packet_of_v4, packet_of_v6;
  unsigned fours = 0, sixes = 0;
  const bool is_dst = where_.field == Field::kDst;
  for (unsigned i = 0; i < burst.size; ++i) {
    const Parsed& parsed = burst.parsed[i];
    const LayerSet& set = where_.inner ? parsed.inner : parsed.outer;
    const std::byte* const ip = burst.frames[i].data + set.l3_offset;
    if (where_.inner && !parsed.has_inner) {
      classes[i] = kAbsent;
    } else if (set.l3 == L3::kIpv4) {
      v4[fours] = read_be32(ip + (is_dst ? 16 : 12));
      packet_of_v4[fours++] = static_cast<uint8_t>(i);
    } else if (set.l3 == L3::kIpv6) {
      const std::byte* const address = ip + (is_dst ? 24 : 8);
      high[sixes] = read_be64(address);
      low[sixes] = read_be64(address + 8);
      packet_of_v6[sixes++] = static_cast<uint8_t>(i);
    } else {
      classes[i] = kAbsent;
    }
  }
  tree_.ranks({v4.data(), fours}, ranks.data());
  for (unsigned n = 0; n < fours; ++n) classes[packet_of_v4[n]] = classes_[ranks[n]];
  if (sixes == 0) return;
  long_tree_.ranks({high.data(), sixes}, ranks.data());
  for (unsigned n = 0; n < sixes; ++n) classes[packet_of_v6[n]] = class_of_v6(ranks[n], high[n], low[n]);
}

void Dimension::look_up(const Burst& burst, PortSlot port, uint32_t* classes) const {
  const auto outer = [&](auto&& value) {
    for (unsigned i = 0; i < burst.size; ++i) {
      const LayerSet& set = where_.inner ? burst.parsed[i].inner : burst.parsed[i].outer;
      classes[i] = where_.inner && !burst.parsed[i].has_inner ? kAbsent : value(set);
    }
  };
  // The common fields without a detour.
  switch (where_.field) {
    case Field::kSrc:
    case Field::kDst: return look_up_addresses(burst, classes);
    case Field::kPort: return (void)std::fill_n(classes, burst.size, table_[port]);
    case Field::kSrcPort:
      return outer([this](const LayerSet& set) { return set.has(parse_flag::kHasPorts) ? table_[set.src_port] : kAbsent; });
    case Field::kDstPort:
      return outer([this](const LayerSet& set) { return set.has(parse_flag::kHasPorts) ? table_[set.dst_port] : kAbsent; });
    case Field::kProtocol:
      return outer(
          [this](const LayerSet& set) { return set.is_ip() && set.has(parse_flag::kHasProtocol) ? table_[set.ip_protocol] : kAbsent; });
    default: break;
  }
  const unsigned bits = bits_of(where_.field);
  for (unsigned i = 0; i < burst.size; ++i) {
    const auto value = value_of(where_, {burst, i, port});
    if (!value) {
      classes[i] = kAbsent;
    } else if (bits <= kWidestTable) {
      classes[i] = table_[static_cast<std::size_t>(value->key)];
    } else if (bits <= kWidestTree) {
      const auto number = static_cast<uint32_t>(value->key);
      uint32_t rank = 0;
      tree_.ranks({&number, 1}, &rank);
      classes[i] = classes_[rank];
    } else {
      const auto number = static_cast<uint64_t>(value->key);
      uint32_t rank = 0;
      long_tree_.ranks({&number, 1}, &rank);
      classes[i] = classes_[rank];
    }
  }
}

std::size_t Dimension::bytes() const {
  return sets_.bytes() + table_.capacity() * 4 + classes_.capacity() * 4 + networks_.capacity() * sizeof(Network) +
         networks_high_.capacity() * 8 + lows_.capacity() * 8 + low_classes_.capacity() * 4;
}

}  // namespace sluice
