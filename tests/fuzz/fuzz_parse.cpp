#include <cstdlib>
#include <vector>

#include "packet/flow_hash.h"
#include "packet/parse.h"
#include "tests/fuzz/targets.h"

void sluice::fuzz::parse(Bytes bytes) {
  const std::vector<std::byte> packet(bytes.begin(), bytes.end());  // its own heap block: ASan sees one byte too far
  const Parsed p = sluice::parse(packet);
  const auto check = [&packet](const LayerSet& set) {
    if (set.payload_offset > packet.size() || set.l3_offset > packet.size() || set.l4_offset > packet.size()) std::abort();
    if (set.l4 != L4::kNone && !set.is_ip()) std::abort();
    // Whatever the set says is there can be read.
    for (unsigned i = 0; i < set.vlan_count; ++i) (void)vlan_tci(packet.data(), set, i);
    for (unsigned i = 0; i < set.mpls_count; ++i) (void)mpls_entry(packet.data(), set, i);
    (void)flow_hash(packet.data(), set);
    (void)pair_hash(packet.data(), set);
  };
  check(p.outer);
  if (p.has_inner) check(p.inner);
  if (p.has_inner && (p.tunnel == Tunnel::kNone || p.tunnel_offset > packet.size())) std::abort();
}
