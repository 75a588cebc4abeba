#include "compile/dedup.h"

#include <algorithm>
#include <bit>

namespace sluice::compile {
namespace {

/// Packets of 64 bytes a second on 10GbE, with preamble and gap (IEEE 802.3): 10^10 / (84 * 8).
constexpr double kLineRate = 14'880'952;
/// Live packets a line of four places at which one in a thousand new ones finds all of them taken: with as many thrown at random, the
/// places of a line are Poisson's, and 1 - e^-x (1 + x + x^2/2 + x^3/6) is 0.001 at this x.
constexpr double kOccupancy = 0.43;

double seconds_live(const DomainPlan& domain) { return static_cast<double>(domain.window_ns + DedupTable::kLateness) / 1e9; }

std::size_t needed(const DomainPlan& domain) {
  const double lines = domain.ports * kLineRate * seconds_live(domain) / kOccupancy;
  return std::max(DedupTable::kLeastBytes, std::bit_ceil(static_cast<std::size_t>(lines * DedupTable::kLineBytes)));
}

}  // namespace

Result<Comparison> comparison_of(const v1::DedupDomain& domain, const std::string& path) {
  const DedupStart start = domain.start() == v1::DedupStart::FRAME      ? DedupStart::kFrame
                           : domain.start() == v1::DedupStart::INNER_L3 ? DedupStart::kInnerL3
                                                                        : DedupStart::kL3;
  uint8_t ignored = 0;
  for (int i = 0; i < domain.ignore_size(); ++i) {
    switch (domain.ignore(i)) {
      case v1::DedupIgnore::VLAN: ignored |= dedup_ignore::kVlan; break;
      case v1::DedupIgnore::MAC: ignored |= dedup_ignore::kMac; break;
      case v1::DedupIgnore::TTL: ignored |= dedup_ignore::kTtl; break;
      case v1::DedupIgnore::DSCP: ignored |= dedup_ignore::kDscp; break;
      case v1::DedupIgnore::MPLS: ignored |= dedup_ignore::kMpls; break;
      case v1::DedupIgnore::IP_CHECKSUM: ignored |= dedup_ignore::kIpChecksum; break;
      case v1::DedupIgnore::TCP_SEQUENCE: ignored |= dedup_ignore::kTcpSequence; break;
      case v1::DedupIgnore::TUNNEL: ignored |= dedup_ignore::kTunnel; break;
      case v1::DedupIgnore::NONE:
        if (domain.ignore_size() > 1) return Error{ErrorCode::kInvalid, path + ".ignore", "NONE stands alone: with it nothing is ignored"};
        break;
      default: return Error{ErrorCode::kInvalid, path + ".ignore[" + std::to_string(i) + "]", "must name what is ignored, or be NONE"};
    }
  }
  return Comparison(start, ignored);
}

Result<std::vector<std::size_t>> share_dedup_memory(const std::vector<DomainPlan>& domains, std::size_t most) {
  std::size_t all = 0;
  std::vector<std::size_t> out;
  for (const auto& domain : domains) all += out.emplace_back(needed(domain));
  if (all <= most) return out;
  const std::size_t least = domains.size() * DedupTable::kLeastBytes;
  // The least first, and of the rest to each its part.
  const double part = static_cast<double>(most - std::min(most, least)) / static_cast<double>(all);
  for (auto& bytes : out)
    bytes = std::max(DedupTable::kLeastBytes, std::bit_floor(static_cast<std::size_t>(static_cast<double>(bytes) * part)));
  if (least > most)
    return Error{ErrorCode::kExhausted, "dedup_domains",
                 std::to_string(domains.size()) + " domains need " + std::to_string(least) +
                     " bytes at least, and there are " + std::to_string(most) + "; start sluiced with a larger --dedup-memory"};
  return out;
}

Result<void> give_dedup_memory(Snapshot& snapshot, const std::vector<DomainPlan>& domains, const std::vector<std::size_t>& bytes, bool shared,
                               const std::vector<DedupDomain>& in_force, const std::vector<DomainPlan>& domains_in_force) {
  for (std::size_t d = 0; d < domains.size(); ++d) {
    auto& memory = snapshot.domains[d].memory;
    for (std::size_t old = 0; old < domains_in_force.size(); ++old)
      if (domains_in_force[old].id == domains[d].id) memory = in_force[old].memory;
    // Half or twice of it does, too: what it remembers is worth more.
    if (memory && memory->table.bytes() >= bytes[d] / 2 && memory->table.bytes() <= bytes[d] * 2) continue;
    auto table = DedupTable::make(bytes[d], shared);
    if (!table) return Error{table.error().code, "dedup_domains", "domain \"" + domains[d].name + "\": " + table.error().message};
    memory = std::make_shared<DedupMemory>(std::move(*table));
  }
  return {};
}

void report_cost(const std::vector<DomainPlan>& domains, const std::vector<std::size_t>& bytes, std::size_t most, v1::Cost& cost) {
  cost.set_most_dedup_bytes(most);
  for (std::size_t d = 0; d < domains.size(); ++d) {
    auto* line = cost.add_dedup();
    line->set_domain(domains[d].name);
    line->set_bytes(bytes[d]);
    const double live = static_cast<double>(bytes[d] / DedupTable::kLineBytes) * kOccupancy;
    line->set_packets_per_second(static_cast<uint64_t>(live / seconds_live(domains[d])));
  }
}

}  // namespace sluice::compile
