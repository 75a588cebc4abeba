// Which rule of every map does a packet match first? All maps at once, a burst at a time.
//
// This is the plain classifier: it tries the rules in order, one after the other, and is meant to be obviously right. A faster one
// goes behind the same interface and is tested against this one.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/net.h"
#include "packet/frame.h"
#include "port/frame_pool.h"

namespace sluice {

inline constexpr uint32_t kNoRule = 0xFFFFFFFF;

/// A map that passes a packet, or whose rule drops it.
struct Verdict {
  uint32_t map = 0;         ///< position in Snapshot::maps
  uint32_t rule = kNoRule;  ///< position in Snapshot::rule_slots; kNoRule: the map's default passed it
  bool pass = false;
};

/// Compiled match of one rule. An empty vector or unset bit set means "any"; all that is set must hold.
struct RuleMatch {
  std::vector<Prefix> src, dst, addr;
  std::vector<Range> src_port, dst_port, port;
  std::vector<Range> vlan_id;
  uint8_t vlan_level = 1;
  uint8_t ip_version = 0;  ///< 0: any
  bool bidirectional = false;
  bool any_protocol = true;
  std::bitset<256> protocols;
};

struct ClassifierRule {
  RuleMatch match;
  uint32_t index = 0;  ///< position in Snapshot::rule_slots
  bool pass = false;
};

/// What of a map decides whether a packet is looked at, and the rules in order.
struct ClassifierMap {
  uint32_t map = 0;
  std::bitset<128> ports;    ///< by port slot
  std::vector<Range> vlans;  ///< outermost tag; empty and not untagged: any
  bool untagged = false;
  bool default_pass = false;
  std::vector<ClassifierRule> rules;
};

/// Room for the verdicts of one burst; packet i's are [begin[i], begin[i+1]). A worker keeps one for ever.
struct VerdictBuffer {
  explicit VerdictBuffer(uint32_t maps) : verdicts(std::make_unique<Verdict[]>(std::size_t{kBurst} * maps)), per_packet(maps) {}
  std::array<uint32_t, kBurst + 1> begin{};
  std::unique_ptr<Verdict[]> verdicts;
  uint32_t per_packet;
};

class Classifier {
 public:
  Classifier() = default;
  explicit Classifier(std::vector<ClassifierMap> maps) : maps_(std::move(maps)) {}

  /// For each packet of the burst, received on `port`: one verdict for each active map that has the port among its sources and
  /// either a matching rule or a default that passes, in map order.
  void classify(const Burst& burst, PortSlot port, VerdictBuffer& out) const;

  [[nodiscard]] const std::vector<ClassifierMap>& maps() const { return maps_; }

 private:
  std::vector<ClassifierMap> maps_;
};

}  // namespace sluice
