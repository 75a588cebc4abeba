// A number that both directions of a flow share: what a tool group balances by.
#pragma once

#include <cstddef>
#include <cstdint>

#include "packet/parse.h"

namespace sluice {

namespace hash_field {
inline constexpr uint8_t kFiveTuple = 1;
inline constexpr uint8_t kIpPair = 2;
inline constexpr uint8_t kVlan = 4;  ///< id of the outermost tag
inline constexpr uint8_t kMacPair = 8;
inline constexpr uint8_t kMplsLabel = 16;  ///< all labels of the stack
inline constexpr uint8_t kGtpTeid = 32;
inline constexpr uint8_t kGreKey = 64;
inline constexpr uint8_t kVni = 128;  ///< of VXLAN or GENEVE
}  // namespace hash_field

/// What a tool group balances by: all of these fields together.
struct HashChoice {
  uint8_t fields = hash_field::kFiveTuple;
  bool inner = false;  ///< of the headers in a tunnel, where there are any
  friend bool operator==(const HashChoice&, const HashChoice&) = default;
};

/// Symmetric hash of the fields that the packet has. One that has none of them is balanced by five-tuple, so that it does not burden one
/// member with all others like it. All 64 bits are usable.
[[nodiscard]] uint64_t balance_hash(const std::byte* frame, const Parsed& parsed, const HashChoice& choice);

/// Symmetric five-tuple hash of one layer set. Without ports: by address pair and protocol; what is not IP hashes by MAC pair and EtherType. Without
/// an Ethernet header either: 0. All 64 bits are usable. uses_ports false: of fragments whose later ones do not know the first one's.
[[nodiscard]] uint64_t flow_hash(const std::byte* frame, const LayerSet& set, bool uses_ports = true);

/// Symmetric hash of the address pair alone: which worker a packet belongs to. Not IP: the MAC pair. All 64 bits are usable.
[[nodiscard]] uint64_t pair_hash(const std::byte* frame, const LayerSet& set);

}  // namespace sluice
