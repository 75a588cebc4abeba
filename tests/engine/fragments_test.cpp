// Rules on ports, TCP flags and ICMP types apply to all fragments of a datagram. What is expected follows from which datagram a fragment
// was cut from.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

using Bytes = std::vector<std::byte>;

std::string config_with(const std::string& match) {
  return R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"}, {"name": "t", "role": "TOOL"}],
    "maps": [{"name": "m", "sources": {"ports": ["in1", "in2"]}, "rules": [{"action": "PASS", "match": )" +
         match + R"(}], "destinations": [{"port": "t"}]}]})";
}

Bytes with_identification(Packet packet, uint16_t identification) {
  Bytes bytes = packet.bytes();
  bytes[18] = static_cast<std::byte>(identification >> 8), bytes[19] = static_cast<std::byte>(identification);
  return bytes;
}
constexpr uint16_t kMore = 0x2000;
/// The three fragments of a UDP datagram to this port.
std::vector<Bytes> datagram(uint16_t port, uint16_t identification, const std::string& src = "10.0.0.1") {
  const auto part = [&](uint16_t fragment) {
    Packet packet;
    packet.ethernet().ipv4(src, "10.0.0.2", fragment & 0x1FFF ? 17 : 255, fragment);
    if ((fragment & 0x1FFF) == 0) packet.udp(1000, port);
    return with_identification(packet.payload("12345678"), identification);
  };
  return {part(kMore), part(kMore | 2), part(3)};
}

struct Lab : Broker<> {
  explicit Lab(const std::string& match) : Broker<>(config_with(match)) {}
  void arrive(const Bytes& bytes, const std::string& port = "in1") { ports.at(port)->arrive(bytes); }
  [[nodiscard]] std::size_t waiting() { return floor.fragments.waiting().size(); }
  [[nodiscard]] uint64_t unknown() { return floor.book.worker().frag_unknown; }
  void balances() {
    const auto account = ledger();
    CHECK(account.unaccounted() == 0);
    CHECK(account.totals().held().packets() == waiting());
    CHECK(floor.pool.census().worker == waiting());
  }
};

}  // namespace

TEST_CASE("fragments: a rule on a port passes all fragments of a datagram to it, and none of another's") {
  Lab lab(R"({"l4": {"dst_port": ["53"]}})");
  for (const auto& [port, identification] : {std::pair<uint16_t, uint16_t>{53, 1}, {54, 2}})
    for (const auto& part : datagram(port, identification)) lab.arrive(part);
  lab.work();
  CHECK(lab.got("t") == 3);
  CHECK(lab.waiting() == 0);
  CHECK(lab.unknown() == 0);
  lab.balances();
}

TEST_CASE("fragments: one that comes before its first waits for it, accounted for, and goes out behind it") {
  Lab lab(R"({"l4": {"dst_port": ["53"]}})");
  const auto parts = datagram(53, 7);
  lab.arrive(parts[2]);
  lab.work();
  CHECK(lab.got("t") == 0);
  CHECK(lab.waiting() == 1);
  lab.balances();
  lab.arrive(parts[1], "in2");  // fragments may take different ways
  lab.work();
  CHECK(lab.waiting() == 2);
  lab.balances();
  lab.arrive(parts[0]);
  lab.work();
  CHECK(lab.waiting() == 0);
  REQUIRE(lab.got("t") == 3);
  CHECK(lab.ports.at("t")->sent()[0] == parts[0]);
  CHECK(lab.unknown() == 0);
  lab.balances();
}

TEST_CASE("fragments: without a first one they wait 50 ms, are matched without ports then, and counted") {
  Lab lab(R"({"l4": {"dst_port": ["53"]}})");
  lab.arrive(datagram(53, 7)[2]);
  lab.work();
  lab.pass_time(49'999'999);
  lab.work();
  CHECK(lab.waiting() == 1);
  lab.pass_time(1);
  lab.work();
  CHECK(lab.waiting() == 0);
  CHECK(lab.got("t") == 0);
  CHECK(lab.unknown() == 1);
  CHECK(lab.ledger().totals().unmatched().packets() == 1);
  lab.balances();
  Lab either(R"({"not": ["l4.dst_port"], "l4": {"dst_port": ["80"]}})");
  either.arrive(datagram(53, 7)[2]);
  either.run();
  CHECK(either.got("t") == 0);  // negated too: it has no port
}

TEST_CASE("fragments: where no rule asks for ports none waits") {
  Lab lab(R"({"ip": {"src": ["10.0.0.1"]}})");
  lab.arrive(datagram(53, 7)[2]);
  lab.work();
  CHECK(lab.got("t") == 1);
  CHECK(lab.unknown() == 0);
}

TEST_CASE("fragments: one source can keep 32 waiting, all together 256; those beyond are matched at once and counted") {
  Lab lab(R"({"l4": {"dst_port": ["53"]}})");
  for (uint16_t i = 0; i < 40; ++i) lab.arrive(datagram(53, i)[1]);
  lab.work();
  CHECK(lab.waiting() == Fragments::kMostOfSource);
  CHECK(lab.unknown() == 8);
  for (uint16_t i = 0; i < 300; ++i) lab.arrive(datagram(53, i, "10.0.1." + std::to_string(i % 250))[1]);
  lab.work();
  CHECK(lab.waiting() == Fragments::kMostWaiting);
  CHECK(lab.unknown() == 8 + 300 - (Fragments::kMostWaiting - Fragments::kMostOfSource));
  lab.balances();
  lab.run();
  lab.balances();
}

TEST_CASE("fragments: TCP flags, ICMP types and IPv6 likewise; another datagram's identification is no match") {
  const auto passed = [](const std::string& match, const Packet& first, const Packet& later) {
    Lab lab(match);
    lab.arrive(later.bytes());
    lab.arrive(first.bytes());
    lab.run();
    lab.balances();
    return lab.got("t");
  };
  const auto later4 = [](uint8_t protocol) { return Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", protocol, 4).payload("12345678"); };
  CHECK(passed(R"({"l4": {"tcp_flags": ["syn"]}})",
               Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", 255, kMore).tcp(1, 2, 2).payload("12345678"), later4(6)) == 2);
  CHECK(passed(R"({"icmp": {"type": ["8"]}})", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", 255, kMore).icmp(8).payload("12345678"),
               later4(1)) == 2);
  // The protocol is part of what tells datagrams apart.
  CHECK(passed(R"({"l4": {"dst_port": ["2"]}})", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", 255, kMore).udp(1, 2).payload("12345678"),
               later4(6)) == 1);
  // Behind an authentication header, which only the first one shows.
  CHECK(passed(R"({"ip": {"protocol": ["udp"]}, "l4": {"dst_port": ["2"]}})",
               Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", 255, kMore).ah().udp(1, 2).payload("12345678"), later4(51)) == 2);
  const auto first6 = Packet().ethernet().ipv6("2001:db8::1", "2001:db8::2").extension(44, 1, 1).udp(1, 2).payload("12345678");
  CHECK(passed(R"({"l4": {"dst_port": ["2"]}})", first6,
               Packet().ethernet().ipv6("2001:db8::1", "2001:db8::2").extension(44, 1, 32).payload("12345678")) == 2);
  CHECK(passed(R"({"l4": {"dst_port": ["2"]}})", first6,
               Packet().ethernet().ipv6("2001:db8::1", "2001:db8::3").extension(44, 1, 32).payload("12345678")) == 1);
}

TEST_CASE("fragments: of many datagrams in any order, exactly those of the rule's port come out, each fragment once") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  std::mt19937_64 random(seed);
  Lab lab(R"({"l4": {"dst_port": ["53"]}})");
  std::vector<Bytes> expected;
  for (unsigned round = 0; round < 40; ++round) {
    std::vector<Bytes> parts;
    for (uint16_t d = 0; d < 10; ++d) {
      const bool wanted = random() % 2 == 0;
      for (const auto& part : datagram(wanted ? 53 : 80, static_cast<uint16_t>(round * 10 + d))) {
        parts.push_back(part);
        if (wanted) expected.push_back(part);
      }
    }
    std::shuffle(parts.begin(), parts.end(), random);
    for (const auto& part : parts) {
      lab.arrive(part, random() % 2 ? "in1" : "in2");
      if (random() % 3 == 0) lab.work();
    }
    lab.work();
    lab.balances();
  }
  CHECK(lab.unknown() == 0);
  auto sent = lab.ports.at("t")->sent();
  std::sort(sent.begin(), sent.end());
  std::sort(expected.begin(), expected.end());
  CHECK(sent == expected);
}
