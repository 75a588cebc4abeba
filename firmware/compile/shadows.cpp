#include "compile/shadows.h"

#include <algorithm>
#include <deque>
#include <map>
#include <span>

namespace sluice::compile {
namespace {

/// Of a field, what is asked.
struct Ask {
  Where where;
  const Values* values;
};
/// Each field once, in the order of fields.
using Asked = std::span<const Ask>;

std::size_t size_of(const Values& values) { return values.numbers.size() + values.ipv6.size(); }

/// What the rules of a map ask for; those alternatives that never match are left out.
class AskingRules {
 public:
  struct Asking {
    std::size_t rule;
    Asked asked;
    bool hides;  ///< it has no remainder
  };

  /// Ends early, with is_whole() false, if too much was compared.
  AskingRules(const std::vector<ClassifierRule>& rules, std::size_t& compared) {
    std::size_t criteria = 0, alternatives = 0;
    for (const ClassifierRule& rule : rules)
      for (const Alternative& one : rule.match->alternatives) criteria += one.criteria.size(), ++alternatives;
    asks_.reserve(criteria);  // what is asked points into it
    all_.reserve(alternatives);
    first_.reserve(rules.size() + 1);
    for (std::size_t r = 0; r < rules.size(); ++r) {
      first_.push_back(all_.size());
      for (const Alternative& one : rules[r].match->alternatives) {
        if (compared >= kMostCompared) return;
        const Asked asked = add(one, compared);
        if (std::all_of(asked.begin(), asked.end(), [](const Ask& ask) { return size_of(*ask.values) > 0; }))
          all_.push_back({r, asked, !one.remainder});
      }
    }
    first_.push_back(all_.size());
    whole_ = true;
  }
  [[nodiscard]] bool is_whole() const { return whole_; }
  [[nodiscard]] std::span<const Asking> all() const { return all_; }
  [[nodiscard]] std::span<const Asking> of(std::size_t rule) const { return all().subspan(first_[rule], first_[rule + 1] - first_[rule]); }

 private:
  Asked add(const Alternative& alternative, std::size_t& compared) {
    const std::size_t begin = asks_.size();
    for (const Criterion& one : alternative.criteria) asks_.push_back({one.where, one.values.get()});
    const auto first = asks_.begin() + static_cast<std::ptrdiff_t>(begin);
    std::sort(first, asks_.end(), [](const Ask& a, const Ask& b) { return a.where < b.where; });
    std::size_t end = begin;
    for (std::size_t i = begin; i < asks_.size(); ++i) {
      if (end == begin || asks_[end - 1].where != asks_[i].where) asks_[end++] = asks_[i];
      else {
        compared += size_of(*asks_[end - 1].values) + size_of(*asks_[i].values);
        asks_[end - 1].values = &made_.emplace_back(intersection(*asks_[end - 1].values, *asks_[i].values));
      }
    }
    asks_.resize(end);
    return Asked(asks_).subspan(begin);
  }

  std::vector<Ask> asks_;
  std::deque<Values> made_;
  std::vector<Asking> all_;
  std::vector<std::size_t> first_;
  bool whole_ = false;
};

/// Both sorted and disjoint.
bool contains(const std::vector<Interval>& outer, const std::vector<Interval>& inner) {
  auto at = outer.begin();
  for (const Interval& one : inner) {
    at = std::find_if(at, outer.end(), [&one](const Interval& o) { return o.to >= one.from; });
    if (at == outer.end() || at->from > one.from || at->to < one.to) return false;
  }
  return true;
}

bool contains(const Values& outer, const Values& inner) {
  return &outer == &inner || (contains(outer.numbers, inner.numbers) && contains(outer.ipv6, inner.ipv6));
}

/// Whether all that `inner` matches is matched by `outer`.
bool covers(const Asked& outer, const Asked& inner, std::size_t& compared) {
  auto theirs = inner.begin();
  for (const Ask& ours : outer) {
    while (theirs != inner.end() && theirs->where < ours.where) ++theirs;
    if (theirs == inner.end() || theirs->where != ours.where) return false;
    if (ours.values != theirs->values) compared += size_of(*ours.values) + size_of(*theirs->values);
    if (!contains(*ours.values, *theirs->values)) return false;
  }
  return true;
}

/// Alternatives that ask about the same fields, to be found by a value of one of them: an implicit interval tree.
class Group {
 public:
  std::vector<const AskingRules::Asking*> members;  ///< in the order of rules

  [[nodiscard]] bool asks_less_than(const Asked& other) const {
    const Asked& ours = members.front()->asked;
    return std::includes(other.begin(), other.end(), ours.begin(), ours.end(), [](const Ask& a, const Ask& b) { return a.where < b.where; });
  }

  /// By the field whose values tell most members apart. Members that share their values, an address set's, share its ranges too.
  void index(std::size_t& compared) {
    std::size_t most = 0;
    std::vector<std::pair<Key, Key>> firsts;
    for (std::size_t f = 0; f < members.front()->asked.size(); ++f) {
      firsts.clear();
      for (const auto* member : members) firsts.push_back(first_of(*member->asked[f].values));
      std::sort(firsts.begin(), firsts.end());
      const auto different = static_cast<std::size_t>(std::unique(firsts.begin(), firsts.end()) - firsts.begin());
      if (different > most) most = different, field_ = f;
    }
    if (members.front()->asked.empty()) return;
    std::map<const Values*, std::size_t> known;
    for (std::size_t m = 0; m < members.size(); ++m) {
      const Values& values = *members[m]->asked[field_].values;
      const auto [sharer, is_new] = known.try_emplace(&values, sharers_.size());
      if (is_new) {
        sharers_.emplace_back();
        compared += size_of(values);
        if (compared >= kMostCompared) return;
        for (const auto* list : {&values.numbers, &values.ipv6})
          for (const Interval& one : *list) ranges_.push_back({one, list == &values.ipv6, sharer->second});
      }
      sharers_[sharer->second].push_back(m);
    }
    std::sort(ranges_.begin(), ranges_.end(),
              [](const Range& a, const Range& b) { return a.v6 != b.v6 ? b.v6 : a.interval.from < b.interval.from; });
    furthest_.resize(ranges_.size());
    if (!ranges_.empty()) measure(0, ranges_.size());
  }

  /// f(member) for those whose values have the first of what is asked for, until it says no: of members that share a range no more than
  /// one whose rule is not before `bound`, which f may lower.
  bool each(const Asked& asked, const std::size_t& bound, auto&& f) const {
    if (members.front()->asked.empty()) {
      for (const auto* member : members) {
        const bool beyond = member->rule >= bound;  // as all that follow
        if (!f(*member)) return false;
        if (beyond) break;
      }
      return true;
    }
    const auto wanted =
        std::find_if(asked.begin(), asked.end(), [&](const Ask& ask) { return ask.where == members.front()->asked[field_].where; });
    const bool v6 = wanted->values->numbers.empty();
    const Key key = v6 ? wanted->values->ipv6.front().from : wanted->values->numbers.front().from;
    return stab(0, ranges_.size(), v6, key, bound, f);
  }

 private:
  struct Range {
    Interval interval;
    bool v6;
    std::size_t sharer;  ///< those members that have this range
  };
  static std::pair<Key, Key> first_of(const Values& values) {
    const auto& list = values.numbers.empty() ? values.ipv6 : values.numbers;
    return list.empty() ? std::pair<Key, Key>{} : std::pair{list.front().from, list.front().to};
  }
  /// The furthest end of ranges in [begin, end), whose root is in the middle; of IPv6 ones where there are any.
  std::pair<bool, Key> measure(std::size_t begin, std::size_t end) {
    const std::size_t middle = begin + (end - begin) / 2;
    std::pair<bool, Key> furthest{ranges_[middle].v6, ranges_[middle].interval.to};
    if (begin < middle) furthest = std::max(furthest, measure(begin, middle));
    if (middle + 1 < end) furthest = std::max(furthest, measure(middle + 1, end));
    return furthest_[middle] = furthest;
  }
  bool stab(std::size_t begin, std::size_t end, bool v6, Key key, const std::size_t& bound, auto& f) const {
    if (begin >= end) return true;
    const std::size_t middle = begin + (end - begin) / 2;
    if (furthest_[middle] < std::pair{v6, key}) return true;
    if (!stab(begin, middle, v6, key, bound, f)) return false;
    const Range& here = ranges_[middle];
    if (std::pair{here.v6, here.interval.from} > std::pair{v6, key}) return true;
    if (here.v6 == v6 && here.interval.to >= key)
      for (const std::size_t member : sharers_[here.sharer]) {
        const bool beyond = members[member]->rule >= bound;
        if (!f(*members[member])) return false;
        if (beyond) break;
      }
    return stab(middle + 1, end, v6, key, bound, f);
  }

  std::size_t field_ = 0;
  std::vector<Range> ranges_;
  std::vector<std::vector<std::size_t>> sharers_;
  std::vector<std::pair<bool, Key>> furthest_;
};

/// Where rules are found that cover another: in groups of those that ask about the same fields.
class Coverers {
 public:
  /// Ends early if too much was compared.
  Coverers(const AskingRules& asking, std::size_t& compared) {
    std::vector<Where> fields;
    for (const auto& one : asking.all()) {
      if (!one.hides) continue;
      fields.clear();
      for (const Ask& ask : one.asked) fields.push_back(ask.where);
      groups_[fields].members.push_back(&one);
    }
    for (auto& [shared, group] : groups_) {
      group.index(compared);
      if (compared >= kMostCompared) return;
    }
  }

  /// The first earlier rule that covers it. Ends early, as above.
  [[nodiscard]] std::optional<std::size_t> of(const AskingRules::Asking& one, std::size_t& compared) const {
    std::optional<std::size_t> by;
    std::size_t bound = one.rule;
    for (const auto& [shared, group] : groups_) {
      if (++compared >= kMostCompared) return by;
      if (!group.asks_less_than(one.asked)) continue;
      group.each(one.asked, bound, [&](const AskingRules::Asking& member) {
        ++compared;
        if (member.rule < bound && covers(member.asked, one.asked, compared)) by = bound = member.rule;
        return compared < kMostCompared;
      });
    }
    return by;
  }

 private:
  std::map<std::vector<Where>, Group> groups_;
};

/// A rule, if nothing gets to it. coverer(alternative): the first earlier rule that covers it; by: none.
std::optional<Unreachable> hidden(std::size_t rule, const AskingRules& asking, const auto& coverer) {
  Unreachable out{rule, std::nullopt};
  for (const auto& one : asking.of(rule)) {
    const std::optional<std::size_t> by = coverer(one);
    if (!by) return std::nullopt;
    out.by = std::max(out.by.value_or(0), *by);
  }
  return out;
}

/// Of all rules.
Shadows search_all(std::size_t rules, const AskingRules& asking, std::size_t& compared) {
  const Coverers coverers(asking, compared);
  Shadows out;
  for (std::size_t r = 0; r < rules && compared < kMostCompared; ++r)
    if (const auto found = hidden(r, asking, [&](const auto& one) { return compared < kMostCompared ? coverers.of(one, compared) : std::nullopt; }))
      out.rules.push_back(*found);
  out.ended = compared >= kMostCompared;
  return out;
}

bool same(const ClassifierRule& a, const ClassifierRule& b) {
  constexpr std::size_t kFew = 16;  // values that are not shared are compared if they are so few
  const auto values = [](const Criterion& x, const Criterion& y) {
    return x.where == y.where && (x.values == y.values || (size_of(*x.values) <= kFew && *x.values == *y.values));
  };
  const auto alternatives = [&values](const Alternative& x, const Alternative& y) {
    return !x.remainder == !y.remainder && std::equal(x.criteria.begin(), x.criteria.end(), y.criteria.begin(), y.criteria.end(), values);
  };
  if (a.match == b.match) return true;
  const auto &one = a.match->alternatives, &other = b.match->alternatives;
  return std::equal(one.begin(), one.end(), other.begin(), other.end(), alternatives);
}

/// As search_all(), for a map that was changed in a few rules: those are compared with all others, one by one, and whom they hid, or hide now,
/// is sought. Nothing: they are not few, or it takes long.
std::optional<Shadows> search_changed(const std::vector<ClassifierRule>& rules, const KnownShadows& before, const AskingRules& asking) {
  constexpr std::size_t kFew = 32;
  const std::size_t patience = std::min(1024 + 32 * asking.all().size(), kMostCompared / 2);
  std::size_t compared = 0;
  const std::size_t shorter = std::min(rules.size(), before.rules.size());
  std::size_t head = 0, tail = 0;
  while (head < shorter && same(rules[head], before.rules[head])) ++head;
  while (tail < shorter - head && same(rules[rules.size() - 1 - tail], before.rules[before.rules.size() - 1 - tail])) ++tail;
  const std::size_t end = rules.size() - tail, before_end = before.rules.size() - tail;
  if (end - head > kFew) return std::nullopt;
  const auto first = [&](const AskingRules::Asking& one, std::size_t from, std::size_t to) {
    for (std::size_t r = from; r < to; ++r)
      for (const auto& other : asking.of(r)) {
        if (++compared >= patience) return std::optional<std::size_t>();
        if (other.hides && covers(other.asked, one.asked, compared)) return std::optional(r);
      }
    return std::optional<std::size_t>();
  };
  std::optional<Coverers> coverers;
  const auto seek = [&](std::size_t rule) {
    if (!coverers) coverers.emplace(asking, compared);
    return hidden(rule, asking, [&](const auto& one) { return compared < patience ? coverers->of(one, compared) : std::nullopt; });
  };

  Shadows out;
  auto known = before.found.rules.begin();
  for (; known != before.found.rules.end() && known->rule < head; ++known) out.rules.push_back(*known);
  for (std::size_t r = head; r < end; ++r)
    if (const auto found = hidden(r, asking, [&](const auto& one) { return first(one, 0, r); })) out.rules.push_back(*found);
  while (known != before.found.rules.end() && known->rule < before_end) ++known;
  for (std::size_t r = end; r < rules.size(); ++r) {
    const bool was_hidden = known != before.found.rules.end() && known->rule - before_end == r - end;
    const auto by = was_hidden ? (known++)->by : std::nullopt;
    // What hides it is among the rules before the change, or it matches nothing: so it stays.
    if (was_hidden && (!by || *by < head)) {
      out.rules.push_back({r, by});
      continue;
    }
    const auto alternatives = asking.of(r);
    const bool hider_is_gone = was_hidden && *by < before_end;
    if (alternatives.size() == 1 && !hider_is_gone) {
      // No rule before the changed ones covers it, so the first of these that does; else what hid it.
      if (const auto changed = first(alternatives.front(), head, end)) out.rules.push_back({r, changed});
      else if (was_hidden) out.rules.push_back({r, *by - before_end + end});
      continue;
    }
    if (!was_hidden && std::none_of(alternatives.begin(), alternatives.end(), [&](const auto& one) { return first(one, head, end); })) continue;
    if (const auto found = seek(r)) out.rules.push_back(*found);
    if (compared >= patience) return std::nullopt;
  }
  if (compared >= patience) return std::nullopt;
  out.compared = before.found.compared + compared;
  return out;
}

}  // namespace

Shadows find_shadows(const std::vector<ClassifierRule>& rules, std::size_t& compared, const std::optional<KnownShadows>& before) {
  const std::size_t begin = compared;
  const AskingRules asking(rules, compared);
  if (!asking.is_whole()) return {{}, true, compared - begin};
  // Where the bound may be met, it is met or not as it would be from nothing.
  if (before && !before->found.ended && begin + before->found.compared < kMostCompared / 2)
    if (auto found = search_changed(rules, *before, asking)) {
      compared = begin + found->compared;
      return *found;
    }
  Shadows found = search_all(rules.size(), asking, compared);
  found.compared = compared - begin;
  return found;
}

MapShadows find_shadows(std::shared_ptr<const std::vector<ClassifierMap>> maps, const std::vector<CountedRules>& counted, const MapShadows& before) {
  MapShadows out{std::move(maps), {}, {}};
  std::size_t compared = 0;
  for (std::size_t m = 0; m < out.maps->size(); ++m) {
    const auto was = before.place.find(counted[m].map);
    const auto known = was == before.place.end()
                           ? std::optional<KnownShadows>()
                           : KnownShadows{(*before.maps)[was->second].rules, before.found[was->second]};
    out.found.push_back(find_shadows((*out.maps)[m].rules, compared, known));
    out.place.emplace(counted[m].map, m);
  }
  return out;
}

std::vector<std::string> shadow_warnings(const MapShadows& shadows, const std::vector<CountedRules>& counted) {
  constexpr std::size_t kMostWarnings = 100;
  std::vector<std::string> out;
  for (std::size_t m = 0; m < counted.size(); ++m) {
    const auto& [map, numbers] = counted[m];
    for (const auto& [rule, by] : shadows.found[m].rules) {
      if (out.size() == kMostWarnings) {
        out.emplace_back("more rules are never reached");
        return out;
      }
      const std::string which = "maps/" + map + ": rule " + std::to_string(numbers[rule]);
      out.push_back(by ? which + " is never reached: rule " + std::to_string(numbers[*by]) + " comes first and matches all of it"
                       : which + " matches no packet: what it asks for contradicts itself");
    }
    if (shadows.found[m].ended) out.push_back("maps/" + map + ": not all rules were looked at for others that hide them: they overlap too much");
  }
  return out;
}

}  // namespace sluice::compile
