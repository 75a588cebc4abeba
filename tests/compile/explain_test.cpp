// What explain says of rules that do not decide: which of their fields did not match, and what the packet has there.
#include <doctest/doctest.h>

#include <algorithm>

#include "compile/report.h"
#include "engine/tracer.h"
#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

const std::string kPorts =
    R"("ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}])";

v1::Explanation explain(const std::string& maps, const Packet& packet) {
  Broker<Tracer> broker("{" + kPorts + R"(, "maps": [)" + maps + "]}");
  broker.send("in1", packet);
  broker.run();
  return compile::report_trace(broker.compiled.plan, broker.pipeline.observer().packets.front());
}

std::string map_of(const std::string& rules, const std::string& more = "") {
  return R"({"name": "m", "sources": {"ports": ["in1"]}, "destinations": [{"port": "t1"}], "rules": [)" + rules + "]" + more + "}";
}
std::string rule_of(const std::string& match) { return R"({"action": "PASS", "match": )" + match + "}"; }

/// "1: ip.src=10.0.0.1 l4.dst_port=80; 2: ..." of the first step of a map.
std::string misses(const v1::Explanation& explanation) {
  std::string out;
  for (const auto& step : explanation.steps()) {
    if (step.stage() != "classify") continue;
    for (const auto& miss : step.misses()) {
      out += (out.empty() ? "" : "; ") + std::to_string(miss.rule_number()) + ":";
      for (const auto& field : miss.fields())
        out += (field.inner() ? " inner " : " ") + field.field() + (field.value().empty() ? "" : "=" + field.value());
    }
    break;
  }
  return out;
}

std::string misses(const std::string& match, const Packet& packet) { return misses(explain(map_of(rule_of(match)), packet)); }

}  // namespace

TEST_CASE("explain: of each rule before the one that decides it says which fields did not match, and the packet's values") {
  const auto packet = Packet().ethernet().ipv4("10.0.0.1", "192.0.2.9").tcp(1025, 80);
  const auto told = explain(map_of(rule_of(R"({"ip": {"src": ["10.9.0.0/16"]}, "l4": {"dst_port": ["443"]}})") + "," +
                                   rule_of(R"({"ip": {"protocol": ["udp"]}})") + "," + rule_of(R"({"ip": {"src": ["10.0.0.0/8"]}})") + "," +
                                   rule_of(R"({"ip": {"src": ["1.1.1.1"]}})")),
                            packet);
  CHECK(misses(told) == "1: ip.src=10.0.0.1 l4.dst_port=80; 2: ip.protocol=6");
  CHECK(told.steps(1).outcome() == v1::Outcome::PASSED_BY_RULE);
  CHECK(told.steps(1).rule_number() == 3);
  CHECK_FALSE(told.steps(1).misses(0).rule().empty());
}

TEST_CASE("explain: values are written as people write them, and a field that the packet does not have has none") {
  const auto tcp = Packet().ethernet("02:00:00:00:00:07").vlan(7, 0x8100, 5).ipv6("2001:db8::1", "2001:db8::2").tcp(1025, 80, 0x12);
  CHECK(misses(R"({"ethernet": {"src": ["02:00:00:00:00:08"]}})", tcp) == "1: ethernet.src=02:00:00:00:00:07");
  CHECK(misses(R"({"vlan": {"id": ["8"], "pcp": ["1"]}})", tcp) == "1: vlan.id=7 vlan.pcp=5");
  CHECK(misses(R"({"ip": {"dst": ["2001:db8::3"], "version": 4}})", tcp) == "1: ip.version=6 ip.dst=2001:db8::2");
  CHECK(misses(R"({"l4": {"tcp_flags": ["rst"]}})", tcp) == "1: l4.tcp_flags=syn,ack");
  CHECK(misses(R"({"ip": {"fragment": ["LATER"]}})", tcp) == "1: ip.fragment=WHOLE");
  CHECK(misses(R"({"tunnel": {"vni": ["5"]}})", tcp) == "1: tunnel.vni");
  CHECK(misses(R"({"icmp": {"type": ["8"]}})", tcp) == "1: icmp.type");
  CHECK(misses(R"({"present": [{"header": "MPLS"}]})", tcp) == "1: present");
  CHECK(misses(R"({"bytes": [{"anchor": "FRAME", "value": "AAAA"}]})", tcp) == "1: bytes");
  CHECK(misses(R"({"regex": "GET"})", tcp) == "1: regex");
  CHECK(misses(R"({"regex": "GET", "bytes": [{"anchor": "FRAME", "value": "AAAA"}]})", tcp) == "1: bytes");
  const auto tunnelled =
      Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1, 4789).vxlan(5).ethernet().ipv4("192.0.2.1", "192.0.2.2").udp(7, 8);
  CHECK(misses(R"({"layer": "INNER", "ip": {"src": ["10.0.0.0/8"]}})", tunnelled) == "1: inner ip.src=192.0.2.1");
}

TEST_CASE("explain: of a rule that can match in several ways the nearest is told, and of many rules the nearest 32") {
  const auto packet = Packet().ethernet().ipv4("10.0.0.1", "192.0.2.9").tcp(1025, 80);
  CHECK(misses(R"({"bidirectional": true, "ip": {"src": ["192.0.2.9"], "dst": ["10.0.0.7"]}, "l4": {"dst_port": ["1025"]}})", packet) ==
        "1: ip.src=10.0.0.1");
  std::string rules;
  for (int i = 0; i < 50; ++i) {
    const std::string all = R"({"ip": {"src": ["1.1.1.1"]}, "l4": {"dst_port": ["1"]}})", near = R"({"ip": {"src": ["1.1.1.1"]}})";
    rules += (i ? "," : "") + rule_of(i == 40 ? near : all);
  }
  const auto told = explain(map_of(rules), packet);
  REQUIRE(told.steps(1).misses_size() == 32);
  CHECK(told.steps(1).more_misses() == 18);
  CHECK(told.steps(1).misses(31).rule_number() == 41);
  CHECK(told.steps(1).misses(31).fields_size() == 1);
  CHECK(told.steps(1).outcome() == v1::Outcome::DROPPED_BY_DEFAULT);
}

TEST_CASE("explain: a map whose sources do not have the packet says so, in the order of the maps") {
  const std::string other =
      R"({"name": "other", "sources": {"ports": ["in2"]}, "default_action": "PASS", "destinations": [{"port": "t1"}]})";
  const std::string vlans =
      R"({"name": "vlans", "sources": {"ports": ["in1"], "vlans": ["100"]}, "default_action": "PASS", "destinations": [{"port": "t1"}]})";
  const auto told = explain(other + "," + map_of("", R"(, "default_action": "PASS")") + "," + vlans,
                            Packet().ethernet().ipv4("10.0.0.1", "192.0.2.9").tcp(1025, 80));
  std::string steps;
  for (const auto& step : told.steps())
    if (step.stage() == "classify") steps += step.map() + " " + v1::Outcome::Value_Name(step.outcome()) + "; ";
  CHECK(steps == "other NO_SOURCE; m PASSED_BY_DEFAULT; vlans NO_SOURCE; ");
}

TEST_CASE("explain: a destination's limits and priority are told, and where there are none nothing is said of them") {
  const auto packet = Packet().ethernet().ipv4("10.0.0.1", "192.0.2.9").tcp(1025, 80);
  const auto with = [&](const std::string& destination) {
    return explain(R"({"name": "m", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "t1")" + destination + "}]}", packet);
  };
  const auto plain = with("");
  CHECK(std::none_of(plain.steps().begin(), plain.steps().end(), [](const auto& step) { return step.stage() == "limit"; }));
  CHECK(plain.steps().rbegin()->priority() == v1::Priority::NORMAL);
  const auto told = with(R"(, "priority": "HIGH", "operations": {"rate_limit": "8000000", "packet_rate_limit": "50"})");
  REQUIRE(told.steps_size() >= 2);
  const auto& limit = told.steps(told.steps_size() - 2);
  const auto& sent = told.steps(told.steps_size() - 1);
  CHECK(limit.outcome() == v1::Outcome::LIMITED);
  CHECK(limit.port() == "t1");
  CHECK(limit.rate_limit() == 8'000'000);
  CHECK(limit.packet_rate_limit() == 50);
  CHECK(limit.text() == "this destination gets no more than 8000000 bits and 50 packets a second; what is more is dropped");
  CHECK(sent.outcome() == v1::Outcome::SENT);
  CHECK(sent.priority() == v1::Priority::HIGH);
}
