#include "compile/known_rules.h"

#include <algorithm>

#include "base/wire.h"

namespace sluice::compile {

KnownRules::KnownRules(const v1::Config& config, std::string_view bytes, const KnownRules& before) : bytes_(std::make_shared<const std::string>(bytes)) {
  const Parts maps = wire_fields(*bytes_, v1::Config::kMapsFieldNumber);
  if (maps.size() != static_cast<std::size_t>(config.maps_size())) return;
  sets_ = wire_fields(*bytes_, v1::Config::kAddressSetsFieldNumber);
  filters_ = wire_fields(*bytes_, v1::Config::kFiltersFieldNumber);
  same_sets_ = before.bytes_ && sets_ == before.sets_;
  same_filters_ = before.bytes_ && filters_ == before.filters_;
  of_.resize(maps.size());
  for (std::size_t m = 0; m < maps.size(); ++m) {
    const v1::Map& map = config.maps(static_cast<int>(m));
    of_[m].id = map.id();
    place_of_.emplace(map.id(), m);
    of_[m].rules = wire_fields(maps[m], v1::Map::kRulesFieldNumber);
    if (of_[m].rules.size() != static_cast<std::size_t>(map.rules_size())) of_[m].rules.clear();
  }
}

std::vector<KnownRules::Rule> KnownRules::from(const KnownRules& before, int map, const Side& a, const Side& b) const {
  const auto place = static_cast<std::size_t>(map);
  if (place >= of_.size() || !same_sets_ || !same_filters_) return {};
  const Map& now = of_[place];
  std::vector<Rule> out(now.rules.size());
  const auto known = before.place_of_.find(now.id);
  if (known == before.place_of_.end()) return out;
  const Map& was = before.of_[known->second];
  if (was.made.size() != was.rules.size() || was.a != a || was.b != b) return out;
  const auto rule = [&](std::size_t i) { return Rule{before.match_of(was, was.made[i]), was.made[i].slot}; };
  const std::size_t shorter = std::min(now.rules.size(), was.rules.size());
  std::size_t head = 0, tail = 0;
  for (; head < shorter && now.rules[head] == was.rules[head]; ++head) out[head] = rule(head);
  for (; tail < shorter - head && now.rules[now.rules.size() - 1 - tail] == was.rules[was.rules.size() - 1 - tail]; ++tail)
    out[now.rules.size() - 1 - tail] = rule(was.rules.size() - 1 - tail);
  return out;
}

/// Remainders belong to a database of expressions, which is each configuration's own.
std::shared_ptr<const RuleMatch> KnownRules::match_of(const Map& map, const Made& made) const {
  if (!maps_ || made.place == kNoRule) return nullptr;
  const auto& match = (*maps_)[map.classified].rules[made.place].match;
  const bool has_remainder =
      std::any_of(match->alternatives.begin(), match->alternatives.end(), [](const Alternative& one) { return one.remainder; });
  return has_remainder ? nullptr : match;
}

void KnownRules::made(int map, uint32_t classified, const Side& a, const Side& b, std::vector<Made> rules) {
  const auto place = static_cast<std::size_t>(map);
  if (place >= of_.size()) return;
  Map& of = of_[place];
  of.classified = classified, of.a = a, of.b = b, of.made = std::move(rules);
}

}  // namespace sluice::compile
