// What makes two packets the same: a domain says which bytes are compared, and a keyed hash of them is 64 bits that stand for the packet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "packet/frame.h"

namespace sluice {

/// Where comparison begins. A packet that has no such layer is compared from the next one outside: the outer layer 3, then the frame.
enum class DedupStart : uint8_t { kFrame, kL3, kInnerL3 };

namespace dedup_ignore {
inline constexpr uint8_t kVlan = 1;         ///< 802.1Q and 802.1ad tags
inline constexpr uint8_t kMac = 2;          ///< both Ethernet addresses
inline constexpr uint8_t kTtl = 4;          ///< TTL or hop limit, and with it the IPv4 header checksum
inline constexpr uint8_t kDscp = 8;         ///< DSCP and ECN, and with them the IPv4 header checksum
inline constexpr uint8_t kMpls = 16;        ///< MPLS label stack
inline constexpr uint8_t kIpChecksum = 32;  ///< IPv4 header checksum
inline constexpr uint8_t kTcpSequence = 64; ///< TCP sequence number, and with it the TCP checksum
inline constexpr uint8_t kTunnel = 128;     ///< of a packet in a tunnel, all from the outer layer 3 up to what the tunnel carries
}  // namespace dedup_ignore

/// Which bytes of a packet are compared. What follows the end of an IP datagram or an ARP message (padding, trailers) never is. With
/// kL3 and kInnerL3, tags and labels in front of that layer are compared unless they are ignored; nothing else in front of it is. TTL, DSCP,
/// checksum and sequence number are those of the first IP header that is compared.
class Comparison {
 public:
  explicit Comparison(DedupStart from = DedupStart::kL3, uint8_t without = dedup_ignore::kVlan | dedup_ignore::kTtl);
  friend bool operator==(const Comparison&, const Comparison&) = default;

  DedupStart start;
  uint8_t ignore;  ///< dedup_ignore
  /// Bits of an IP header's first 16 bytes that are compared, as little-endian words.
  struct HeaderMask {
    uint64_t first, second;
    friend bool operator==(const HeaderMask&, const HeaderMask&) = default;
  };
  HeaderMask v4, v6;
  /// Whether it compares IP packets from layer 3 on and leaves nothing out but bits under a mask; and if so with tags or labels in front.
  bool plain, plain_with_tags, plain_with_labels;
};

__extension__ using Uint128 = unsigned __int128;

/// A keyed hash of packets, whose secret is made when it is: whoever does not know it can't make two packets that differ and have one
/// fingerprint. Two packets that differ in what is compared have the same one with a probability of at most 2^-63; README.md has the
/// proof. Any thread.
class Fingerprints {
 public:
  /// Its secret is of the kernel's random numbers.
  Fingerprints();

  /// Of packet i, which is parsed. Never 0. Reads no byte behind the packet's end.
  [[nodiscard]] uint64_t of(const Burst& burst, unsigned i, const Comparison& comparison) const;

 private:
  /// Bytes that are hashed in one piece.
  static constexpr std::size_t kSegment = 4096;
  class Message;
  [[nodiscard]] uint64_t of_any(const Burst& burst, unsigned i, const Comparison& comparison) const;
  [[nodiscard]] Uint128 blocks(const std::byte* bytes, std::size_t from, std::size_t size) const;
  [[nodiscard]] uint64_t finish(Uint128 sum, uint64_t begun_with, uint64_t length) const;

  alignas(64) std::array<uint64_t, kSegment / 8> blocks_;
  std::array<uint64_t, 2> ends_;
  std::array<Uint128, 3> last_;
};

}  // namespace sluice
