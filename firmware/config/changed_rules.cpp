#include "config/changed_rules.h"

#include <algorithm>
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

RuleWindow window(const std::string& before, const std::string& after) {
  const auto was = wire_fields(before, v1::Map::kRulesFieldNumber), is = wire_fields(after, v1::Map::kRulesFieldNumber);
  const auto differ = std::mismatch(was.begin(), was.end(), is.begin(), is.end());
  auto was_end = was.end();
  auto is_end = is.end();
  while (was_end != differ.first && is_end != differ.second && *(was_end - 1) == *(is_end - 1)) --was_end, --is_end;
  return {static_cast<int>(differ.first - was.begin()), static_cast<int>(was_end - was.begin()), static_cast<int>(is_end - is.begin())};
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
    by_place_.push_back(known ? window(was->second, bytes_of(map)) : std::optional<RuleWindow>());
    if (by_place_.back()) by_map_.emplace(&map, *by_place_.back());
  }
}

std::pair<int, int> ChangedRules::range(const pb::Message& message, const pb::FieldDescriptor& field, int n) const {
  if (by_map_.empty() || &field != &rules_field()) return {0, n};
  const auto found = by_map_.find(&message);
  return found == by_map_.end() ? std::pair(0, n) : std::pair(found->second.begin, found->second.end);
}

std::optional<RuleWindow> ChangedRules::of_map(int place) const {
  return static_cast<std::size_t>(place) < by_place_.size() ? by_place_[static_cast<std::size_t>(place)] : std::nullopt;
}

}  // namespace sluice::config
