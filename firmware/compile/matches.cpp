#include "compile/matches.h"

namespace sluice::compile {

Matches::Matches(const v1::Config& config) : config_(config) {
  for (int i = 0; i < config_.filters_size(); ++i) filter_index_.emplace(config_.filters(i).id(), i);
}

Result<void> Matches::read_sets(const std::map<std::string, SetValues>* known) {
  if (known) context_.address_sets = *known;
  for (int i = 0; !known && i < config_.address_sets_size(); ++i) {
    const auto& set = config_.address_sets(i);
    auto values = compile_address_set(set, "address_sets[" + std::to_string(i) + "]");
    if (!values) return values.error();
    context_.address_sets.emplace(set.id(), std::move(*values));
  }
  for (const auto& [id, values] : context_.address_sets) shared_.insert(values.in.get()), shared_.insert(values.out.get());
  return {};
}

void Matches::begin_map(const std::bitset<kMaxPorts>& a, const std::bitset<kMaxPorts>& b) {
  context_.a = a, context_.b = b;
  filters_of_map_.clear();
}

Result<std::shared_ptr<const RuleMatch>> Matches::of_rule(const v1::Rule& rule, const Place& place) {
  auto asked = rule.filter().empty() ? compile_match(rule.match(), [&place] { return place() + ".match"; }, context_)
                                     : named(rule.filter(), place() + ".filter");
  if (!asked) return asked.error();
  return std::make_shared<const RuleMatch>(std::move(*asked));
}

Result<RuleMatch> Matches::of_filter(const std::string& id, const std::string& path) {
  auto asked = named(id, path);
  if (!asked) return asked;
  if (auto r = within_bounds(size_of(*asked), [&path] { return path; }); !r) return r.error();
  return asked;
}

Result<RuleMatch> Matches::named(const std::string& id, const std::string& path) {
  const auto found = filter_index_.find(id);
  if (found == filter_index_.end()) return Error{ErrorCode::kInvalid, path, "there is no filter \"" + id + "\""};
  if (const auto known = filters_of_map_.find(id); known != filters_of_map_.end()) return known->second;
  auto made = compile_filter(config_.filters(found->second), "filters[" + std::to_string(found->second) + "]", context_);
  if (made) filters_of_map_.emplace(id, *made);
  return made;
}

Matches::Size Matches::size_of(const RuleMatch& asked) const {
  Size out{static_cast<uint32_t>(asked.alternatives.size()), 0};
  for (const Alternative& alternative : asked.alternatives)
    for (const Criterion& criterion : alternative.criteria)
      if (!shared_.contains(criterion.values.get())) out.ranges += criterion.values->numbers.size() + criterion.values->ipv6.size();
  return out;
}

Result<void> Matches::within_bounds(const Size& size, const Place& place) {
  alternatives_ += size.alternatives, ranges_ += size.ranges;
  if (alternatives_ > Classifier::kMostRows)
    return Error{ErrorCode::kExhausted, place(),
                 "with this one the rules have more than " + std::to_string(Classifier::kMostRows) + " alternatives together"};
  if (ranges_ > Classifier::kMostRanges)
    return Error{ErrorCode::kExhausted, place(),
                 "with this one the rules name more than " + std::to_string(Classifier::kMostRanges) + " ranges of values together"};
  return {};
}

}  // namespace sluice::compile
