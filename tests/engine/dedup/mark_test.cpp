// Deduplication as a tool sees it: what a domain marks, who gets it all the same, and what the counters say.
#include <doctest/doctest.h>

#include "engine/tracer.h"
#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

/// Ports in1 to in3 and t1 to t3, of which t2 keeps duplicates and t3 is fed by a map of its own as t1 is.
std::string config_with(const std::string& domains) {
  return R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"}, {"name": "in3", "role": "NETWORK"},
      {"name": "t1", "role": "TOOL"}, {"name": "t2", "role": "TOOL"}, {"name": "t3", "role": "TOOL"}],
    "dedup_domains": [)" +
         domains + R"(],
    "tool_groups": [{"name": "g", "members": [{"port": "t3"}]}],
    "maps": [{"name": "m", "sources": {"ports": ["in1", "in2", "in3"]}, "default_action": "PASS",
              "destinations": [{"port": "t1"}, {"port": "t2", "duplicates": "KEEP"}, {"tool_group": "g"}]}]})";
}
const std::string kTwoPorts = R"({"name": "d", "ports": ["in1", "in2"]})";

Packet packet(uint16_t number, uint8_t vlan = 0) {
  Packet p;
  p.ethernet();
  if (vlan) p.vlan(vlan);
  return p.ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).payload("number " + std::to_string(number));
}

v1::Received received(Broker<>& broker, const std::string& port) {
  const auto ledger = broker.ledger();
  CHECK(ledger.unaccounted() == 0);
  for (const auto& p : ledger.ports())
    if (p.name() == port) return p.received();
  throw std::out_of_range(port);
}

constexpr uint64_t kMs = 1'000'000;

}  // namespace

TEST_CASE("dedup: of a packet that two ports of a domain receive a tool gets one, and a recorder that keeps duplicates both") {
  Broker broker(config_with(kTwoPorts));
  for (uint16_t n = 0; n < 100; ++n) {
    broker.send("in1", packet(n));
    broker.send("in2", packet(n, 9));  // the SPAN of another switch, with its tag
  }
  broker.run();
  CHECK(broker.got("t1") == 100);
  CHECK(broker.got("t2") == 200);
  CHECK(broker.got("t3") == 100);
  CHECK(received(broker, "in1").duplicates().packets() + received(broker, "in2").duplicates().packets() == 100);
  CHECK(received(broker, "in1").compared().packets() == 100);
  CHECK(received(broker, "in1").dedup_evicted_live() == 0);
  const auto ledger = broker.ledger();
  for (const auto& port : ledger.ports()) {
    const uint64_t dropped = port.name() == "t1" || port.name() == "t3" ? 100 : 0;
    CHECK(port.copies().created().packets() == port.copies().sent().packets() + dropped);
    if (dropped == 0) continue;
    REQUIRE(port.copies().dropped_size() == 1);
    CHECK(port.copies().dropped(0).reason() == "duplicate");
    CHECK(port.copies().dropped(0).packets() == 100);
  }
}

TEST_CASE("dedup: a copy of one burst is a duplicate as one of another burst is") {
  Broker broker(config_with(kTwoPorts));
  for (int n = 0; n < 10; ++n) broker.send("in1", packet(1));
  broker.run();
  CHECK(broker.got("t1") == 1);
}

TEST_CASE("dedup: beyond the window a packet is a new one, at its end it is not") {
  Broker broker(config_with(R"({"name": "d", "ports": ["in1"], "window": 1000})"));
  broker.pass_time(5000 * kMs);
  const auto send = [&] {
    broker.send("in1", packet(1));
    broker.run();
    return broker.got("t1");
  };
  CHECK(send() == 1);
  broker.pass_time(1 * kMs);
  CHECK(send() == 1);
  broker.pass_time(1);
  CHECK(send() == 2);
}

TEST_CASE("dedup: a retransmission is no duplicate, nor is what another domain or no domain receives") {
  Broker broker(config_with(kTwoPorts + R"(, {"name": "other", "ports": ["in3"]})"));
  const auto segment = [](uint16_t id) {  // the same segment once more: IPv4 identifications differ (RFC 6864)
    auto p = packet(1);
    p.identification(id);
    return p;
  };
  broker.send("in1", segment(1));
  broker.send("in1", segment(2));
  broker.run();
  CHECK(broker.got("t1") == 2);
  broker.send("in3", segment(1));
  broker.run();
  CHECK(broker.got("t1") == 3);
  Broker without(config_with(R"({"name": "d", "ports": ["in1"]})"));
  for (int n = 0; n < 2; ++n) without.send("in2", packet(1));
  without.run();
  CHECK(without.got("t1") == 2);
  CHECK(received(without, "in2").compared().packets() == 0);
}

TEST_CASE("dedup: a broadcast seen on two VLANs is one if told so, and two if not") {
  for (const bool told : {true, false}) {
    Broker broker(config_with(told ? kTwoPorts : R"({"name": "d", "ports": ["in1", "in2"], "ignore": ["TTL"]})"));
    for (const uint16_t vlan : {uint16_t{10}, uint16_t{20}})
      broker.send("in1", Packet().ethernet("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff").vlan(vlan).arp("10.0.0.1", "10.0.0.2"));
    broker.run();
    CHECK(broker.got("t1") == (told ? 1 : 2));
  }
}

TEST_CASE("dedup: a change of maps or of the domain's window forgets nothing") {
  Broker broker(config_with(kTwoPorts));
  broker.send("in1", packet(1));
  broker.run();
  broker.apply(config_with(R"({"name": "renamed", "ports": ["in1", "in2"], "window": 60000})"));
  broker.send("in2", packet(1));
  broker.run();
  CHECK(broker.got("t1") == 1);
}

TEST_CASE("dedup: explain says that a packet was compared, and that it was seen") {
  Broker<Tracer> broker(config_with(kTwoPorts));
  const auto told = [&] {
    broker.pipeline.observer().packets.clear();
    broker.send("in1", packet(1));
    broker.run();
    return compile::report_trace(broker.compiled.plan, broker.pipeline.observer().packets.front());
  };
  const auto first = told(), second = told();
  CHECK(first.steps(1).stage() == "dedup");
  CHECK(first.steps(1).outcome() == v1::Outcome::COMPARED);
  CHECK(first.delivered_to_size() == 3);
  CHECK(second.steps(1).outcome() == v1::Outcome::DUPLICATE);
  CHECK(second.steps(1).text().find("domain d ") != std::string::npos);
  CHECK(second.delivered_to_size() == 1);
}
