// Config -> Snapshot. All that can fail in a change fails here, with the path of the field that is to blame.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "compile/dedup.h"
#include "compile/known_rules.h"
#include "compile/rate_limits.h"
#include "compile/slots.h"
#include "compile/tool_groups.h"
#include "engine/snapshot.h"
#include "sluice/v1/config.pb.h"

namespace sluice::compile {

/// Bytes of layer 3 that fit into one frame: a chunk of 2,048 bytes less the kernel's headroom of 256, the Ethernet header and two VLAN
/// tags.
inline constexpr uint32_t kLinkHeader = 14 + 8;
inline constexpr uint32_t kMaxSingleBufferMtu = 2048 - 256 - kLinkHeader;

/// What a port needs of the machine; the data-plane daemon reconciles sockets with it.
struct PortPlan {
  std::string id;
  std::string name;
  PortSlot slot = kNoPort;
  v1::PortRole::Value role = v1::PortRole::UNSPECIFIED;
  std::string device;
  bool enabled = true;
  uint32_t mtu = 1500;
  bool busy_poll = false;
  uint32_t buffer = 0;  ///< frames that a queue of its may hold; 0: its share of what there is
  /// Packets may be longer than a frame: the port has to do with several buffers a packet.
  [[nodiscard]] bool multi_buffer() const { return mtu > kMaxSingleBufferMtu; }
  [[nodiscard]] bool receives() const { return enabled && (role == v1::PortRole::NETWORK || role == v1::PortRole::HYBRID); }
  [[nodiscard]] bool sends() const { return enabled && (role == v1::PortRole::TOOL || role == v1::PortRole::HYBRID); }
};

/// Names of slots, for everybody who shows counters or traces to people.
struct LegPlan {
  uint32_t slot = 0;
  PortSlot port = kNoPort;  ///< kNoPort: no member to send to
};
struct DestinationPlan {
  std::string target;    ///< name of the port or tool group
  std::string group_id;  ///< empty: a port
  std::vector<LegPlan> legs;
};
struct RulePlan {
  std::string id;
  uint32_t slot = 0;
  bool pass = false;
};
struct MapPlan {
  std::string id;
  std::string name;
  uint32_t slot = 0;
  std::vector<RulePlan> rules;
  std::vector<DestinationPlan> destinations;
};
struct Plan {
  std::vector<PortPlan> ports;
  std::vector<MapPlan> maps;      ///< in the order of Snapshot::maps, then the disabled ones
  std::vector<GroupPlan> groups;  ///< in the order of Snapshot::groups
  std::vector<DomainPlan> domains;
  [[nodiscard]] const PortPlan* port(PortSlot slot) const;
};

struct Compiled {
  std::unique_ptr<Snapshot> snapshot;
  Plan plan;
  std::vector<std::string> warnings;  ///< rules that no packet gets to
};

/// Legs 0..127 take over the accounts of legs that are no longer configured, one for each tool port's slot, and leg 128 those that
/// had no port; so that a port's account still balances after a map is gone. The last port slot does the same for removed ports.
inline constexpr uint32_t kRetiredWithoutPort = kMaxPorts;
inline constexpr uint32_t kReservedLegs = kMaxPorts + 1;
inline constexpr PortSlot kRetiredPort = kMaxPorts - 1;

/// Keeps the slots from revision to revision. Control thread.
class Compiler {
 public:
  /// Requires ids and defaults to be filled in and references to be ids (config::complete does that).
  [[nodiscard]] Result<Compiled> compile(const v1::Config& config, uint64_t revision);
  /// A configuration as it came. What is the same as in the one that came before is not made again; is_trial: the next one is compared with that
  /// one, too, not with this. Errors: also kInternal, that the bytes are no configuration's.
  [[nodiscard]] Result<Compiled> compile(std::string_view bytes, uint64_t revision, bool is_trial = false);

  /// A slot whose owner is no longer configured. Its account may be folded into slot `into` (legs and ports) or cleared (maps and
  /// rules) once nothing of it is in flight; then release() gives the slot back.
  struct Retired {
    enum class Kind : uint8_t { kLeg, kPort, kMap, kRule };
    Kind kind;
    std::string key;
    uint32_t slot;
    uint32_t into;
  };
  [[nodiscard]] std::vector<Retired> retired(const Plan& in_force) const;
  void release(const Retired& retired);

 private:
  Result<Compiled> compile(const v1::Config& config, uint64_t revision, KnownRules& known);

  Slots ports_{0, kRetiredPort};
  Slots legs_{kReservedLegs, kMaxSlots.legs};
  Slots maps_{0, kMaxSlots.maps};
  Slots rules_{0, kMaxSlots.rules};
  std::vector<PortSlot> leg_ports_;  ///< by leg slot
  RateLimits rate_limits_;
  std::shared_ptr<const PayloadScanner> scanner_;
  KnownRules known_rules_;  ///< of the last configuration that came as bytes
};

}  // namespace sluice::compile
