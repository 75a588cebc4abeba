// How many flows there are, and which ones are large: against counts that the test makes itself.
#include "engine/flow_census.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "packet/flow_hash.h"
#include "tests/builders/packet_builder.h"

using namespace sluice;
using test::Packet;

namespace {

/// Bursts of packets of numbered flows, given to a census.
struct Crowd {
  FlowCensus census{2};
  std::map<unsigned, std::vector<std::byte>> packets;  ///< by flow
  std::map<unsigned, uint64_t> bytes;                  ///< that came, likewise
  uint64_t all = 0;
  Burst burst;
  std::array<uint64_t, kBurst> hashes{};

  static uint64_t hash_of(const std::vector<std::byte>& packet) {
    const Parsed parsed = parse(packet);
    return balance_hash(packet.data(), parsed, {});
  }
  void send(unsigned flow, unsigned length) {
    auto& packet = packets[flow];
    if (packet.empty()) packet = Packet().ethernet().ipv4("10.0." + std::to_string(flow >> 8) + "." + std::to_string(flow & 255), "192.0.2.1").udp(1000, 53).pad_to(length).bytes();
    bytes[flow] += packet.size(), all += packet.size();
    hashes[burst.size] = hash_of(packet);
    burst.add({packet.data(), static_cast<uint32_t>(packet.size()), 0}, 0);
    if (burst.size == kBurst) pass();
  }
  void pass() {
    parse_burst(burst);
    census.note(1, {}, {}, burst, hashes, burst.all());
    burst.clear();
  }
  double flows() const {
    double out = 0;
    for (const uint64_t seen : census.of(1).seen) out += flows_of(seen);
    return out;
  }
};

}  // namespace

TEST_CASE("flow census: flows are counted within a tenth, from a hundred to fifty thousand, however many packets each has") {
  for (const unsigned flows : {100U, 5000U, 50'000U}) {
    CAPTURE(flows);
    Crowd crowd;
    for (unsigned round = 0; round < 3; ++round)
      for (unsigned flow = 0; flow < flows; ++flow) crowd.send(flow, 64);
    crowd.pass();
    CHECK(crowd.flows() > 0.9 * flows);
    CHECK(crowd.flows() < 1.1 * flows);
    CHECK(std::all_of(crowd.census.of(0).seen.begin(), crowd.census.of(0).seen.end(), [](uint64_t seen) { return seen == 0; }));
  }
}

TEST_CASE("flow census: a flow with a twentieth of the load is among the largest and its part is near the truth, whatever thousands are beside it") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  std::mt19937 random(seed);
  Crowd crowd;
  constexpr unsigned kMice = 3000, kElephants = 3;
  for (unsigned n = 0; n < 400'000; ++n) {
    const auto dice = static_cast<unsigned>(random() % 100);
    if (dice < 30) crowd.send(kMice, 256);
    else if (dice < 45) crowd.send(kMice + 1, 256);
    else if (dice < 50) crowd.send(kMice + 2, 256);
    else crowd.send(static_cast<unsigned>(random() % kMice), 256);
  }
  crowd.pass();
  const auto& seen = crowd.census.of(1);
  CHECK(seen.flows.size() == FlowCensus::kLargest);
  for (unsigned elephant = 0; elephant < kElephants; ++elephant) {
    const auto found = std::find_if(seen.flows.begin(), seen.flows.end(),
                                    [&](const auto& flow) { return flow.hash == Crowd::hash_of(crowd.packets[kMice + elephant]); });
    REQUIRE(found != seen.flows.end());
    const double part = static_cast<double>(found->bytes - found->others) / static_cast<double>(seen.bytes);
    const double truth = static_cast<double>(crowd.bytes[kMice + elephant]) / static_cast<double>(crowd.all);
    CHECK(part > truth - 0.03);
    CHECK(part < truth + 0.03);
    CHECK(found->name.ip);
    CHECK(found->name.dst_port == 53);
    CHECK(std::to_integer<unsigned>(found->name.src[3]) == ((kMice + elephant) & 255));
  }
  // What is sure to be a mouse's is little.
  for (const auto& flow : seen.flows) {
    if (static_cast<double>(flow.bytes - flow.others) < 0.004 * static_cast<double>(seen.bytes)) continue;
    CHECK(std::to_integer<unsigned>(flow.name.src[2]) * 256 + std::to_integer<unsigned>(flow.name.src[3]) >= kMice);
  }
}
