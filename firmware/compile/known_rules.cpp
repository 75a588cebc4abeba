#include "compile/known_rules.h"

#include <algorithm>

#include "base/wire.h"

namespace sluice::compile {
namespace {

bool parse(std::string_view bytes, google::protobuf::Message& to) { return to.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())); }

}  // namespace

KnownRules::KnownRules(std::string_view bytes, const KnownRules& before) : bytes_(std::make_shared<const std::string>(bytes)) {
  sets_ = wire_fields(*bytes_, v1::Config::kAddressSetsFieldNumber);
  filters_ = wire_fields(*bytes_, v1::Config::kFiltersFieldNumber);
  same_sets_ = before.bytes_ && sets_ == before.sets_;
  const bool same = same_sets_ && filters_ == before.filters_;
  for (const std::string_view map : wire_fields(*bytes_, v1::Config::kMapsFieldNumber)) {
    Map& of = of_.emplace_back();
    of.bytes = map;
    of.id = wire_field(map, v1::Map::kIdFieldNumber);
    place_of_.emplace(of.id, of_.size() - 1);
    of.rules = wire_fields(map, v1::Map::kRulesFieldNumber);
    auto& left = left_.emplace_back(of.rules.size());
    const auto known = before.place_of_.find(of.id);
    if (!same || known == before.place_of_.end()) continue;
    of.was = known->second;
    const Map& was = before.of_[of.was];
    const std::size_t all = of.rules.size(), shorter = std::min(all, was.rules.size());
    while (of.head < shorter && of.rules[of.head] == was.rules[of.head]) ++of.head;
    while (of.tail < shorter - of.head && of.rules[all - 1 - of.tail] == was.rules[was.rules.size() - 1 - of.tail]) ++of.tail;
    if (was.made.size() != was.rules.size()) continue;  // it was disabled
    for (std::size_t i = 0; i < all; ++i) left[i] = (i < of.head || i >= all - of.tail) && was.made[place_before(of, was, i)].lasting;
  }
}

std::size_t KnownRules::place_before(const Map& map, const Map& was, std::size_t rule) {
  return rule < map.head ? rule : rule + was.rules.size() - map.rules.size();
}

bool KnownRules::read(v1::Config& out) const {
  // What is no field to wire_fields, groups, may hide some: no message of ours has any.
  const auto all = [](int found, const Parts& parts) { return static_cast<std::size_t>(found) == parts.size(); };
  if (!parse(without_wire_fields(*bytes_, v1::Config::kMapsFieldNumber), out) || out.maps_size() > 0 ||
      !all(out.filters_size(), filters_) || !all(out.address_sets_size(), sets_))
    return false;
  for (std::size_t m = 0; m < of_.size(); ++m) {
    v1::Map& map = *out.add_maps();
    if (!parse(without_wire_fields(of_[m].bytes, v1::Map::kRulesFieldNumber), map) || map.rules_size() > 0 || map.id() != of_[m].id)
      return false;
    map.mutable_rules()->Reserve(static_cast<int>(of_[m].rules.size()));
    for (std::size_t i = 0; i < of_[m].rules.size(); ++i) {
      v1::Rule& rule = *map.add_rules();
      const std::string_view part = of_[m].rules[i];
      if (!left_[m][i] && (!parse(part, rule) || rule.id() != wire_field(part, v1::Rule::kIdFieldNumber))) return false;
    }
  }
  return true;
}

v1::Rule KnownRules::read_rule(int map, int rule) const {
  v1::Rule out;
  parse(of_[static_cast<std::size_t>(map)].rules[static_cast<std::size_t>(rule)], out);  // it could be read before
  return out;
}

bool KnownRules::was_left(int map, int rule) const {
  const auto m = static_cast<std::size_t>(map);
  return m < left_.size() && left_[m][static_cast<std::size_t>(rule)];
}

KnownRules::Rule KnownRules::from(const KnownRules& before, int map, int rule, const Side& a, const Side& b) const {
  if (!was_left(map, rule)) return {};
  const Map& now = of_[static_cast<std::size_t>(map)];
  const Map& was = before.of_[now.was];
  if (was.a != a || was.b != b) return {};
  const auto place = static_cast<std::size_t>(rule);
  const Made& made = was.made[place_before(now, was, place)];
  return {(*before.maps_)[was.classified].rules[made.place].match, made.size, made.slot, wire_field(now.rules[place], v1::Rule::kIdFieldNumber), made.pass};
}

void KnownRules::made(int map, uint32_t classified, const Side& a, const Side& b, std::vector<Made> rules) {
  const auto place = static_cast<std::size_t>(map);
  if (place >= of_.size()) return;
  Map& of = of_[place];
  of.classified = classified, of.a = a, of.b = b, of.made = std::move(rules);
}

}  // namespace sluice::compile
