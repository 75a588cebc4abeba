// An observer that writes down what happens to each packet, for explain.
#pragma once

#include <string>
#include <vector>

#include "engine/observer.h"

namespace sluice {

/// One thing that happened to a packet. Numbers are positions in the snapshot; people's names are added by whoever has the Config.
struct TraceStep {
  enum class Kind : uint8_t {
    kParsed,
    kPacketDropped,
    kRulePassed,
    kRuleDropped,
    kDefaultPassed,
    kHidden,
    kUnmatched,
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
  const DropText* reason = nullptr;
  Parsed parsed{};
  std::vector<uint16_t> vlan_ids[2];      ///< of the outer and the inner layer set, outermost first
  std::vector<uint32_t> mpls_labels[2];
  uint32_t length = 0;
};

struct Tracer : Unwatched {
  /// Steps of all packets since the last clear, each packet's beginning with kParsed.
  std::vector<TraceStep> steps;

  void parsed(PortSlot port, const Frame& frame, const Parsed& p) {
    TraceStep step{.kind = TraceStep::Kind::kParsed, .port = port, .parsed = p, .length = frame.length};
    for (const bool inner : {false, true}) {
      const LayerSet& set = inner ? p.inner : p.outer;
      for (unsigned i = 0; i < set.vlan_count; ++i) step.vlan_ids[inner].push_back(vlan_tci(frame.data, set, i) & 0x0FFFU);
      for (unsigned i = 0; i < set.mpls_count; ++i) step.mpls_labels[inner].push_back(mpls_entry(frame.data, set, i) >> 12);
    }
    steps.push_back(std::move(step));
  }
  void packet_dropped(PacketDrop reason) { steps.push_back({.kind = TraceStep::Kind::kPacketDropped, .reason = &describe(reason)}); }
  void judged(const Verdict& v, uint32_t rule_slot, bool hidden) {
    using enum TraceStep::Kind;
    const auto kind = !v.pass ? kRuleDropped : v.rule == kNoRule ? kDefaultPassed : kRulePassed;
    steps.push_back({.kind = kind, .map = v.map, .rule_slot = rule_slot});
    if (hidden) steps.push_back({.kind = kHidden, .map = v.map});
  }
  void unmatched() { steps.push_back({.kind = TraceStep::Kind::kUnmatched}); }
  void distributed(uint32_t map, uint32_t group, PortSlot member) {
    steps.push_back({.kind = TraceStep::Kind::kDistributed, .port = member, .map = map, .group = group});
  }
  void merged(uint32_t map, PortSlot port) { steps.push_back({.kind = TraceStep::Kind::kMerged, .port = port, .map = map}); }
  void copy_dropped(uint32_t map, PortSlot port, CopyDrop reason) {
    steps.push_back({.kind = TraceStep::Kind::kCopyDropped, .port = port, .map = map, .reason = &describe(reason)});
  }
  void queued(uint32_t map, PortSlot port) { steps.push_back({.kind = TraceStep::Kind::kQueued, .port = port, .map = map}); }
};

}  // namespace sluice
