// What a survey finds: packets are made here, so it is known which come again, how much later, and what was changed.
#include "engine/dedup/survey.h"

#include <doctest/doctest.h>

#include <cstring>
#include <numeric>
#include <thread>
#include <tuple>

#include "base/endian.h"
#include "tests/builders/packet_builder.h"
#include "tests/packet/cases.h"

using namespace sluice;
using sluice::test::Packet;
namespace ignore = dedup_ignore;

namespace {

constexpr uint64_t kMs = 1'000'000, kSecond = 1000 * kMs;
using Bytes = std::vector<std::byte>;

void look_at(DedupSurveyor& surveyor, PortSlot port, uint64_t now, const std::vector<Bytes>& packets) {
  auto burst = std::make_unique<Burst>();
  for (const Bytes& packet : packets) burst->add({packet.data(), static_cast<uint32_t>(packet.size()), 0}, 0);
  parse_burst(*burst);
  surveyor.look_at(*burst, port, now);
}

Packet some(const std::string& text, uint16_t vlan = 0, const std::string& src_mac = "02:00:00:00:00:01", unsigned label = 0) {
  Packet p;
  p.ethernet(src_mac);
  if (vlan) p.vlan(vlan);
  if (label) p.mpls(label);
  return p.ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(text);
}

/// As a router or a switch would: a byte of the IPv4 header, and its checksum.
Bytes with_ip_byte(Bytes packet, std::size_t at, unsigned value) {
  packet[14 + at] = static_cast<std::byte>(value);
  packet[14 + 10] ^= std::byte{0x55};
  return packet;
}

uint64_t sum(const auto& of) { return std::accumulate(of.begin(), of.end(), uint64_t{0}); }

}  // namespace

TEST_CASE("survey: a packet that comes again is noted with both ports, the delay and what was changed on the way") {
  const Bytes plain = some("a packet").bytes();
  Bytes checksum = plain;
  checksum[14 + 10] ^= std::byte{0x55};
  struct Case {
    const char* what;
    Bytes again;
    unsigned difference;
  };
  for (const Case& c : {Case{"the same", plain, 0}, {"a tag", some("a packet", 7).bytes(), ignore::kVlan},
                        {"another source address", some("a packet", 0, "02:00:00:00:00:99").bytes(), ignore::kMac},
                        {"a hop", with_ip_byte(plain, 8, 63), ignore::kTtl}, {"a class", with_ip_byte(plain, 1, 0xB8), ignore::kDscp},
                        {"a label", some("a packet", 0, "02:00:00:00:00:01", 77).bytes(), ignore::kMpls}, {"the checksum alone", checksum, ignore::kIpChecksum},
                        {"a tag and a source address", some("a packet", 9, "02:00:00:00:00:99").bytes(), ignore::kVlan | ignore::kMac}}) {
    CAPTURE(c.what);
    DedupSurvey survey(1);
    DedupSurveyor surveyor(survey);
    look_at(surveyor, 3, kSecond, {plain, some("another").bytes()});
    look_at(surveyor, 5, kSecond + 3 * kMs, {some("a third").bytes(), c.again});
    REQUIRE(surveyor.pairs.size() == 1);
    const auto& pair = surveyor.pairs[0];
    CHECK(pair.first == 3);
    CHECK(pair.second == 5);
    CHECK(pair.duplicates == 1);
    CHECK(pair.by_difference[c.difference] == 1);
    CHECK(sum(pair.by_difference) == 1);
    CHECK(pair.by_delay[12] == 1);  // 2,048 to 4,095 microseconds
    CHECK(surveyor.ports[3].looked_at == 2);
    CHECK(surveyor.ports[3].duplicates == 0);
    CHECK(surveyor.ports[5].received == 2);
    CHECK(surveyor.ports[5].duplicates == 1);
  }
}

TEST_CASE("survey: what differs elsewhere, what is repeated with another identification, and what comes a second later are other packets") {
  const Bytes plain = some("a packet").bytes();
  Bytes address = plain, port = plain, identification = plain, text = plain;
  address[14 + 15] ^= std::byte{1}, port[14 + 20 + 1] ^= std::byte{1}, identification[14 + 5] ^= std::byte{1}, text.back() ^= std::byte{1};
  DedupSurvey survey(1);
  DedupSurveyor surveyor(survey);
  look_at(surveyor, 1, kSecond, {plain, address, port, identification, text});
  look_at(surveyor, 1, 2 * kSecond + 1, {plain});
  CHECK(surveyor.pairs.empty());
  look_at(surveyor, 1, 3 * kSecond, {plain});  // within a second of the one before, which is a first one
  CHECK(surveyor.pairs.size() == 1);
  // An identical BPDU every two seconds.
  Bytes bpdu = Packet().ethernet("02:00:00:00:00:01", "01:80:c2:00:00:00").llc(0x42, 0x42).payload("spanning tree").bytes();
  for (unsigned n = 0; n < 1800; ++n) look_at(surveyor, 2, (10 + 2 * n) * kSecond, {bpdu});
  CHECK(surveyor.ports[2].looked_at == 1800);
  CHECK(surveyor.ports[2].duplicates == 0);
}

TEST_CASE("survey: whatever comes, however short, is looked at, and once more it is a duplicate") {
  DedupSurvey survey(1);
  DedupSurveyor surveyor(survey);
  uint64_t now = kSecond, packets = 0;
  for (const auto& one : test::parse_cases()) {
    const Bytes whole = one.packet.bytes();
    for (std::size_t length = 0; length <= std::min<std::size_t>(whole.size(), 200); length += 3, ++packets, now += kMs) {
      const Bytes head(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      look_at(surveyor, 1, now, {head});
      look_at(surveyor, 2, now, {head});
    }
  }
  CHECK(surveyor.ports[2].looked_at == packets);
  CHECK(surveyor.ports[2].duplicates == packets);
}

TEST_CASE("survey: of IPv6, too, it is told what was changed") {
  const auto v6 = [] { return Packet().ethernet().ipv6("2001:db8::1", "2001:db8::2").udp(1, 2).payload("a packet").bytes(); };
  for (const auto& [at, bits, difference] : {std::tuple{7, 0x01, ignore::kTtl}, {1, 0x80, ignore::kDscp}, {0, 0x01, ignore::kDscp}}) {  // RFC 8200 section 3
    DedupSurvey survey(1);
    DedupSurveyor surveyor(survey);
    Bytes again = v6();
    again[14 + static_cast<std::size_t>(at)] ^= static_cast<std::byte>(bits);
    look_at(surveyor, 3, kSecond, {v6()});
    look_at(surveyor, 5, kSecond - 1, {again});  // another worker's clock, read a little earlier
    REQUIRE(surveyor.pairs.size() == 1);
    CHECK(surveyor.pairs[0].by_difference[difference] == 1);
    CHECK(surveyor.pairs[0].by_delay[0] == 1);
  }
}

TEST_CASE("survey: duplicates of more pairs than there is room for are counted together") {
  DedupSurvey survey(1);
  DedupSurveyor surveyor(survey);
  for (PortSlot first = 0; first < 20; ++first)
    for (PortSlot second = 20; second < 40; ++second) {
      const Bytes packet = some(std::to_string(first) + " and " + std::to_string(second)).bytes();
      look_at(surveyor, first, kSecond, {packet});
      look_at(surveyor, second, kSecond, {packet});
    }
  CHECK(surveyor.pairs.size() == DedupSurveyor::kMostPairs);
  CHECK(surveyor.left_out == 400 - DedupSurveyor::kMostPairs);
}

TEST_CASE("survey: of many packets a part is looked at, and the share of duplicates is found all the same") {
  DedupSurvey survey(1);
  DedupSurveyor surveyor(survey);
  std::vector<Bytes> packets(kBurst, some("12345678").bytes());
  // A second of a million and a half packets on each of two ports; every fourth of the one comes on the other as well, a millisecond later.
  constexpr unsigned kBursts = 23'437, kLater = 23;
  const auto number = [&](uint64_t burst, uint64_t port) {
    for (unsigned i = 0; i < kBurst; ++i) {
      const uint64_t n = burst * kBurst + i + (i % 4 == 0 ? 0 : port << 40);
      std::memcpy(packets[i].data() + packets[i].size() - 8, &n, sizeof n);
    }
  };
  for (unsigned b = 0; b < kBursts + kLater; ++b) {
    const uint64_t now = kSecond + b * kSecond / kBursts;
    number(b, 1);
    look_at(surveyor, 1, now, packets);
    if (b < kLater) continue;
    number(b - kLater, 2);
    look_at(surveyor, 2, now, packets);
  }
  CHECK(survey.sampled() >= 32);
  CHECK(survey.sampled() <= 512);
  CHECK(surveyor.ports[1].received > 1'500'000);
  CHECK(surveyor.ports[1].duplicates == 0);
  const auto& later = surveyor.ports[2];
  CHECK(later.looked_at > 4'000);
  CHECK(later.looked_at < 200'000);
  CHECK(later.looked_at * survey.sampled() < later.received * 11 / 10);  // of the part alone that is looked at in the end
  CHECK(static_cast<double>(later.duplicates) / static_cast<double>(later.looked_at) == doctest::Approx(0.25).epsilon(0.03));
}

TEST_CASE("survey: two workers find together what comes to one after the other, and each packet has one first") {
  DedupSurvey survey(2);
  std::vector<DedupSurveyor> surveyors;
  surveyors.reserve(2);
  for (unsigned w = 0; w < 2; ++w) surveyors.emplace_back(survey);
  constexpr unsigned kBursts = 20;  // fewer than make it look at a part alone
  const auto work = [&](unsigned w) {
    for (unsigned b = 0; b < kBursts; ++b) {
      std::vector<Bytes> packets;
      for (unsigned i = 0; i < kBurst; ++i) packets.push_back(some("number " + std::to_string(b * kBurst + i)).bytes());
      look_at(surveyors[w], static_cast<PortSlot>(w), kSecond + b, packets);
    }
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  const uint64_t looked_at = surveyors[0].ports[0].looked_at + surveyors[1].ports[1].looked_at;
  const uint64_t duplicates = surveyors[0].ports[0].duplicates + surveyors[1].ports[1].duplicates;
  // Where both are at one place at once, and one has lost its core there, the other goes on without.
  CHECK(looked_at <= 2 * kBursts * kBurst);
  CHECK(looked_at >= 2 * kBursts * kBurst * 9 / 10);
  CHECK(duplicates <= kBursts * kBurst);
  CHECK(duplicates >= kBursts * kBurst * 8 / 10);
}
