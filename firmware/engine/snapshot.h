// The immutable compiled form of a revision: flat, numbered by slots, read by workers without a lock.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/backlog.h"
#include "engine/classify/classifier.h"
#include "engine/counters.h"
#include "engine/dedup/domain.h"
#include "engine/distribute.h"
#include "engine/rate_limit.h"
#include "engine/transform/slice.h"
#include "port/frame_pool.h"

namespace sluice {

inline constexpr unsigned kMaxPorts = kMaxSlots.ports;

/// Where a map sends. legs: one for a port; for a group one a member and one more for "no member".
struct SnapshotDestination {
  PortSlot port = kNoPort;  ///< kNoPort: a group
  uint32_t group = 0;
  Slice slice;
  bool keeps_duplicates = false;
  Priority priority = Priority::kNormal;
  std::shared_ptr<RateLimit> limit, packet_limit;  ///< of bytes, of packets; null: none
  [[nodiscard]] bool is_limited() const { return limit || packet_limit; }
  std::vector<uint32_t> legs;
};

struct SnapshotMap {
  uint32_t slot = 0;  ///< of its counters
  bool consume = false;
  bool collector = false;
  std::vector<SnapshotDestination> destinations;
};

/// Filters of ports, which bind whatever maps say.
struct PortFilters {
  std::bitset<kMaxPorts> filtered;  ///< ports that have one, by slot
  /// A map for each of them, numbered by the port's slot: what it passes, the port may have.
  Classifier classifier;
};

struct Snapshot {
  uint64_t revision = 0;
  /// Ports that may receive (role NETWORK or HYBRID, enabled), by slot.
  std::bitset<kMaxPorts> receiving;
  /// Ports that may transmit (role TOOL or HYBRID, enabled), by slot.
  std::bitset<kMaxPorts> sending;
  /// Active maps in the operator's order, collectors last. Verdict::map is the position here.
  std::vector<SnapshotMap> maps;
  /// Counter slot of each rule; Verdict::rule is the position here.
  std::vector<uint32_t> rule_slots;
  std::vector<Group> groups;
  bool balances_by_ports = false;  ///< some group does: fragments are kept with their flow
  Classifier classifier;
  PortFilters ingress, egress;
  std::array<std::shared_ptr<RateLimit>, kMaxPorts> shapers;  ///< by slot of a tool port: how fast its copies leave; null: as its link takes them
  std::vector<DedupDomain> domains;
  std::array<uint8_t, kMaxPorts> domain_of;  ///< position in domains, by the slot of the port that received; kNoDomain
  SlotCounts used;

  Snapshot() { domain_of.fill(kNoDomain); }
  /// Whether anything asks about what later fragments of a datagram do not have.
  [[nodiscard]] bool asks_upper_layer() const {
    return balances_by_ports || classifier.asks_upper_layer() || ingress.classifier.asks_upper_layer() || egress.classifier.asks_upper_layer();
  }
};

}  // namespace sluice
