// That nothing is dropped which is no duplicate: by counting. A file without threads, for ThreadSanitizer takes minutes to count so far.
#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "engine/dedup/fingerprint.h"
#include "engine/dedup/table.h"
#include "tests/builders/packet_builder.h"

using namespace sluice;

TEST_CASE("dedup table: of distinct packets none is dropped") {
  // 10^9 in the long tier: with 64 bits compared, 744,000 live ones and as many packets, one in 25,000 runs would drop one.
#if defined(__SANITIZE_ADDRESS__)
  const uint64_t packets = 1'000'000;
#else
  const char* tier = std::getenv("SLUICE_TIER");
  const uint64_t packets = tier && std::strcmp(tier, "long") == 0 ? 1'000'000'000 : 50'000'000;
#endif
  auto made = DedupTable::make(std::size_t{128} << 20, false);
  REQUIRE(made);
  DedupTable& table = *made;
  const Fingerprints by;
  auto burst = std::make_unique<Burst>();
  auto bytes = test::Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1025, 80).payload(std::string(22, '\0')).bytes();
  burst->add({bytes.data(), static_cast<uint32_t>(bytes.size()), 0}, 0);
  parse_burst(*burst);
  uint64_t dropped = 0;
  const Comparison comparison;
  std::array<uint64_t, 16> prints{};
  for (uint64_t n = 0; n < packets; n += prints.size()) {
    for (uint64_t i = 0; i < prints.size(); ++i) {
      const uint64_t number = n + i;
      std::memcpy(bytes.data() + 42, &number, sizeof number);
      table.prefetch(prints[i] = by.of(*burst, 0, comparison));
    }
    for (const uint64_t print : prints) dropped += table.look_up(print, 1'000'000'000'000 + n * 67, 50'000'000) == DedupTable::Answer::kDuplicate;
  }
  CHECK(dropped == 0);
}
