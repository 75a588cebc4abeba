#include "engine/dedup/fingerprint.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <system_error>

#include "base/endian.h"
#include "packet/headers.h"

namespace sluice {
namespace {

namespace skip = dedup_ignore;

uint64_t word(const std::byte* bytes) {
  uint64_t out = 0;
  std::memcpy(&out, bytes, sizeof out);
  return out;
}

constexpr uint64_t byte_at(unsigned i, uint64_t value) { return value << 8 * i; }  // little-endian, as x86 is

/// Bytes from the start of the frame to the end of what the layer-3 header says, where it says that and the frame has so many: padding
/// and trailers stand behind.
inline std::size_t end_of(const std::byte* frame, const LayerSet& set, std::size_t frame_length, std::size_t header_bytes) {
  const std::byte* l3 = frame + set.l3_offset;
  std::size_t length = 0;
  if (set.l3 == L3::kIpv4) length = read_be16(l3 + 2);
  else if (set.l3 == L3::kIpv6) length = read_be16(l3 + 4) == 0 ? 0 : kIpv6Size + read_be16(l3 + 4);
  else if (set.l3 == L3::kArp && set.l3_offset + kArpMinSize <= header_bytes)  // RFC 826: hardware and protocol address, twice
    length = kArpMinSize + 2 * (std::to_integer<std::size_t>(l3[4]) + std::to_integer<std::size_t>(l3[5]));
  const std::size_t least = set.l3 == L3::kIpv4 ? kIpv4MinSize : set.l3 == L3::kIpv6 ? kIpv6Size : kArpMinSize;
  return length >= least && set.l3_offset + length <= frame_length ? set.l3_offset + length : frame_length;
}

/// murmur3's finaliser: one to one, so it takes no promise away; it spreads what is alike over the table.
uint64_t spread(uint64_t h) {
  h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDU;
  h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53U;
  return h ^ h >> 33;
}

/// What a message begins with besides its bytes: what they are. Packets of different kinds may have the same bytes.
struct Kind {
  bool from_frame = false;
  bool skips_tunnel = false;
  bool ethernet = false;  ///< the bytes begin with, or what is skipped leaves, an Ethernet header
  L3 l3 = L3::kNone;
  unsigned tags = 0, labels = 0;
};
constexpr uint64_t begun(const Kind& kind) {
  return uint64_t{kind.from_frame} | uint64_t{kind.skips_tunnel} << 1 | uint64_t{kind.ethernet} << 2 | static_cast<uint64_t>(kind.l3) << 4 |
         uint64_t{kind.tags} << 8 | uint64_t{kind.labels} << 16;
}

}  // namespace

/// RFC 791 section 3.1: TOS is byte 1, TTL 8, checksum 10 and 11. RFC 8200 section 3: traffic class is the low half of byte 0 and the high
/// half of byte 1, hop limit byte 7.
Comparison::Comparison(DedupStart from, uint8_t without)
    : start(from),
      ignore(without),
      v4{~uint64_t{0}, ~uint64_t{0}},
      v6(v4),
      plain(from == DedupStart::kL3 && (without & (skip::kTcpSequence | skip::kTunnel)) == 0),
      plain_with_tags((without & skip::kVlan) != 0),
      plain_with_labels((without & skip::kMpls) != 0) {
  if (without & skip::kTtl) v4.second &= ~byte_at(0, 0xFF), v6.first &= ~byte_at(7, 0xFF);
  if (without & skip::kDscp) v4.first &= ~byte_at(1, 0xFF), v6.first &= ~(byte_at(0, 0x0F) | byte_at(1, 0xF0));
  if (without & (skip::kTtl | skip::kDscp | skip::kIpChecksum)) v4.second &= ~byte_at(2, 0xFFFF);
}

Fingerprints::Fingerprints() {
  const auto fill = [](void* to, std::size_t size) {
    auto* at = static_cast<std::byte*>(to);
    while (size > 0) {
      const ssize_t got = getrandom(at, size, 0);
      if (got < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "no random numbers");
      if (got > 0) at += got, size -= static_cast<std::size_t>(got);
    }
  };
  fill(blocks_.data(), sizeof blocks_);
  fill(ends_.data(), sizeof ends_);
  fill(last_.data(), sizeof last_);
}

/// NH (Black et al., "UMAC", CRYPTO 1999, section 4.2, with words of 64 bits): the sum of products of pairs of words, each with a key added. Of
/// bytes [from, size), from a multiple of 16. The last block ends with the last byte and, where size is no multiple of 16, covers some
/// twice: the message is told by that and its length. Requires 16 <= size <= kSegment.
inline Uint128 Fingerprints::blocks(const std::byte* bytes, std::size_t from, std::size_t size) const {
  Uint128 sum = 0;
  const auto add = [&](std::size_t at, std::size_t key) {
    sum += static_cast<Uint128>(word(bytes + at) + blocks_[key]) * (word(bytes + at + 8) + blocks_[key + 1]);
  };
  std::size_t at = from;
  for (; at + 16 <= size; at += 16) add(at, at / 8);
  if (at < size) add(size - 16, at / 8);
  return sum;
}

/// Multiply-add-shift for pairs (Thorup, "High Speed Hashing for Integers and Strings", section 3.3), from the sum's 128 bits to 64.
inline uint64_t Fingerprints::finish(Uint128 sum, uint64_t begun_with, uint64_t length) const {
  sum += static_cast<Uint128>(begun_with + ends_[0]) * (length + ends_[1]);
  const Uint128 mixed = last_[0] * static_cast<uint64_t>(sum) + last_[1] * static_cast<uint64_t>(sum >> 64) + last_[2];
  const uint64_t out = spread(static_cast<uint64_t>(mixed >> 64));
  return out == 0 ? 1 : out;
}

uint64_t Fingerprints::of(const Burst& burst, unsigned i, const Comparison& comparison) const {
  const LayerSet& set = burst.parsed[i].outer;
  const bool bare = (set.vlan_count == 0 || comparison.plain_with_tags) && (set.mpls_count == 0 || comparison.plain_with_labels);
  if (!comparison.plain || !bare || !set.is_ip() || burst.is_chained(i)) return of_any(burst, i, comparison);
  const std::byte* l3 = burst.frames[i].data + set.l3_offset;
  const std::size_t size = end_of(burst.frames[i].data, set, burst.lengths[i], burst.lengths[i]) - set.l3_offset;
  // Below 32 bytes the last block would cover the first 16 again.
  if (size < 32 || size > kSegment) return of_any(burst, i, comparison);
  const Comparison::HeaderMask& mask = set.l3 == L3::kIpv4 ? comparison.v4 : comparison.v6;
  const Uint128 first = static_cast<Uint128>((word(l3) & mask.first) + blocks_[0]) * ((word(l3 + 8) & mask.second) + blocks_[1]);
  return finish(first + blocks(l3, 16, size), begun({.l3 = set.l3}), size);
}

/// What is compared, byte by byte, hashed segment by segment: each begins with what the one before came to.
class Fingerprints::Message {
 public:
  Message(const Fingerprints& by, uint64_t begun_with) : by_(by), begun_with_(begun_with) {}

  void add(const std::byte* bytes, std::size_t size) {
    while (size > 0) {
      if (filled_ == kSegment) begun_with_ = close();
      const std::size_t n = std::min(size, kSegment - filled_);
      std::memcpy(&segment_[filled_], bytes, n);
      filled_ += n, length_ += n, bytes += n, size -= n;
    }
  }
  /// Bytes [from, to) of packet i.
  void add(const Burst& burst, unsigned i, std::size_t from, std::size_t to) {
    const auto part = [&](const Frame& frame, std::size_t begin) {
      const std::size_t first = std::max(from, begin), last = std::min<std::size_t>(to, begin + frame.length);
      if (first < last) add(frame.data + (first - begin), last - first);
      return begin + frame.length;
    };
    std::size_t at = part(burst.frames[i], 0);
    for (const Frame& frame : burst.rest_of(i)) at = part(frame, at);
  }
  /// Of the bytes so far, all of which are in the first segment.
  [[nodiscard]] std::size_t size() const { return filled_; }
  /// Of the eight bytes from `at` on, leaves these bits.
  void clear_bits(std::size_t at, uint64_t kept) {
    const uint64_t cleared = word(&segment_[at]) & kept;
    std::memcpy(&segment_[at], &cleared, sizeof cleared);
  }
  [[nodiscard]] uint64_t close() {
    if (filled_ < 16) std::memset(&segment_[filled_], 0, 16 - filled_);
    const uint64_t out = by_.finish(by_.blocks(segment_.data(), 0, std::max<std::size_t>(filled_, 16)), begun_with_, length_);
    filled_ = 0;
    return out;
  }

 private:
  const Fingerprints& by_;
  uint64_t begun_with_;
  std::array<std::byte, kSegment> segment_;
  std::size_t filled_ = 0;
  uint64_t length_ = 0;
};

uint64_t Fingerprints::of_any(const Burst& burst, unsigned i, const Comparison& comparison) const {
  const Parsed& parsed = burst.parsed[i];
  const std::byte* frame = burst.frames[i].data;
  const std::size_t here = burst.frames[i].length;  // headers are in the first frame
  const uint8_t ignored = comparison.ignore;
  const bool from_inner = comparison.start == DedupStart::kInnerL3 && parsed.has_inner && parsed.inner.l3 != L3::kNone;
  const bool carries = parsed.has_inner && (parsed.inner.has(parse_flag::kHasEthernet) || parsed.inner.l3 != L3::kNone);
  const bool skips_tunnel = !from_inner && (ignored & skip::kTunnel) != 0 && carries && parsed.outer.l3 != L3::kNone;
  const bool from_l3 = from_inner || (comparison.start != DedupStart::kFrame && parsed.outer.l3 != L3::kNone);
  const LayerSet& front = from_inner ? parsed.inner : parsed.outer;            // whose tags and labels stand in front
  const LayerSet& set = skips_tunnel || from_inner ? parsed.inner : parsed.outer;  // whose fields are left out
  const unsigned tags = (ignored & skip::kVlan) != 0 ? 0 : front.vlan_count;
  const unsigned labels = (ignored & skip::kMpls) != 0 ? 0 : front.mpls_count;

  // A packet in a tunnel and the same one outside of it are alike where the inner one is compared.
  Message message(*this, begun({.from_frame = !from_l3,
                                .skips_tunnel = skips_tunnel,
                                .ethernet = skips_tunnel ? set.has(parse_flag::kHasEthernet) : !from_l3 && front.has(parse_flag::kHasEthernet),
                                .l3 = set.l3,
                                .tags = tags,
                                .labels = labels}));
  const std::size_t tags_at = front.l2_offset + 2 * 6U;
  const std::size_t outer_end = front.l3 == L3::kNone ? burst.lengths[i] : end_of(frame, front, burst.lengths[i], here);
  const std::size_t end = set.l3 == L3::kNone ? outer_end : end_of(frame, set, outer_end, here);
  std::size_t at = 0;
  if (front.has(parse_flag::kHasEthernet) && !from_l3 && (ignored & skip::kMac) == 0) message.add(burst, i, 0, tags_at);
  if (tags > 0) message.add(burst, i, tags_at, tags_at + std::size_t{tags} * kVlanTagSize);
  if (!from_l3) {
    if (front.has(parse_flag::kHasEthernet)) at = tags_at + std::size_t{front.vlan_count} * kVlanTagSize;
    if (front.is_ip()) at += sizeof front.ethertype;  // the version tells, and a label stack has an EtherType of its own
    const std::size_t until = front.mpls_count > 0 ? front.mpls_offset : front.l3 != L3::kNone ? front.l3_offset : at;
    if (at < until) message.add(burst, i, at, until), at = until;
  }
  if (labels > 0) message.add(burst, i, front.mpls_offset, front.mpls_offset + std::size_t{labels} * kMplsEntrySize);
  if (front.l3 != L3::kNone) at = front.l3_offset;
  else if (front.mpls_count > 0) at = front.mpls_offset + std::size_t{front.mpls_count} * kMplsEntrySize;
  if (skips_tunnel) at = set.has(parse_flag::kHasEthernet) ? set.l2_offset : set.l3_offset;

  const std::size_t before_l3 = message.size() + (set.l3_offset - std::min<std::size_t>(set.l3_offset, at));
  // The headers alone, for their fields to be left out; then all that follows.
  const std::size_t headers_end = std::min<std::size_t>({end, here, set.payload_offset, at + kSegment - message.size()});
  message.add(burst, i, at, headers_end);
  if (set.is_ip() && before_l3 + 16 <= message.size()) {
    const Comparison::HeaderMask& mask = set.l3 == L3::kIpv4 ? comparison.v4 : comparison.v6;
    message.clear_bits(before_l3, mask.first);
    message.clear_bits(before_l3 + 8, mask.second);
    const std::size_t tcp = before_l3 + (set.l4_offset - set.l3_offset);
    if ((ignored & skip::kTcpSequence) != 0 && set.l4 == L4::kTcp && tcp + kTcpMinSize <= message.size()) {
      message.clear_bits(tcp, ~byte_at(4, 0xFFFFFFFF));   // RFC 9293 section 3.1: sequence number
      message.clear_bits(tcp + 12, ~byte_at(4, 0xFFFF));  // checksum
    }
  }
  message.add(burst, i, std::max(at, headers_end), end);
  return message.close();
}

}  // namespace sluice
