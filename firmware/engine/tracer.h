// An observer that writes down what happens to each packet, for explain.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/net.h"
#include "engine/classify/mismatch.h"
#include "engine/observer.h"
#include "engine/snapshot.h"

namespace sluice {

/// A rule that comes before the one that decides, or before the map's default, and does not match.
struct MissedRule {
  uint32_t rule_slot = 0;
  std::vector<Mismatch> why;
};

/// One thing that happened to a packet. Numbers are positions in the snapshot; people's names are added by whoever has the Config.
struct TraceStep {
  enum class Kind : uint8_t {
    kParsed,
    kPacketDropped,
    kCompared,
    kDuplicate,
    kNoSource,  ///< neither the map's sources nor its VLANs have the packet
    kDefaultDropped,
    kRulePassed,
    kRuleDropped,
    kDefaultPassed,
    kHidden,
    kUnmatched,
    kLimited,
    kDistributed,
    kMerged,
    kCopyDropped,
    kQueued,
  };
  Kind kind;
  PortSlot port = kNoPort;
  uint32_t map = 0;
  uint32_t rule_slot = 0;  ///< of the rule's counters
  uint32_t group = 0;
  uint8_t domain = kNoDomain;
  const DropText* reason = nullptr;
  Parsed parsed{};
  std::vector<uint16_t> vlan_ids[2];  ///< of the outer and the inner layer set, outermost first
  std::vector<uint32_t> mpls_labels[2];
  std::optional<std::pair<IpAddress, IpAddress>> addresses[2];  ///< source and destination
  std::vector<MissedRule> missed;                               ///< of a map: the rules that come nearest, in order
  uint32_t more_missed = 0;                                     ///< that are not among them
  uint32_t length = 0;                                          ///< bytes: of the packet where parsed, of the copy where queued
  Priority priority = Priority::kNormal;                        ///< where queued
  uint64_t bit_limit = 0, packet_limit = 0;                     ///< per second; 0: none
};

struct Tracer : Unwatched {
  static constexpr bool kWatches = true;
  /// Of every packet since the last clear, in the order in which they came: what happened to it.
  std::vector<std::vector<TraceStep>> packets;

  void parsed(unsigned i, PortSlot port, const Burst& burst) {
    const Parsed& p = burst.parsed[i];
    TraceStep step{.kind = TraceStep::Kind::kParsed, .port = port, .parsed = p, .length = burst.lengths[i]};
    for (const bool inner : {false, true}) {
      const LayerSet& set = inner ? p.inner : p.outer;
      for (unsigned v = 0; v < set.vlan_count; ++v) step.vlan_ids[inner].push_back(vlan_tci(burst.frames[i].data, set, v) & 0x0FFFU);
      for (unsigned m = 0; m < set.mpls_count; ++m) step.mpls_labels[inner].push_back(mpls_entry(burst.frames[i].data, set, m) >> 12);
      if ((inner && !p.has_inner) || !set.is_ip()) continue;
      const AddressView view = addresses(burst.frames[i].data, set);
      auto& pair = step.addresses[inner].emplace();
      pair.first.version = pair.second.version = set.l3 == L3::kIpv4 ? 4 : 6;
      std::memcpy(pair.first.bytes.data(), view.src, view.size);
      std::memcpy(pair.second.bytes.data(), view.dst, view.size);
    }
    at_[i] = packets.size();
    packets.emplace_back().push_back(std::move(step));
  }
  void kept(uint64_t mask) {
    unsigned left = 0;
    for (unsigned i = 0; i < kBurst; ++i)
      if (mask >> i & 1) at_[left++] = at_[i];
  }
  void packet_dropped(unsigned i, PacketDrop reason) { add(i, {.kind = TraceStep::Kind::kPacketDropped, .reason = &describe(reason)}); }
  void compared(unsigned i, uint8_t domain, bool duplicate) {
    add(i, {.kind = duplicate ? TraceStep::Kind::kDuplicate : TraceStep::Kind::kCompared, .domain = domain});
  }
  void classified(const Snapshot& snapshot, const Burst& burst, PortSlot port, const VerdictBuffer& verdicts) {
    PayloadScanner::Seen seen;
    for (unsigned i = 0; i < burst.size; ++i)
      for (const ClassifierMap& map : snapshot.classifier.maps()) look_at(i, map, snapshot, {burst, i, port, &seen}, verdicts);
  }
  void judged(unsigned i, const Verdict& v, uint32_t rule_slot, bool hidden) {
    using enum TraceStep::Kind;
    TraceStep& step = missed_[{i, v.map}];
    step.kind = !v.pass ? kRuleDropped : v.rule == kNoRule ? kDefaultPassed : kRulePassed;
    step.map = v.map;
    step.rule_slot = rule_slot;
    add(i, std::move(step));
    if (hidden) add(i, {.kind = kHidden, .map = v.map});
  }
  void unmatched(unsigned i) { add(i, {.kind = TraceStep::Kind::kUnmatched}); }
  void distributed(unsigned i, uint32_t map, uint32_t group, PortSlot member) {
    add(i, {.kind = TraceStep::Kind::kDistributed, .port = member, .map = map, .group = group});
  }
  void merged(unsigned i, uint32_t map, PortSlot port) { add(i, {.kind = TraceStep::Kind::kMerged, .port = port, .map = map}); }
  void copy_dropped(unsigned i, uint32_t map, PortSlot port, CopyDrop reason) {
    add(i, {.kind = TraceStep::Kind::kCopyDropped, .port = port, .map = map, .reason = &describe(reason)});
  }
  void limited(unsigned i, uint32_t map, const SnapshotDestination& destination) {
    TraceStep step{.kind = TraceStep::Kind::kLimited, .port = destination.port, .map = map, .group = destination.group};
    if (destination.limit) step.bit_limit = destination.limit->rate();
    if (destination.packet_limit) step.packet_limit = destination.packet_limit->rate();
    add(i, std::move(step));
  }
  void queued(unsigned i, uint32_t map, PortSlot port, uint32_t bytes, Priority priority) {
    add(i, {.kind = TraceStep::Kind::kQueued, .port = port, .map = map, .length = bytes, .priority = priority});
  }

 private:
  /// A map that has no verdict about the packet gets its step here; of another the rules that do not match wait for judged().
  void look_at(unsigned i, const ClassifierMap& map, const Snapshot& snapshot, const PacketView& packet, const VerdictBuffer& verdicts) {
    using enum TraceStep::Kind;
    const auto sources = map.sources();
    if (!std::all_of(sources.begin(), sources.end(), [&](const Criterion& c) { return holds(c, packet); }))
      return add(i, {.kind = kNoSource, .map = map.map});
    const auto* const begin = &verdicts.verdicts[verdicts.begin[i]];
    const auto* const end = &verdicts.verdicts[verdicts.begin[i + 1]];
    const auto* const verdict = std::find_if(begin, end, [&map](const Verdict& v) { return v.map == map.map; });
    TraceStep step{.kind = kDefaultDropped, .map = map.map};
    for (const ClassifierRule& rule : map.rules) {
      if (verdict != end && rule.index == verdict->rule) break;
      step.missed.push_back({snapshot.rule_slots[rule.index], mismatches(*rule.match, packet)});
    }
    keep_nearest(step);
    if (verdict == end) add(i, std::move(step));
    else missed_[{i, map.map}] = std::move(step);
  }
  static void keep_nearest(TraceStep& step) {
    constexpr std::size_t kMostMissed = 32;
    if (step.missed.size() <= kMostMissed) return;
    std::vector<std::size_t> sizes;
    for (const MissedRule& rule : step.missed) sizes.push_back(rule.why.size());
    std::nth_element(sizes.begin(), sizes.begin() + kMostMissed, sizes.end());
    // Those that are nearer than the one at the bound all fit; of the equally near, the first.
    const std::size_t bound = sizes[kMostMissed];
    std::size_t alike =
        kMostMissed - static_cast<std::size_t>(std::count_if(sizes.begin(), sizes.end(), [&](auto s) { return s < bound; }));
    const std::size_t before = step.missed.size();
    std::erase_if(step.missed, [&](const MissedRule& rule) {
      if (rule.why.size() != bound) return rule.why.size() > bound;
      if (alike == 0) return true;
      --alike;
      return false;
    });
    step.more_missed = static_cast<uint32_t>(before - step.missed.size());
  }
  void add(unsigned i, TraceStep step) { packets[at_[i]].push_back(std::move(step)); }
  std::map<std::pair<unsigned, uint32_t>, TraceStep> missed_;  ///< by packet of the burst and map, until it is judged
  std::array<std::size_t, kBurst> at_{};                       ///< where in `packets` the packets of the burst at hand are
};

}  // namespace sluice
