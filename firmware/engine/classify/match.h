// What a rule asks of a packet, in numbers, and the plain answer: criterion after criterion. It is what the fast classifier
// (classifier.h) is tested against, and decides what that one leaves open.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/classify/payload_scanner.h"
#include "engine/transform/slice.h"
#include "packet/frame.h"
#include "port/frame_pool.h"

namespace sluice {

/// A value of any field: numbers, MAC addresses (48 bits), IPv4 addresses (32) and IPv6 addresses.
__extension__ using Key = unsigned __int128;

/// What can be asked about. A packet without the field has no value: the criterion is false then, whatever it asks.
enum class Field : uint8_t {
  kPort,        ///< slot of the port that received it; every packet has it
  kSourceVlan,  ///< id of the outermost tag, kUntagged without one; every packet has it
  kEtherSrc,
  kEtherDst,
  kEtherType,  ///< behind all tags; an 802.3 length is none
  kVlanId,     ///< of the tag at Where::level
  kVlanPcp,
  kMplsLabel,  ///< the outermost
  kIpVersion,
  kSrc,
  kDst,
  kProtocol,
  kDscp,
  kEcn,
  kTtl,
  kFragment,  ///< 1 whole, 2 first, 3 later
  kLength,    ///< of the IP packet, as its header states it; at most 40 + 65,535
  kSrcPort,
  kDstPort,
  kTcpFlags,  ///< FIN is 1, CWR is 128 (RFC 9293 section 3.1)
  kIcmpType,
  kIcmpCode,
  kTunnelKind,  ///< as Tunnel
  kVni,
  kGreKey,
  kErspanSession,
  kTeid,
  kPresence,  ///< headers that are there, one bit each (presence); every packet has it
};
inline constexpr unsigned kFields = static_cast<unsigned>(Field::kPresence) + 1;
inline constexpr uint32_t kUntagged = 4096;

/// Bits of kPresence.
namespace presence {
inline constexpr unsigned kVlan = 1, kMpls = 2, kPppoe = 4, kArp = 8, kIpv4 = 16, kIpv6 = 32, kTcp = 64, kUdp = 128, kSctp = 256,
                          kIcmp = 512, kIcmpv6 = 1024, kTunnel = 2048, kAll = 4095;
}

/// Bits of a field's numbers: 7 to 48; of addresses, of their IPv4 form.
[[nodiscard]] unsigned bits_of(Field field);
[[nodiscard]] inline bool is_address(Field field) { return field == Field::kSrc || field == Field::kDst; }

/// Which value of a packet.
struct Where {
  Field field = Field::kPort;
  bool inner = false;  ///< of the layer set behind the tunnel header
  uint8_t level = 0;   ///< of VLAN tags: 0 is the outermost
  friend auto operator<=>(const Where&, const Where&) = default;
};

/// Closed.
struct Interval {
  Key from = 0, to = 0;
  friend bool operator==(const Interval&, const Interval&) = default;
};

/// A set of values: sorted, disjoint, not adjoining.
struct Values {
  std::vector<Interval> numbers;  ///< IPv4 addresses, too
  std::vector<Interval> ipv6;

  [[nodiscard]] bool has(Key value, bool v6) const;
  /// Makes it so.
  void normalise();
  friend bool operator==(const Values&, const Values&) = default;
};
/// All that a field may have but these.
[[nodiscard]] Values complement(const Values& values, Field field);
[[nodiscard]] Values intersection(const Values& a, const Values& b);

struct Criterion {
  Where where;
  std::shared_ptr<const Values> values;  ///< of an address set, the set's own: many rules share it
};

/// Bytes at a place of the packet, those that the mask leaves.
struct BytePattern {
  Anchor anchor = Anchor::kFrame;
  uint32_t offset = 0;
  std::vector<std::byte> value, mask;  ///< as long as each other; value has no bit that mask has not
};

struct RuleMatch;

/// What no table answers: looked at one by one, for the packets that everything else leaves.
struct Remainder {
  std::vector<BytePattern> patterns;              ///< any of them
  bool patterns_negated = false;                  ///< none of them; false where one of them lies beyond the packet
  std::shared_ptr<const PayloadScanner> scanner;  ///< of the expression; null: it asks for none
  unsigned expression = 0;
  bool expression_negated = false;
  bool inner = false;                       ///< anchors and payload are those of the inner layer set
  std::shared_ptr<const RuleMatch> unless;  ///< this must not match
};

/// All of these.
struct Alternative {
  std::vector<Criterion> criteria;
  std::shared_ptr<const Remainder> remainder;
};

/// Any of these. None: never.
struct RuleMatch {
  std::vector<Alternative> alternatives;
};

/// A packet of a burst, received on a port.
struct PacketView {
  const Burst& burst;
  unsigned i;
  PortSlot port;
  PayloadScanner::Seen* seen = nullptr;  ///< of this burst; null: payloads are read each time
  [[nodiscard]] const std::byte* data() const { return burst.frames[i].data; }
  [[nodiscard]] const Parsed& parsed() const { return burst.parsed[i]; }
};

struct Value {
  Key key;
  bool v6;
};
[[nodiscard]] std::optional<Value> value_of(const Where& where, const PacketView& packet);

[[nodiscard]] bool holds(const Criterion& criterion, const PacketView& packet);
[[nodiscard]] bool holds(const Remainder& remainder, const PacketView& packet);
[[nodiscard]] bool matches(const RuleMatch& match, const PacketView& packet);

}  // namespace sluice
