// Every way in which a packet or a copy is lost or refused, by name (unmatched and merged are lines of their own). One enum, one table:
// counters, ledger, explain and API read it.
#pragma once

#include <array>
#include <cstdint>

namespace sluice {

/// Ends of received packets.
enum class PacketDrop : uint8_t {
  kPortNotConfigured,
  kPortFilter,
  kHandoverFull,
  kCount,
};

/// Ends of copies.
enum class CopyDrop : uint8_t {
  kDuplicate,
  kRateLimit,
  kToolQueueFull,
  kPushedOut,
  kBufferQuota,
  kToolDown,
  kPortFilter,
  kNoMember,
  kMemberDown,
  kPortClosed,
  kExceedsMtu,
  kNoFrame,
  kHandoverFull,
  kCount,
};

inline constexpr unsigned kPacketDrops = static_cast<unsigned>(PacketDrop::kCount);
inline constexpr unsigned kCopyDrops = static_cast<unsigned>(CopyDrop::kCount);

struct DropText {
  const char* name;    ///< stable, in scripts and metrics
  const char* text;    ///< what happened
  const char* remedy;  ///< what to do
};

inline constexpr std::array<DropText, kPacketDrops> kPacketDropTexts{{
    {"port_not_configured", "The packet came in on a port that the running revision does not receive on.",
     "Normal for a moment while a port's role changes; otherwise enable the port and give it the role NETWORK."},
    {"ingress_filter", "The filter of the network port does not pass the packet, whatever maps say.",
     "Meant, as a rule; otherwise change the filter that the port's ingress names."},
    {"handover_full", "The packet belonged to another worker, which did not take what waits for it fast enough.",
     "Give the port as many queues as there are workers, or start sluiced with more workers."},
}};

inline constexpr std::array<DropText, kCopyDrops> kCopyDropTexts{{
    {"duplicate", "The same packet came in before, within its deduplication domain's window.",
     "Meant, as a rule. A tool that misses packets needs a map with all ports of the domain as sources, or duplicates KEEP; the domain says what is compared."},
    {"rate_limit", "The destination's rate limit, of bits or of packets, was used up.",
     "Meant, as a rule; otherwise raise rate_limit, packet_rate_limit or limit_burst in the operations of the map's destination."},
    {"tool_queue_full", "The tool port's transmit ring and buffer were full: more was sent to the tool than its link, or its rate limit, lets through.",
     "Narrow the maps that feed the tool, spread the load over a tool group, or give the port a larger egress.buffer for bursts."},
    {"pushed_out", "The tool port's buffer was full, and a copy of a higher priority took this one's place.",
     "Meant, as a rule: more is sent to the tool than it takes. Narrow the maps that feed it, or give the port a larger egress.buffer."},
    {"buffer_quota", "The tool held as many frames as its share of the memory allows.",
     "Narrow the maps that feed the tool, give the port a larger egress.buffer, or start sluiced with a larger --frames."},
    {"tool_down", "The tool port was disabled, unbound, or its device was not there.",
     "See the port's state and reason in the status; give the port a device or enable it."},
    {"egress_filter", "The filter of the tool port does not pass the packet, whatever maps say.",
     "Meant, as a rule; otherwise change the filter that the port's egress names."},
    {"no_member", "Every member of the tool group was drained or down.",
     "See the group's members in the status; undrain one, or repair the link of one."},
    {"member_down", "The member that has the packet's flow was down, and the tool group's failover is DROP.",
     "Repair the member's link, or let the group's failover be REBALANCE or STANDBY."},
    {"port_closed", "The tool port was closed or lost its device while the copy waited to be sent.",
     "Normal once when a port's role or device changes; otherwise check the card and the cable."},
    {"exceeds_mtu", "The packet was longer than the tool port's MTU allows.",
     "Raise the tool port's MTU to that of the network port, or slice the packets on their way."},
    {"no_frame", "The packet had to be copied into another kind of memory for this tool, and no frame was free there.",
     "Start sluiced with a larger --frames, or put tool and network ports on cards of one kind."},
    {"copy_handover_full", "The tool port's queue belongs to another worker, which did not take what waits for it fast enough.",
     "Give the tool port as many queues as there are workers, or spread the load over a tool group."},
}};

static_assert(kPacketDropTexts.back().remedy && kCopyDropTexts.back().remedy, "every reason has a row, in the enum's order");

inline const DropText& describe(PacketDrop reason) { return kPacketDropTexts[static_cast<unsigned>(reason)]; }
inline const DropText& describe(CopyDrop reason) { return kCopyDropTexts[static_cast<unsigned>(reason)]; }

}  // namespace sluice
