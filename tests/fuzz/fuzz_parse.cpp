#include <cstdlib>
#include <memory>
#include <vector>

#include "engine/dedup/fingerprint.h"
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
  for (const bool inner : {false, true})
    for (const unsigned fields : {1U, 0xFEU}) (void)balance_hash(packet.data(), p, {static_cast<uint8_t>(fields), inner});
  // What deduplication compares can be read.
  static const Fingerprints fingerprints;
  auto burst = std::make_unique<Burst>();
  burst->add({packet.data(), static_cast<uint32_t>(packet.size()), 0}, 0);
  burst->parsed[0] = p;
  for (const auto start : {DedupStart::kFrame, DedupStart::kL3, DedupStart::kInnerL3})
    for (const unsigned ignored : {0U, 5U, 0x7FU, 0xFFU}) {
      const Comparison comparison(start, static_cast<uint8_t>(ignored));
      if (fingerprints.of(*burst, 0, comparison) == 0) std::abort();
    }
  if (p.has_inner && (p.tunnel == Tunnel::kNone || p.tunnel_offset > packet.size())) std::abort();
}
