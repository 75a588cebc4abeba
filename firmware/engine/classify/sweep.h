// Which values of a field no rule tells apart: its classes.
#pragma once

#include <algorithm>
#include <map>
#include <random>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/classify/dimension.h"

namespace sluice {

/// Goes through the values of a field in ascending order and tells the classes apart. Rules that ask for the same values are a group that
/// comes and goes together; which groups are there is remembered by a sum of random numbers, so that a class seen before costs nothing.
class Sweep {
 public:
  explicit Sweep(const std::vector<Dimension::Ask>& asks) {
    std::unordered_multimap<uint64_t, uint32_t> known;
    std::unordered_map<const Values*, uint32_t> seen;  // shared ones are not looked at again
    for (const auto& ask : asks) {
      if (const auto again = seen.find(ask.values); again != seen.end()) {
        groups_[again->second].bits.push_back(ask.bit);
        continue;
      }
      const uint64_t hash = hash_of(*ask.values);
      auto [same, end] = known.equal_range(hash);
      while (same != end && groups_[same->second].values != ask.values && *groups_[same->second].values != *ask.values) ++same;
      if (same == end) {
        same = known.emplace(hash, static_cast<uint32_t>(groups_.size()));
        groups_.push_back({ask.values, {}, random_pair(), 0, false, false});
      }
      seen.emplace(ask.values, same->second);
      groups_[same->second].bits.push_back(ask.bit);
    }
  }

  struct Group {
    const Values* values;
    std::vector<uint32_t> bits;
    std::pair<uint64_t, uint64_t> number;
    int64_t span;  ///< classes within it; negative: up to the last value
    bool wide, active;
  };
  [[nodiscard]] const std::vector<Group>& groups() const { return groups_; }
  /// How many different classes there are so far. The first, 0, is that of no group.
  [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(known_.size()); }

  /// (first value, class) of each stretch of values, the first at 0. changed(group) is called for each group that comes or goes, and
  /// is_new() at each class that was not there before.
  std::vector<std::pair<Key, uint32_t>> run(bool v6, auto&& changed, auto&& is_new) {
    struct Event {
      Key at;
      uint32_t group;
      bool begins;
    };
    std::vector<Event> events;
    for (uint32_t g = 0; g < groups_.size(); ++g)
      for (const Interval& one : v6 ? groups_[g].values->ipv6 : groups_[g].values->numbers) {
        events.push_back({one.from, g, true});
        if (one.to != ~Key{0}) events.push_back({one.to + 1, g, false});
      }
    std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.at < b.at; });
    // Wide are groups that span many classes.
    for (Group& group : groups_) group.span = 0;
    int64_t number = 1;
    for (std::size_t e = 0; e < events.size(); ++e) {
      number += e > 0 && events[e].at != events[e - 1].at;
      groups_[events[e].group].span += events[e].begins ? -number : number;
    }
    for (Group& group : groups_) group.wide = group.span < 0 || group.span > kWidestInLeaf;

    std::vector<std::pair<Key, uint32_t>> out;
    const auto flip = [&](Group& group) {
      group.active = !group.active;
      add(sum_, group.number);
      changed(group);
    };
    std::size_t next = 0;
    for (Key at = 0;;) {
      for (; next < events.size() && events[next].at == at; ++next) flip(groups_[events[next].group]);
      const auto [here, unseen] = known_.try_emplace(sum_, size());
      if (unseen) is_new();
      if (out.empty() || out.back().second != here->second) out.emplace_back(at, here->second);
      if (next == events.size()) break;
      at = events[next].at;
    }
    // What reaches up to the last address is there still.
    for (Group& group : groups_)
      if (group.active) flip(group);
    return out;
  }
  void forget() { known_ = {{Sum{}, 0}}; }

  using Sum = std::pair<uint64_t, uint64_t>;
  static void add(Sum& sum, const Sum& number) {
    sum.first ^= number.first;
    sum.second ^= number.second;
  }

 private:
  static constexpr int64_t kWidestInLeaf = 48;

  Sum random_pair() { return {random_(), random_()}; }

  static uint64_t hash_of(const Values& values) {
    uint64_t hash = 0;
    for (const auto* list : {&values.numbers, &values.ipv6})
      for (const Interval& one : *list)
        for (const Key key : {one.from, one.to})
          for (const uint64_t half : {static_cast<uint64_t>(key), static_cast<uint64_t>(key >> 64)})
            hash = (hash ^ half) * 0x9E3779B97F4A7C15U + (hash >> 29);
    return hash;
  }

  // Nobody who writes rules can know these numbers, and so make two different sums equal.
  std::mt19937_64 random_{(uint64_t{std::random_device()()} << 32) | std::random_device()()};
  std::vector<Group> groups_;
  Sum sum_{};
  std::map<Sum, uint32_t> known_{{Sum{}, 0}};
};

}  // namespace sluice
