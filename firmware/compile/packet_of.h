// A packet that somebody describes by its fields, as bytes.
#pragma once

#include <cstddef>
#include <vector>

#include "base/result.h"
#include "sluice/v1/status.pb.h"

namespace sluice::compile {

/// The longest frame that explain takes: an MTU of 9,216 bytes and the headers of its link.
inline constexpr std::size_t kLongestExplained = 9216 + 22;

/// Ethernet, VLAN tags, IPv4 or IPv6, TCP, UDP, SCTP or ICMP, then zeros up to the length asked for. Checksums are right (of SCTP it is 0:
/// nothing here looks at it). Errors name the field, counted from `path`.
[[nodiscard]] Result<std::vector<std::byte>> packet_of(const v1::PacketFields& fields, const std::string& path);

}  // namespace sluice::compile
