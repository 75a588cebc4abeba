#include "engine/fragments.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "engine/classify/match.h"

namespace sluice {
namespace {

constexpr uint16_t kOfUpperLayer = parse_flag::kHasProtocol | parse_flag::kHasPorts | parse_flag::kHasIcmpType | parse_flag::kHasTcpFlags;

bool same_source(const DatagramKey& a, const DatagramKey& b) {
  return a.version == b.version && a.addresses[0] == b.addresses[0] && a.addresses[1] == b.addresses[1];
}

}  // namespace

DatagramKey datagram_of(const std::byte* frame, const LayerSet& set) {
  const AddressView view = addresses(frame, set);
  DatagramKey key;
  std::memcpy(&key.addresses[0], view.src, view.size);
  std::memcpy(&key.addresses[2], view.dst, view.size);
  key.identification = set.identification;
  key.version = set.l3 == L3::kIpv4 ? 4 : 6;
  // Not the parser's, which looks behind an authentication header: only a first fragment shows what is there.
  constexpr unsigned kProtocolAt = 9;
  if (key.version == 4) key.protocol = std::to_integer<uint8_t>(frame[set.l3_offset + kProtocolAt]);
  key.vlan = static_cast<uint16_t>(set.vlan_count == 0 ? kUntagged : vlan_tci(frame, set, 0) & 0x0FFFU);
  return key;
}

Fragments::Fragments(const FrameLayout& layout)
    : most_frames_(std::min<std::size_t>(kMostWaiting, layout.frames_per_worker / 8 / std::max(layout.workers, 1U))),
      secret_((uint64_t{std::random_device()()} << 32) | std::random_device()()),
      firsts_(kSets * kWays) {
  waiting_.reserve(kMostWaiting);
}

std::size_t Fragments::set_of(const DatagramKey& key) const {
  const uint64_t vlan = key.vlan, protocol = key.protocol;
  uint64_t hash = (secret_ ^ (vlan << 40 | protocol << 32 | key.identification)) * 0x9E3779B97F4A7C15U;
  for (const uint64_t part : key.addresses) hash = (hash ^ part) * 0x9E3779B97F4A7C15U + (hash >> 29);
  return (hash >> 32) % kSets * kWays;
}

void Fragments::remember(const DatagramKey& key, const LayerSet& first, uint64_t now) {
  news_ = !waiting_.empty();
  const auto begin = firsts_.begin() + static_cast<std::ptrdiff_t>(set_of(key));
  auto place = std::find_if(begin, begin + kWays, [&key](const First& f) { return f.key == key; });
  // The one that has been there longest makes way.
  if (place == begin + kWays)
    place = std::min_element(begin, begin + kWays, [](const auto& a, const auto& b) { return a.until_ns < b.until_ns; });
  *place = {key,
            now + kRemembered,
            first.src_port,
            first.dst_port,
            static_cast<uint16_t>(first.flags & kOfUpperLayer),
            first.ip_protocol,
            first.icmp_type,
            first.icmp_code,
            first.tcp_flags};
}

bool Fragments::complete(const DatagramKey& key, LayerSet& later, uint64_t now) const {
  const auto begin = firsts_.begin() + static_cast<std::ptrdiff_t>(set_of(key));
  const auto first = std::find_if(begin, begin + kWays, [&](const First& f) { return f.until_ns > now && f.key == key; });
  if (first == begin + kWays) return false;
  if ((first->flags & parse_flag::kHasProtocol) != 0) later.ip_protocol = first->ip_protocol;
  later.src_port = first->src_port, later.dst_port = first->dst_port;
  later.icmp_type = first->icmp_type, later.icmp_code = first->icmp_code;
  later.tcp_flags = first->tcp_flags;
  later.flags |= first->flags;
  return true;
}

bool Fragments::may_wait(const DatagramKey& key, std::size_t frames) const {
  for (const WaitingFragment& one : waiting_) frames += one.frame_count;
  if (frames > most_frames_) return false;
  const auto of_source = std::count_if(waiting_.begin(), waiting_.end(), [&key](const auto& w) { return same_source(w.key, key); });
  return static_cast<std::size_t>(of_source) < kMostOfSource;
}

}  // namespace sluice
