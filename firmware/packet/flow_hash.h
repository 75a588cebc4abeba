// A number that both directions of a flow share: what a tool group balances by.
#pragma once

#include <cstddef>
#include <cstdint>

#include "packet/parse.h"

namespace sluice {

/// Symmetric five-tuple hash of one layer set. Fragments, of which only the first shows ports, hash by address pair and protocol, so
/// that the parts of one datagram stay together; what is not IP hashes by MAC pair and EtherType. Without an Ethernet header
/// either: 0. All 64 bits are usable.
[[nodiscard]] uint64_t flow_hash(const std::byte* frame, const LayerSet& set);

/// Symmetric hash of the address pair alone: which worker a packet belongs to. Not IP: the MAC pair. All 64 bits are usable.
[[nodiscard]] uint64_t pair_hash(const std::byte* frame, const LayerSet& set);

}  // namespace sluice
