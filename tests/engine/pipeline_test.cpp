#include "engine/pipeline.h"

#include <doctest/doctest.h>

#include <set>

#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

const std::string kPorts = R"("ports": [
  {"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"},
  {"name": "tool1", "role": "TOOL"}, {"name": "tool2", "role": "TOOL"}, {"name": "tool3", "role": "TOOL"}, {"name": "tool4", "role": "TOOL"}])";

std::string with_maps(const std::string& maps, const std::string& more = "") { return "{" + kPorts + more + ", \"maps\": [" + maps + "]}"; }

Packet web(uint16_t client = 40000) { return Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").tcp(client, 80).payload("GET"); }
Packet dns() { return Packet().ethernet().ipv4("10.0.0.1", "10.0.0.53").udp(40001, 53).payload("query"); }

}  // namespace

TEST_CASE("pipeline: a map that passes everything delivers every packet byte for byte, in order") {
  Broker<> broker(
      with_maps(R"({"name": "all", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "tool1"}]})"));
  std::vector<std::vector<std::byte>> expected;
  for (uint16_t i = 0; i < 300; ++i) {
    broker.send("in1", web(i));
    expected.push_back(web(i).bytes());
  }
  broker.run();
  CHECK(broker.ports["tool1"]->sent() == expected);
  CHECK(broker.ledger().unaccounted() == 0);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("pipeline: overlapping maps each have their full view, and a tool that two of them name gets one copy") {
  Broker<> broker(with_maps(R"(
    {"name": "web", "sources": {"ports": ["in1"]}, "rules": [{"match": {"l4": {"port": ["80"]}}, "action": "PASS"}],
     "destinations": [{"port": "tool1"}, {"port": "tool2"}]},
    {"name": "all", "sources": {"ports": ["in1", "in2"]}, "default_action": "PASS", "destinations": [{"port": "tool1"}, {"port": "tool3"}]})"));
  broker.send("in1", web());
  broker.send("in1", dns());
  broker.send("in2", web());
  broker.run();
  CHECK(broker.got("tool1") == 3);
  CHECK(broker.got("tool2") == 1);
  CHECK(broker.got("tool3") == 3);
  const auto ledger = broker.ledger();
  CHECK(ledger.totals().copies().created().packets() == 8);
  CHECK(ledger.totals().copies().merged().packets() == 1);
  CHECK(ledger.totals().copies().sent().packets() == 7);
  CHECK(ledger.unaccounted() == 0);
}

TEST_CASE("pipeline: the first matching rule of a map decides, and what no map passes is unmatched") {
  Broker<> broker(with_maps(R"({"name": "web", "sources": {"ports": ["in1"]}, "rules": [
    {"match": {"ip": {"src": ["10.0.0.1"]}}, "action": "DROP"}, {"match": {"l4": {"dst_port": ["80"]}}, "action": "PASS"}],
    "destinations": [{"port": "tool1"}]})"));
  broker.send("in1", web());
  broker.send("in1", Packet().ethernet().ipv4("10.0.0.9", "10.0.0.2").tcp(1, 80));
  broker.send("in1", dns());
  broker.run();
  CHECK(broker.got("tool1") == 1);
  const auto ledger = broker.ledger();
  CHECK(ledger.totals().unmatched().packets() == 2);
  CHECK(ledger.maps(0).rules(0).hits().packets() == 2);
  CHECK(ledger.maps(0).rules(1).hits().packets() == 1);
}

TEST_CASE("pipeline: a consuming map hides what it passes from later consuming maps alone") {
  const std::string pass = R"("sources": {"ports": ["in1"]}, "default_action": "PASS")";
  Broker<> broker(with_maps(R"({"name": "first", "consume": true, )" + pass + R"(, "destinations": [{"port": "tool1"}]},
    {"name": "second", "consume": true, )" +
                            pass + R"(, "destinations": [{"port": "tool2"}]},
    {"name": "third", )" + pass +
                            R"(, "destinations": [{"port": "tool3"}]})"));
  broker.send("in1", web());
  broker.run();
  CHECK(broker.got("tool1") == 1);
  CHECK(broker.got("tool2") == 0);
  CHECK(broker.got("tool3") == 1);
  CHECK(broker.ledger().maps(1).hidden().packets() == 1);
}

TEST_CASE("pipeline: a collector gets what no rule and no default of another map on that port took, wherever it stands") {
  Broker<> broker(with_maps(R"(
    {"name": "rest", "kind": "COLLECTOR", "sources": {"ports": ["in1", "in2"]}, "destinations": [{"port": "tool2"}]},
    {"name": "web", "sources": {"ports": ["in1"]}, "rules": [{"match": {"l4": {"port": ["80"]}}, "action": "PASS"},
      {"match": {"ip": {"protocol": ["icmp"]}}, "action": "DROP"}], "destinations": [{"port": "tool1"}]})"));
  broker.send("in1", web());
  broker.send("in1", dns());
  broker.send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").icmp(8));
  broker.send("in2", web());
  broker.run();
  CHECK(broker.got("tool1") == 1);
  CHECK(broker.got("tool2") == 2);  // DNS from in1, and web from in2, where no other map listens
}

TEST_CASE("pipeline: both directions of a flow sit on one member, and the shares follow the weights") {
  Broker<> broker(
      with_maps(R"({"name": "all", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"tool_group": "ids"}]})",
                R"(, "tool_groups": [{"name": "ids", "members": [{"port": "tool3"}, {"port": "tool4", "weight": 3}]}])"));
  for (uint16_t flow = 0; flow < 2000; ++flow) {
    broker.send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").tcp(static_cast<uint16_t>(1024 + flow), 80));
    broker.send("in1", Packet().ethernet().ipv4("10.0.0.2", "10.0.0.1").tcp(80, static_cast<uint16_t>(1024 + flow)));
  }
  broker.run();
  const auto flows = [&](const std::string& tool) {
    std::multiset<uint16_t> ports;
    for (const auto& packet : broker.ports[tool]->sent()) {
      const Parsed p = parse(packet);
      ports.insert(p.outer.src_port == 80 ? p.outer.dst_port : p.outer.src_port);
    }
    return ports;
  };
  const auto three = flows("tool3");
  const auto four = flows("tool4");
  for (const uint16_t flow : three) CHECK(three.count(flow) == 2);
  CHECK(three.size() + four.size() == 4000);
  CHECK(three.size() / 2 == doctest::Approx(500).epsilon(0.2));
  CHECK(broker.ledger().unaccounted() == 0);
}

TEST_CASE("pipeline: copies for a group whose members are all drained, and for a disabled tool, are dropped by name") {
  Broker<> broker(
      R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}, {"name": "t2", "role": "TOOL", "enabled": false}],
    "tool_groups": [{"name": "g", "members": [{"port": "t1", "drained": true}]}],
    "maps": [{"name": "all", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"tool_group": "g"}, {"port": "t2"}]}]})");
  broker.send("in1", web());
  broker.run();
  const auto ledger = broker.ledger();
  CHECK(ledger.maps(0).destinations(0).copies().dropped(0).reason() == "no_member");
  CHECK(ledger.maps(0).destinations(1).copies().dropped(0).reason() == "tool_down");
  CHECK(ledger.totals().fanned_out().packets() == 1);
  CHECK(ledger.unaccounted() == 0);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}
