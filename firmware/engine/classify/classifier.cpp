#include "engine/classify/classifier.h"

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>
#include <span>
#include <utility>

#include "engine/classify/kernel.h"

namespace sluice {

/// A row while it is made.
struct AskingRow {
  uint32_t row;
  const Remainder* remainder;
  std::vector<Criterion> fields;  ///< what it asks, each field once, in their order: the port first
  bool ports_implied;             ///< those that are the map's sources, no fewer
  [[nodiscard]] bool of_map_alone() const { return ports_implied && fields.size() == 1 && !remainder; }
  [[nodiscard]] const Values* of(const Where& where) const {
    for (const Criterion& one : fields)
      if (one.where == where) return one.values.get();
    return nullptr;
  }
};

namespace {

constexpr uint32_t kFirstBand = 512;

Error too_large(std::size_t most_bytes) {
  return {ErrorCode::kExhausted, "maps",
          "the rules' values overlap in so many ways that they need more than " + std::to_string(most_bytes >> 20) + " MiB"};
}

/// Returns how many ranges had to be gone through.
std::size_t add(const Criterion& criterion, AskingRow& out) {
  const auto at = std::lower_bound(out.fields.begin(), out.fields.end(), criterion.where,
                                   [](const Criterion& one, const Where& where) { return one.where < where; });
  if (at == out.fields.end() || at->where != criterion.where) {
    out.fields.insert(at, criterion);
    return 0;
  }
  const auto size = [](const Values& v) { return v.numbers.size() + v.ipv6.size(); };
  const std::size_t ranges = size(*at->values) + size(*criterion.values);
  at->values = std::make_shared<const Values>(intersection(*at->values, *criterion.values));
  return ranges;
}

/// Rules that ask for neighbouring values get neighbouring bits, so that a packet's bits are in few blocks. What asks nothing comes first.
std::vector<uint32_t> neighbours(const std::vector<AskingRow>& askings, const std::vector<Where>& fields) {
  struct Place {
    bool asks = false, v6 = false;
    Interval interval;
    bool operator<(const Place& o) const {
      if (asks != o.asks) return o.asks;
      if (v6 != o.v6) return o.v6;
      if (interval.from != o.interval.from) return interval.from < o.interval.from;
      return interval.to > o.interval.to;
    }
  };
  std::vector<std::vector<Place>> places(fields.size(), std::vector<Place>(askings.size()));
  for (std::size_t f = 0; f < fields.size(); ++f)
    for (std::size_t r = 0; r < askings.size(); ++r)
      if (const Values* const values = askings[r].of(fields[f])) {
        places[f][r].asks = true;
        places[f][r].v6 = values->numbers.empty();
        if (!values->numbers.empty()) places[f][r].interval = values->numbers.front();
        else if (!values->ipv6.empty()) places[f][r].interval = values->ipv6.front();
      }
  std::vector<uint32_t> order(askings.size());
  std::iota(order.begin(), order.end(), 0U);
  // Bands of rows, the first ones apart: a packet that matches early need not look at what comes later.
  const auto band = [](uint32_t row) { return std::bit_width(row / kFirstBand) / 2; };
  // The last rows that fill no block stay behind: so the last block, too, has its first row behind those of all others.
  const std::size_t whole = order.size() / 64 * 64;
  std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(whole), [&](uint32_t a, uint32_t b) {
    if (band(a) != band(b)) return band(a) < band(b);
    for (const auto& column : places) {
      if (column[a] < column[b]) return true;
      if (column[b] < column[a]) return false;
    }
    return a < b;
  });
  // Whole blocks by their first row: where one map's best is before a block's first, the rest need not be looked at.
  std::vector<std::pair<uint32_t, std::size_t>> blocks;
  for (std::size_t at = 0; at < whole; at += 64) blocks.emplace_back(*std::min_element(&order[at], &order[at] + 64), at);
  std::sort(blocks.begin(), blocks.end());
  std::vector<uint32_t> out;
  for (const auto& [first, at] : blocks) out.insert(out.end(), &order[at], &order[at] + 64);
  out.insert(out.end(), order.begin() + static_cast<std::ptrdiff_t>(whole), order.end());
  // Within a block the lowest bit is the first row.
  for (std::size_t at = 0; at < out.size(); at += 64) std::sort(&out[at], &out[at] + std::min<std::size_t>(64, out.size() - at));
  return out;
}

bool is_about_upper_layer(const Alternative& alternative) {
  const auto is_upper = [](const Criterion& criterion) {
    const Field field = criterion.where.field;
    return !criterion.where.inner && (field == Field::kSrcPort || field == Field::kDstPort || field == Field::kTcpFlags ||
                                      field == Field::kIcmpType || field == Field::kIcmpCode);
  };
  if (std::any_of(alternative.criteria.begin(), alternative.criteria.end(), is_upper)) return true;
  if (!alternative.remainder || !alternative.remainder->unless) return false;
  const auto& negated = alternative.remainder->unless->alternatives;
  return std::any_of(negated.begin(), negated.end(), is_about_upper_layer);
}

}  // namespace

VerdictBuffer::VerdictBuffer(uint32_t maps)
    : verdicts(std::make_unique<Verdict[]>(std::size_t{kBurst} * maps)), per_packet(maps), best(maps, kNoRow), touched((maps + 63) / 64) {}

std::vector<Criterion> ClassifierMap::sources() const {
  std::vector<Criterion> out;
  Values slots;
  for (unsigned p = 0; p < ports.size(); ++p)
    if (ports[p]) slots.numbers.push_back({p, p});
  slots.normalise();
  out.push_back({{Field::kPort}, std::make_shared<const Values>(std::move(slots))});
  if (vlans.empty() && !untagged) return out;
  Values ids;
  for (const Range& range : vlans) ids.numbers.push_back({range.from, range.to});
  if (untagged) ids.numbers.push_back({kUntagged, kUntagged});
  ids.normalise();
  out.push_back({{Field::kSourceVlan}, std::make_shared<const Values>(std::move(ids))});
  return out;
}

/// Rows in the order of maps and rules; `rows` gets what stands behind them.
class Classifier::Rows {
 public:
  explicit Rows(Classifier& out) : out_(out) {}

  Result<std::vector<AskingRow>> make() {
    for (uint32_t m = 0; m < out_.maps_.size(); ++m)
      if (auto r = add_map(m); !r) return r.error();
    return std::move(askings_);
  }

 private:
  Result<void> add_map(uint32_t m) {
    const ClassifierMap& map = out_.maps_[m];
    const auto sources = map.sources();
    for (const ClassifierRule& rule : map.rules)
      for (const Alternative& alternative : rule.match->alternatives) {
        add_row(m, sources, alternative, rule.index, rule.pass);
        if (ranges_ > kMostRanges)
          return Error{ErrorCode::kExhausted, "maps",
                       "too many rules ask twice about one field with many values, such as src and src_set; put it into one set"};
      }
    if (map.default_pass) add_row(m, sources, {}, kNoRule, true);
    static_assert(kMostRows <= CutForest::kMostRows);
    if (askings_.size() > kMostRows)
      return Error{ErrorCode::kExhausted, "maps",
                   "the rules and defaults have more than " + std::to_string(kMostRows) + " alternatives together"};
    return {};
  }

  void add_row(uint32_t m, const std::vector<Criterion>& sources, const Alternative& alternative, uint32_t rule, bool pass) {
    const auto row = static_cast<uint32_t>(out_.rows_.size());
    AskingRow& made = askings_.emplace_back(AskingRow{row, alternative.remainder.get(), {}, false});
    made.fields.reserve(sources.size() + alternative.criteria.size());
    for (const Criterion& criterion : sources) ranges_ += add(criterion, made);
    for (const Criterion& criterion : alternative.criteria) ranges_ += add(criterion, made);
    made.ports_implied = made.fields.front().values == sources.front().values;
    out_.rows_.push_back({rule, static_cast<uint16_t>(m), pass});
    out_.asks_upper_layer_ |= is_about_upper_layer(alternative);
    out_.remainders_.push_back(made.remainder);
  }

  Classifier& out_;
  std::vector<AskingRow> askings_;
  std::size_t ranges_ = 0;
};

Result<Classifier> Classifier::make(std::shared_ptr<const std::vector<ClassifierMap>> maps, const Options& options) {
  auto out = make_once(maps, options);
  if (out || !options.trees || out.error().code != ErrorCode::kExhausted) return out;
  Options anew = options;  // whether it fits is not to depend on what was before
  anew.trees = nullptr;
  return make_once(std::move(maps), anew);
}

Result<Classifier> Classifier::make_once(std::shared_ptr<const std::vector<ClassifierMap>> maps, const Options& options) {
  Classifier out;
  out.simd_ = options.simd;
  out.kept_maps_ = std::move(maps);
  out.maps_ = *out.kept_maps_;
  auto askings = Rows(out).make();
  if (!askings) return askings.error();
  if (out.maps_.size() == 1 && std::none_of(askings->begin(), askings->end(), [](const AskingRow& row) { return row.remainder; })) {
    out.plain_ = true;
    const auto all = std::find_if(askings->begin(), askings->end(), [](const AskingRow& row) { return row.of_map_alone(); });
    if (all != askings->end()) out.last_resort_ = all->row;
    askings->erase(all, askings->end());  // nothing gets behind it
  }
  out.plant_trees(*askings, options);
  if (out.forest() && out.forest()->bytes() > options.most_bytes) return too_large(options.most_bytes);
  if (auto r = out.make_dimensions(*askings, options.most_bytes); !r) return r.error();
  return out;
}

/// Takes out those rows that trees are for.
void Classifier::plant_trees(std::vector<AskingRow>& askings, const Options& options) {
  std::vector<CutRow> rows;
  rows.reserve(askings.size());
  for (const AskingRow& one : askings) {
    if (one.remainder) continue;
    if (auto row = CutForest::row_of(one.row, std::span(one.fields).subspan(one.ports_implied ? 1 : 0))) rows.push_back(std::move(*row));
  }
  if (rows.size() < options.fewest_cut) return;
  trees_ = std::make_shared<const CutPlan>(std::move(rows), simd_, options.trees.get());
  const auto taken = trees_->taken(rows_.size());
  cut_ = static_cast<uint32_t>(std::count(taken.begin(), taken.end(), true));
  std::erase_if(askings, [&taken](const AskingRow& one) { return taken[one.row]; });
}

Result<void> Classifier::make_dimensions(const std::vector<AskingRow>& askings, std::size_t most_bytes) {
  // Fields whose rules tell most values apart first: they leave fewest blocks to look at.
  std::map<Where, std::map<const Values*, uint32_t>> asked;
  for (const AskingRow& one : askings)
    for (const Criterion& ask : one.fields) ++asked[ask.where][ask.values.get()];
  std::vector<Where> fields;
  for (const auto& [where, values] : asked) fields.push_back(where);
  std::stable_sort(fields.begin(), fields.end(), [&](const Where& a, const Where& b) { return asked[a].size() > asked[b].size(); });
  if (fields.size() > kMostDimensions)
    return Error{ErrorCode::kExhausted, "maps", "the rules ask about more than " + std::to_string(kMostDimensions) + " fields"};

  const auto order = neighbours(askings, fields);
  for (std::size_t bit = 0; bit < order.size(); ++bit) {
    const AskingRow& one = askings[order[bit]];
    bits_.push_back({one.row, rows_[one.row].map, one.remainder != nullptr});
    row_of_bit_.push_back(one.row);
    if (bit % 64 != 0) continue;
    first_row_.push_back(one.row);
    blocks_[bit / 4096] |= uint64_t{1} << bit / 64 % 64;
  }
  layout_ = Layout::of(static_cast<uint32_t>(order.size()));
  std::size_t bytes = forest() ? forest()->bytes() : 0;
  for (const Where& where : fields) {
    std::vector<Dimension::Ask> asks;
    std::vector<uint64_t> silent(layout_.blocks());
    for (uint32_t bit = 0; bit < order.size(); ++bit) {
      if (const Values* const values = askings[order[bit]].of(where)) asks.push_back({bit, values});
      else silent[bit / 64] |= uint64_t{1} << bit % 64;
    }
    auto dimension = Dimension::make(where, asks, silent, layout_, most_bytes - bytes, simd_);
    if (!dimension || dimension->bytes() > most_bytes - bytes) return too_large(most_bytes);
    bytes += dimension->bytes();
    dimensions_.push_back(std::move(*dimension));
  }
  return {};
}

ClassifierCost Classifier::cost() const {
  ClassifierCost out{static_cast<uint32_t>(rows_.size()), cut_, static_cast<uint32_t>(dimensions_.size()), forest() ? forest()->bytes() : 0};
  for (const Dimension& dimension : dimensions_) out.bytes += dimension.bytes();
  return out;
}

void Classifier::classify(const Burst& burst, PortSlot port, VerdictBuffer& out) const {
  Classes classes;
  for (std::size_t d = 0; d < dimensions_.size(); ++d) dimensions_[d].look_up(burst, port, classes[d].data());
  ClassifierKernel{*this, burst, port, classes, out}.run(simd_);
}

}  // namespace sluice
