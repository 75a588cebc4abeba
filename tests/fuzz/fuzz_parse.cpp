#include <cstdlib>
#include <vector>

#include "packet/flow_hash.h"
#include "packet/parse.h"
#include "tests/fuzz/targets.h"

void sluice::fuzz::parse(Bytes bytes) {
  const std::vector<std::byte> packet(bytes.begin(), bytes.end());  // its own heap block: ASan sees one byte too far
  const Parsed p = sluice::parse(packet);
  if (p.payload_offset > packet.size()) std::abort();
  if (p.l4 != L4::kNone && (p.l3 == L3::kNone || p.l4_offset > packet.size())) std::abort();
  (void)flow_hash(packet.data(), static_cast<uint32_t>(packet.size()), p);
}
