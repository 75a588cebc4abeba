#include "compile/shadows.h"

#include <algorithm>
#include <map>

namespace sluice::compile {
namespace {

/// What one alternative asks, each field once, in the order of fields.
using Asked = std::vector<Criterion>;

std::size_t size_of(const Values& values) { return values.numbers.size() + values.ipv6.size(); }

Asked asked_by(const Alternative& alternative, std::size_t& compared) {
  Asked out = alternative.criteria;
  std::sort(out.begin(), out.end(), [](const Criterion& a, const Criterion& b) { return a.where < b.where; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (kept == 0 || out[kept - 1].where != out[i].where) out[kept++] = out[i];
    else {
      compared += size_of(*out[kept - 1].values) + size_of(*out[i].values);
      out[kept - 1].values = std::make_shared<const Values>(intersection(*out[kept - 1].values, *out[i].values));
    }
  }
  out.resize(kept);
  return out;
}

bool is_empty(const Asked& asked) {
  return std::any_of(asked.begin(), asked.end(), [](const Criterion& c) { return size_of(*c.values) == 0; });
}

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

/// Alternatives that ask about the same fields, to be found by a value of one of them: an implicit interval tree.
class Group {
 public:
  struct Member {
    std::size_t rule;
    const Asked* asked;  ///< lives as long as the group
  };
  std::vector<Member> members;

  [[nodiscard]] bool asks_less_than(const Asked& other) const {
    const Asked& ours = *members.front().asked;
    return std::includes(other.begin(), other.end(), ours.begin(), ours.end(),
                         [](const Criterion& a, const Criterion& b) { return a.where < b.where; });
  }

  /// By the field whose values tell most members apart. Members that share their values, an address set's, share its ranges too.
  void index(std::size_t& compared) {
    std::size_t most = 0;
    std::vector<std::pair<Key, Key>> firsts;
    for (std::size_t f = 0; f < members.front().asked->size(); ++f) {
      firsts.clear();
      for (const Member& member : members) firsts.push_back(first_of(*(*member.asked)[f].values));
      std::sort(firsts.begin(), firsts.end());
      const auto different = static_cast<std::size_t>(std::unique(firsts.begin(), firsts.end()) - firsts.begin());
      if (different > most) most = different, field_ = f;
    }
    if (members.front().asked->empty()) return;
    std::map<const Values*, std::size_t> known;
    for (std::size_t m = 0; m < members.size(); ++m) {
      const Values& values = *(*members[m].asked)[field_].values;
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
    if (members.front().asked->empty()) {
      for (const Member& member : members) {
        const bool beyond = member.rule >= bound;  // as all that follow
        if (!f(member)) return false;
        if (beyond) break;
      }
      return true;
    }
    const auto wanted =
        std::find_if(asked.begin(), asked.end(), [&](const Criterion& c) { return c.where == (*members.front().asked)[field_].where; });
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
        const bool beyond = members[member].rule >= bound;
        if (!f(members[member])) return false;
        if (beyond) break;
      }
    return stab(middle + 1, end, v6, key, bound, f);
  }

  std::size_t field_ = 0;
  std::vector<Range> ranges_;
  std::vector<std::vector<std::size_t>> sharers_;
  std::vector<std::pair<bool, Key>> furthest_;
};

}  // namespace

Shadows find_shadows(const std::vector<ClassifierRule>& rules, std::size_t& compared) {
  std::vector<std::vector<Asked>> all(rules.size());
  std::map<std::vector<Where>, Group> groups;
  std::vector<Where> fields;
  for (std::size_t r = 0; r < rules.size(); ++r) {
    all[r].reserve(rules[r].match.alternatives.size());  // groups point into it
    for (const Alternative& alternative : rules[r].match.alternatives) {
      if (compared >= kMostCompared) return {{}, true};
      Asked asked = asked_by(alternative, compared);
      if (is_empty(asked)) continue;  // never matches
      all[r].push_back(std::move(asked));
      if (alternative.remainder) continue;
      fields.clear();
      for (const Criterion& criterion : all[r].back()) fields.push_back(criterion.where);
      groups[fields].members.push_back({r, &all[r].back()});
    }
  }
  for (auto& [shared, group] : groups) {
    group.index(compared);
    if (compared >= kMostCompared) return {{}, true};
  }

  Shadows out;
  /// The first earlier rule that has all that an alternative asks for.
  const auto coverer = [&](std::size_t rule, const Asked& asked) {
    std::optional<std::size_t> by;
    std::size_t bound = rule;
    for (const auto& [shared, group] : groups) {
      if (++compared >= kMostCompared) return by;
      if (!group.asks_less_than(asked)) continue;
      group.each(asked, bound, [&](const Group::Member& member) {
        ++compared;
        if (member.rule >= bound) return compared < kMostCompared;
        auto theirs = asked.begin();
        for (const Criterion& ours : *member.asked) {
          while (theirs->where != ours.where) ++theirs;
          if (ours.values != theirs->values) compared += size_of(*ours.values) + size_of(*theirs->values);
          if (!contains(*ours.values, *theirs->values)) return compared < kMostCompared;
        }
        by = bound = member.rule;
        return compared < kMostCompared;
      });
    }
    return by;
  };
  for (std::size_t r = 0; r < rules.size() && compared < kMostCompared; ++r) {
    std::optional<std::size_t> last;  // of those that hide its alternatives
    bool hidden = true;
    for (const Asked& asked : all[r]) {
      if (compared >= kMostCompared) hidden = false;  // it is not known
      if (!hidden) break;
      const auto by = coverer(r, asked);
      if (!by) hidden = false;
      if (!hidden) break;
      last = std::max(last.value_or(0), *by);
    }
    if (hidden) out.rules.push_back({r, last});
  }
  out.ended = compared >= kMostCompared;
  return out;
}

std::vector<std::string> shadow_warnings(const std::vector<ClassifierMap>& maps, const std::vector<CountedRules>& counted) {
  constexpr std::size_t kMostWarnings = 100;
  std::vector<std::string> out;
  std::size_t compared = 0;
  for (std::size_t m = 0; m < maps.size(); ++m) {
    const auto& [map, numbers] = counted[m];
    const Shadows shadows = find_shadows(maps[m].rules, compared);
    for (const auto& [rule, by] : shadows.rules) {
      if (out.size() == kMostWarnings) {
        out.emplace_back("more rules are never reached");
        return out;
      }
      const std::string which = "maps/" + map + ": rule " + std::to_string(numbers[rule]);
      out.push_back(by ? which + " is never reached: rule " + std::to_string(numbers[*by]) + " comes first and matches all of it"
                       : which + " matches no packet: what it asks for contradicts itself");
    }
    if (shadows.ended) out.push_back("maps/" + map + ": not all rules were looked at for others that hide them: they overlap too much");
  }
  return out;
}

}  // namespace sluice::compile
