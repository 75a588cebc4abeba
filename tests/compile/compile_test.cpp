#include "compile/compile.h"

#include <doctest/doctest.h>

#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

/// The path that a configuration is refused with; empty if it is not.
std::string refused_at(const std::string& json) {
  compile::Compiler compiler;
  const auto r = compiler.compile(test::make_config(json), 1);
  return r ? "" : r.error().field_path;
}

/// Whether a rule with this match passes this packet.
bool passes(const std::string& match, const Packet& packet) {
  Broker<> broker(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}],
    "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "rules": [{"match": )" +
                  match + R"(, "action": "PASS"}], "destinations": [{"port": "t1"}]}]})");
  broker.send("in1", packet);
  broker.run();
  return broker.got("t1") == 1;
}

const std::string kPorts = R"("ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}])";

}  // namespace

TEST_CASE("compile: a map's mistakes are refused by their path") {
  CHECK(refused_at("{" + kPorts + R"(, "maps": [{"name": "m", "sources": {"ports": ["t1"]}}]})") == "maps[0].sources.ports[0]");
  CHECK(refused_at("{" + kPorts + R"(, "maps": [{"name": "m", "sources": {}, "destinations": [{"port": "in1"}]}]})") ==
        "maps[0].destinations[0].port");
  CHECK(refused_at("{" + kPorts + R"(, "maps": [{"name": "m", "sources": {}, "destinations": [{"port": "t1"}, {"port": "t1"}]}]})") ==
        "maps[0].destinations[1]");
  CHECK(refused_at("{" + kPorts + R"(, "maps": [{"name": "m", "kind": "COLLECTOR", "sources": {}, "rules": [{"action": "PASS"}]}]})") ==
        "maps[0].rules");
  CHECK(refused_at("{" + kPorts + R"(, "tap_pairs": [{"name": "p", "a": "in1", "b": "in1"}]})") == "tap_pairs[0].b");
  CHECK(refused_at("{" + kPorts + R"(, "tool_groups": [{"name": "g", "members": [{"port": "t1"}, {"port": "t1"}]}]})") ==
        "tool_groups[0].members[1].port");
  CHECK(refused_at("{" + kPorts + R"(, "maps": [{"name": "m", "enabled": false, "sources": {"ports": ["t1"]}}]})") ==
        "maps[0].sources.ports[0]");
  CHECK(
      refused_at(
          R"({"ports": [{"name": "a", "role": "NETWORK", "device": "02:00:00:00:00:01"}, {"name": "b", "role": "TOOL", "device": "02:00:00:00:00:01"}]})") ==
      "ports[1].device");
}

TEST_CASE("compile: a port group is no TAP pair, whatever its id") {
  auto config = test::make_config("{" + kPorts + R"(, "port_groups": [{"name": "x"}], "maps": [{"name": "m", "sources": {"port_groups": ["x"]}}]})");
  auto& sources = *config.mutable_maps(0)->mutable_sources();
  sources.mutable_tap_pairs()->Swap(sources.mutable_port_groups());
  compile::Compiler compiler;
  const auto refused = compiler.compile(config, 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().field_path == "maps[0].sources.tap_pairs[0]");
}

TEST_CASE("match: prefixes of both IP versions, and a packet without the field never matches") {
  const auto v4 = Packet().ethernet().ipv4("10.1.2.3", "192.0.2.9").tcp(1025, 80);
  const auto v6 = Packet().ethernet().ipv6("2001:db8:1::5", "2001:db8:2::6").udp(53, 999);
  CHECK(passes(R"({"ip": {"src": ["10.1.0.0/16"]}})", v4));
  CHECK_FALSE(passes(R"({"ip": {"src": ["10.2.0.0/16"]}})", v4));
  CHECK(passes(R"({"ip": {"src": ["10.2.0.0/16", "10.1.2.2/31"]}})", v4));
  CHECK(passes(R"({"ip": {"dst": ["2001:db8:2::/47"]}})", v6));
  CHECK_FALSE(passes(R"({"ip": {"dst": ["2001:db8:1::/48"]}})", v6));
  CHECK(passes(R"({"ip": {"addr": ["2001:db8:1::/48"]}})", v6));
  CHECK(passes(R"({"ip": {"src": ["0.0.0.0/0"]}})", v4));
  CHECK_FALSE(passes(R"({"ip": {"src": ["0.0.0.0/0"]}})", v6));
  CHECK_FALSE(passes(R"({"ip": {"src": ["::/0"]}})", v4));
  CHECK_FALSE(passes(R"({"ip": {"src": ["0.0.0.0/0"]}})", Packet().ethernet().ethertype(0x0806).pad_to(60)));
  CHECK(passes(R"({"ip": {"version": 6}})", v6));
  CHECK_FALSE(passes(R"({"ip": {"version": 4}})", v6));
  CHECK(passes("{}", Packet().ethernet().pad_to(60)));
}

TEST_CASE("match: protocols and ports, alone and together, in one direction or both") {
  const auto packet = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(5000, 53);
  CHECK(passes(R"({"ip": {"protocol": ["tcp", "17"]}})", packet));
  CHECK_FALSE(passes(R"({"ip": {"protocol": ["tcp"]}})", packet));
  CHECK(passes(R"({"l4": {"dst_port": ["50-60"]}})", packet));
  CHECK_FALSE(passes(R"({"l4": {"src_port": ["53"]}})", packet));
  CHECK(passes(R"({"l4": {"port": ["53"]}})", packet));
  CHECK(passes(R"({"bidirectional": true, "l4": {"src_port": ["53"]}})", packet));
  // Swapped together: an address and a port of different ends do not add up to a match.
  CHECK_FALSE(passes(R"({"bidirectional": true, "ip": {"src": ["10.0.0.1"]}, "l4": {"src_port": ["53"]}})", packet));
  CHECK(passes(R"({"bidirectional": true, "ip": {"src": ["10.0.0.2"]}, "l4": {"src_port": ["53"]}})", packet));
  CHECK_FALSE(passes(R"({"l4": {"port": ["0-65535"]}})", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").icmp(8)));
  CHECK_FALSE(passes(R"({"l4": {"port": ["0-65535"]}})", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", 17, 0x0010).payload("fragment")));
}

TEST_CASE("match: VLAN ids at a nesting level, and a map's VLAN sources with and without untagged") {
  const auto tagged = Packet().ethernet().vlan(100, 0x88A8).vlan(200).ipv4("10.0.0.1", "10.0.0.2").icmp(8);
  const auto plain = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").icmp(8);
  CHECK(passes(R"({"vlan": {"id": ["90-110"]}})", tagged));
  CHECK(passes(R"({"vlan": {"id": ["200"], "level": 2}})", tagged));
  CHECK_FALSE(passes(R"({"vlan": {"id": ["200"]}})", tagged));
  CHECK_FALSE(passes(R"({"vlan": {"id": ["0-4095"], "level": 3}})", tagged));
  CHECK_FALSE(passes(R"({"vlan": {"id": ["0-4095"]}})", plain));
  const auto source = [](const std::string& vlans, const Packet& packet) {
    Broker<> broker("{" + kPorts + R"(, "maps": [{"name": "m", "sources": {"ports": ["in1"], "vlans": [)" + vlans +
                    R"(]}, "default_action": "PASS", "destinations": [{"port": "t1"}]}]})");
    broker.send("in1", packet);
    broker.run();
    return broker.got("t1") == 1;
  };
  CHECK(source(R"("100")", tagged));
  CHECK_FALSE(source(R"("200")", tagged));
  CHECK_FALSE(source(R"("100")", plain));
  CHECK(source(R"("untagged")", plain));
  CHECK_FALSE(source(R"("untagged")", tagged));
  CHECK(source(R"("1-99", "untagged", "100")", tagged));
}

TEST_CASE("compile: counters follow the id of a map through revisions, and a removed map's copies stay in its tool's account") {
  const std::string all = R"({"name": "all", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "t1"}]})";
  Broker<> broker("{" + kPorts + R"(, "maps": [)" + all + "]}");
  broker.send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").icmp(8));
  broker.run();
  broker.apply("{" + kPorts + R"(, "maps": [)" + all.substr(0, all.size() - 1) + R"(, "enabled": false}]})");
  CHECK(broker.ledger().maps(0).destinations(0).copies().sent().packets() == 1);
  broker.apply("{" + kPorts + "}");
  // What Appliance::fold_retired does between bursts.
  for (const auto& gone : broker.compiler.retired(broker.compiled.plan)) {
    if (gone.kind == compile::Compiler::Retired::Kind::kLeg) {
      broker.floor.book.leg(gone.into) += broker.floor.book.leg(gone.slot);
      broker.floor.book.leg(gone.slot) = {};
    }
    broker.compiler.release(gone);
  }
  CHECK(broker.compiler.retired(broker.compiled.plan).empty());
  const auto ledger = broker.ledger();
  CHECK(ledger.ports(1).copies().sent().packets() == 1);
  CHECK(ledger.totals().retired().sent().packets() == 1);
  CHECK(ledger.unaccounted() == 0);
}

TEST_CASE("explain: the tracer tells each step of the pipeline's own path") {
  Broker<Tracer> broker(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}, {"name": "t2", "role": "TOOL"}],
    "tool_groups": [{"name": "g", "members": [{"port": "t1"}]}],
    "maps": [{"name": "a", "sources": {"ports": ["in1"]}, "rules": [{"enabled": false, "action": "DROP"}, {"match": {"ip": {"protocol": ["icmp"]}}, "action": "PASS"}],
              "destinations": [{"tool_group": "g"}]},
             {"name": "b", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "t1"}]}]})");
  broker.send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").icmp(8));
  broker.run();
  const auto explanation = compile::report_trace(broker.compiled.plan, broker.pipeline.observer().packets.front());
  std::string stages;
  for (const auto& step : explanation.steps()) stages += step.stage() + " ";
  CHECK(stages == "parse classify classify distribute merge send ");
  CHECK(explanation.steps(1).text() == "rule 2 is the first that matches: PASS");
  CHECK(explanation.steps(1).map() == "a");
  REQUIRE(explanation.delivered_to_size() == 1);
  CHECK(explanation.delivered_to(0) == "t1");
}
