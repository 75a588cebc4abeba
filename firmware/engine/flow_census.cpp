#include "engine/flow_census.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sluice {
namespace {

FlowName name_of(const std::byte* frame, const LayerSet& set) {
  FlowName out{.ip = set.is_ip(), .v6 = set.l3 == L3::kIpv6, .ethertype = set.ethertype};
  if (out.ip) {
    const std::byte* const addresses = frame + set.l3_offset + (out.v6 ? 8 : 12);
    const std::size_t size = out.v6 ? 16 : 4;
    std::copy_n(addresses, size, out.src.begin());
    std::copy_n(addresses + size, size, out.dst.begin());
    out.protocol = set.ip_protocol;
    out.has_ports = set.has(parse_flag::kHasPorts);
    if (out.has_ports) out.src_port = set.src_port, out.dst_port = set.dst_port;
  } else if (set.has(parse_flag::kHasEthernet)) {
    std::copy_n(frame + set.l2_offset, 6, out.dst.begin());
    std::copy_n(frame + set.l2_offset + 6, 6, out.src.begin());
  }
  return out;
}

}  // namespace

FlowCensus::FlowCensus(std::size_t groups) : groups_(groups) {
  for (OfGroup& group : groups_) group.flows.reserve(kLargest);
}

void FlowCensus::note(std::size_t group, const HashChoice& choice, const Slice& slice, const Burst& burst, const std::array<uint64_t, kBurst>& hashes,
                      uint64_t packets) {
  OfGroup& to = groups_[group];
  // The ten highest bits are the bucket's, the next six one of its flow's 64.
  for (uint64_t rest = packets; rest != 0; rest &= rest - 1) {
    const uint64_t hash = hashes[static_cast<unsigned>(std::countr_zero(rest))];
    to.seen[hash >> 54] |= uint64_t{1} << (hash >> 48 & 63);
  }
  if (--until_next_ > 0) return;
  random_ ^= random_ << 13, random_ ^= random_ >> 7, random_ ^= random_ << 17;  // Marsaglia, JSS 2003
  until_next_ = 1 + static_cast<unsigned>(random_ % (2 * kSampled - 1));
  for (uint64_t rest = packets; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<unsigned>(std::countr_zero(rest));
    add(to, hashes[i], sliced_length(slice, burst.parsed[i], burst.lengths[i]), burst.frames[i].data, burst.parsed[i], choice);
  }
}

void FlowCensus::add(OfGroup& to, uint64_t hash, uint32_t bytes, const std::byte* frame, const Parsed& parsed, const HashChoice& choice) {
  to.bytes += bytes;
  auto& flows = to.flows;
  auto found = std::find_if(flows.begin(), flows.end(), [hash](const Flow& flow) { return flow.hash == hash; });
  if (found == flows.end()) {
    const FlowName name = name_of(frame, choice.inner && parsed.has_inner ? parsed.inner : parsed.outer);
    if (flows.size() < kLargest) {
      found = flows.insert(flows.end(), {.hash = hash, .name = name});
    } else {
      found = std::min_element(flows.begin(), flows.end(), [](const Flow& a, const Flow& b) { return a.bytes < b.bytes; });
      *found = {.hash = hash, .bytes = found->bytes, .others = found->bytes, .name = name};
    }
  }
  found->bytes += bytes;
}

double flows_of(uint64_t seen) {
  constexpr double kBits = 64;
  const double clear = kBits - std::popcount(seen);
  return kBits * std::log(kBits / std::max(clear, 1.0));
}

}  // namespace sluice
