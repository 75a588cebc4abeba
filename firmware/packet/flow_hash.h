// A number that both directions of a flow share: what a tool group balances by.
#pragma once

#include <cstddef>
#include <cstdint>

#include "packet/parse.h"

namespace sluice {

/// Symmetric five-tuple hash. Fragments, of which only the first shows ports, hash by address pair and protocol, so that the
/// parts of one datagram stay together; what is not IP hashes by MAC pair and EtherType. Packets shorter than an Ethernet
/// header: 0. All 64 bits are usable.
[[nodiscard]] uint64_t flow_hash(const std::byte* frame, uint32_t length, const Parsed& parsed);

}  // namespace sluice
