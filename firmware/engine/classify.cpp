#include "engine/classify.h"

#include <algorithm>
#include <cstring>

namespace sluice {
namespace {

bool in_any(const std::vector<Range>& ranges, uint32_t value) {
  return std::any_of(ranges.begin(), ranges.end(), [value](Range r) { return value >= r.from && value <= r.to; });
}

bool in_prefix(const Prefix& prefix, const std::byte* address, unsigned size) {
  if ((prefix.address.version == 4 ? 4U : 16U) != size) return false;
  const unsigned whole = prefix.length / 8;
  if (std::memcmp(prefix.address.bytes.data(), address, whole) != 0) return false;
  const unsigned rest = prefix.length % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<uint8_t>(0xFF00U >> rest);
  return ((prefix.address.bytes[whole] ^ std::to_integer<uint8_t>(address[whole])) & mask) == 0;
}

bool in_any(const std::vector<Prefix>& prefixes, const std::byte* address, unsigned size) {
  return std::any_of(prefixes.begin(), prefixes.end(), [=](const Prefix& p) { return in_prefix(p, address, size); });
}

/// One direction: `swapped` reads the packet as if it came from the other end.
bool matches_one_way(const RuleMatch& m, const std::byte* frame, const LayerSet& p, bool swapped) {
  if (!m.src.empty() || !m.dst.empty() || !m.addr.empty()) {
    if (!p.is_ip()) return false;
    auto [src, dst, size] = addresses(frame, p);
    if (swapped) std::swap(src, dst);
    if (!m.src.empty() && !in_any(m.src, src, size)) return false;
    if (!m.dst.empty() && !in_any(m.dst, dst, size)) return false;
    if (!m.addr.empty() && !in_any(m.addr, src, size) && !in_any(m.addr, dst, size)) return false;
  }
  if (!m.src_port.empty() || !m.dst_port.empty() || !m.port.empty()) {
    if (!p.has(parse_flag::kHasPorts)) return false;
    const uint16_t src = swapped ? p.dst_port : p.src_port;
    const uint16_t dst = swapped ? p.src_port : p.dst_port;
    if (!m.src_port.empty() && !in_any(m.src_port, src)) return false;
    if (!m.dst_port.empty() && !in_any(m.dst_port, dst)) return false;
    if (!m.port.empty() && !in_any(m.port, src) && !in_any(m.port, dst)) return false;
  }
  return true;
}

bool matches(const RuleMatch& m, const std::byte* frame, const LayerSet& p) {
  if (m.ip_version == 4 && p.l3 != L3::kIpv4) return false;
  if (m.ip_version == 6 && p.l3 != L3::kIpv6) return false;
  if (!m.any_protocol && (!p.is_ip() || !p.has(parse_flag::kHasProtocol) || !m.protocols[p.ip_protocol])) return false;
  if (!m.vlan_id.empty()) {
    if (p.vlan_count < m.vlan_level) return false;
    if (!in_any(m.vlan_id, vlan_tci(frame, p, m.vlan_level - 1U) & 0x0FFFU)) return false;
  }
  return matches_one_way(m, frame, p, false) || (m.bidirectional && matches_one_way(m, frame, p, true));
}

bool is_source(const ClassifierMap& map, PortSlot port, const std::byte* frame, const LayerSet& p) {
  if (!map.ports[port]) return false;
  if (map.vlans.empty() && !map.untagged) return true;
  if (p.vlan_count == 0) return map.untagged;
  return in_any(map.vlans, vlan_tci(frame, p, 0) & 0x0FFFU);
}

}  // namespace

void Classifier::classify(const Burst& burst, PortSlot port, VerdictBuffer& out) const {
  uint32_t end = 0;
  for (unsigned i = 0; i < burst.size; ++i) {
    out.begin[i] = end;
    for (const auto& map : maps_) {
      if (!is_source(map, port, burst.frames[i].data, burst.parsed[i].outer)) continue;
      const auto first = std::find_if(map.rules.begin(), map.rules.end(), [&](const ClassifierRule& rule) {
        return matches(rule.match, burst.frames[i].data, burst.parsed[i].outer);
      });
      if (first != map.rules.end()) out.verdicts[end++] = {map.map, first->index, first->pass};
      else if (map.default_pass) out.verdicts[end++] = {map.map, kNoRule, true};
    }
  }
  out.begin[burst.size] = end;
}

}  // namespace sluice
