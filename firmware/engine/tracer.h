// An observer that writes down what happens to each packet, for explain.
#pragma once

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/net.h"
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
  std::vector<uint16_t> vlan_ids[2];  ///< of the outer and the inner layer set, outermost first
  std::vector<uint32_t> mpls_labels[2];
  std::optional<std::pair<IpAddress, IpAddress>> addresses[2];  ///< source and destination
  uint32_t length = 0;                                          ///< bytes: of the packet where parsed, of the copy where queued
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
  void packet_dropped(unsigned i, PacketDrop reason) { add(i, {.kind = TraceStep::Kind::kPacketDropped, .reason = &describe(reason)}); }
  void judged(unsigned i, const Verdict& v, uint32_t rule_slot, bool hidden) {
    using enum TraceStep::Kind;
    const auto kind = !v.pass ? kRuleDropped : v.rule == kNoRule ? kDefaultPassed : kRulePassed;
    add(i, {.kind = kind, .map = v.map, .rule_slot = rule_slot});
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
  void queued(unsigned i, uint32_t map, PortSlot port, uint32_t bytes) {
    add(i, {.kind = TraceStep::Kind::kQueued, .port = port, .map = map, .length = bytes});
  }

 private:
  void add(unsigned i, TraceStep step) { packets[at_[i]].push_back(std::move(step)); }
  std::array<std::size_t, kBurst> at_{};  ///< where in `packets` the packets of the burst at hand are
};

}  // namespace sluice
