#include "config/changed_rules.h"

#include <algorithm>
#include <future>
#include <string_view>
#include <unordered_set>

#include "base/wire.h"
#include "config/resources.h"

namespace sluice::config {
namespace {

namespace pb = google::protobuf;

const pb::FieldDescriptor& rules_field() {
  static const auto* field = v1::Map::descriptor()->FindFieldByNumber(v1::Map::kRulesFieldNumber);
  return *field;
}

/// Compares rules with bytes.
class Comparer {
 public:
  bool operator()(const v1::Rule& rule, std::string_view bytes) {
    if (rule.ByteSizeLong() != bytes.size()) return false;
    scratch_.resize(bytes.size());
    rule.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(scratch_.data()));  // rules hold no map field: it is canonical
    return scratch_ == bytes;
  }

 private:
  std::string scratch_;
};

/// Of a long list the second half is compared meanwhile: somebody waits for the answer.
RuleWindow window(const std::string& before, const v1::Map& map) {
  constexpr int kLong = 1024;
  const auto was = wire_fields(before, v1::Map::kRulesFieldNumber);
  const int n = map.rules_size(), m = static_cast<int>(was.size()), most = std::min(n, m), half = most < kLong ? most : most / 2;
  // How many are the same from the end, of so many at most.
  const auto same_tail = [&](int tail, int at_most) {
    Comparer same;
    while (tail < at_most && same(map.rules(n - 1 - tail), was[static_cast<std::size_t>(m - 1 - tail)])) ++tail;
    return tail;
  };
  auto second_half = std::async(half < most ? std::launch::async | std::launch::deferred : std::launch::deferred,
                                [&] { return same_tail(0, most - half); });
  Comparer same;
  int head = 0;
  while (head < half && same(map.rules(head), was[static_cast<std::size_t>(head)])) ++head;
  int tail = second_half.get();
  if (head == half)
    while (head < most - tail && same(map.rules(head), was[static_cast<std::size_t>(head)])) ++head;
  tail = same_tail(tail, most - head);
  return {head, m - tail, n - tail};
}

}  // namespace

MapBytes map_bytes(const v1::Config& config) {
  MapBytes out;
  for (const auto& map : config.maps()) out[map.id()] = bytes_of(map);
  return out;
}

ChangedRules::ChangedRules(const MapBytes& before, const v1::Config& config) {
  std::unordered_set<std::string_view> seen;
  for (const auto& map : config.maps()) {
    const auto was = before.find(map.id());
    // A second one of an id is refused later; until then it costs no second walk through the rules of the first.
    const bool known = was != before.end() && seen.insert(map.id()).second;
    by_place_.push_back(known ? window(was->second, map) : std::optional<RuleWindow>());
    if (by_place_.back()) by_map_.emplace(&map, *by_place_.back());
  }
}

std::pair<int, int> ChangedRules::range(const pb::Message& message, const pb::FieldDescriptor& field, int n) const {
  if (by_map_.empty() || &field != &rules_field()) return {0, n};
  const auto found = by_map_.find(&message);
  return found == by_map_.end() ? std::pair(0, n) : std::pair(found->second.begin, found->second.end);
}

std::string ChangedRules::bytes_of_map(v1::Map& map, int place, std::string_view before) const {
  const auto changed = of_map(place);
  if (!changed) return bytes_of(map);
  const auto was = wire_fields(before, v1::Map::kRulesFieldNumber);
  std::vector<std::string> anew;
  for (int i = changed->begin; i < changed->end; ++i) anew.push_back(bytes_of(map.rules(i)));
  std::vector<std::string_view> rules(was.begin(), was.begin() + changed->begin);
  rules.insert(rules.end(), anew.begin(), anew.end());
  rules.insert(rules.end(), was.begin() + changed->before_end, was.end());
  pb::RepeatedPtrField<v1::Rule> kept;
  kept.Swap(map.mutable_rules());
  const std::string rest = bytes_of(map);
  kept.Swap(map.mutable_rules());
  return with_wire_fields(rest, v1::Map::kRulesFieldNumber, rules);
}

std::optional<RuleWindow> ChangedRules::of_map(int place) const {
  return static_cast<std::size_t>(place) < by_place_.size() ? by_place_[static_cast<std::size_t>(place)] : std::nullopt;
}

}  // namespace sluice::config
