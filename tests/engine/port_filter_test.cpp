// Filters of ports bind whatever maps say: at a network port packets end, at a tool port copies.
#include <doctest/doctest.h>

#include <random>

#include "engine/tracer.h"
#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

/// Two network ports and three tools; all of it goes to tool1, tool2 and, by turns, to the group of tool2 and tool3.
std::string config_with(const std::string& in1, const std::string& tool2) {
  return R"({"ports": [{"name": "in1", "role": "NETWORK", "ingress": {)" + in1 + R"(}}, {"name": "in2", "role": "NETWORK"},
    {"name": "tool1", "role": "TOOL"}, {"name": "tool2", "role": "TOOL", "egress": {)" +
         tool2 + R"(}}, {"name": "tool3", "role": "TOOL"}],
    "filters": [{"name": "web", "matches": [{"l4": {"dst_port": ["80", "443"]}}]},
                {"name": "no-hr", "negate": true, "matches": [{"ip": {"addr": ["10.9.0.0/16"]}}]}],
    "tool_groups": [{"name": "g", "members": [{"port": "tool2"}, {"port": "tool3"}]}],
    "maps": [{"name": "all", "sources": {"ports": ["in1", "in2"]}, "default_action": "PASS", "destinations": [{"port": "tool1"}]},
             {"name": "again", "sources": {"ports": ["in1", "in2"]}, "rules": [{"action": "PASS"}], "destinations": [{"port": "tool2"}]},
             {"name": "shared", "sources": {"ports": ["in1", "in2"]}, "default_action": "PASS", "destinations": [{"tool_group": "g"}]}]})";
}
Packet to(const std::string& address, uint16_t port) { return Packet().ethernet().ipv4("10.0.0.1", address).tcp(40000, port).payload("x"); }

uint64_t dropped(const v1::Ledger& ledger, const std::string& reason) {
  uint64_t sum = 0;
  const auto add = [&](const auto& drops) {
    for (const auto& drop : drops)
      if (drop.reason() == reason) sum += drop.packets();
  };
  for (const auto& port : ledger.ports()) add(port.received().dropped());
  add(ledger.totals().copies().dropped());
  return sum;
}

}  // namespace

TEST_CASE("port filters: what the filter of a network port does not pass reaches no tool, and is counted as that") {
  Broker<> broker(config_with(R"("filter": "web")", ""));
  broker.send("in1", to("10.0.0.2", 80));
  broker.send("in1", to("10.0.0.2", 22));
  broker.send("in1", to("10.0.0.2", 443));
  broker.send("in2", to("10.0.0.2", 22));  // its own port has no filter
  broker.run();
  CHECK(broker.got("tool1") == 3);
  CHECK(broker.ports.at("tool1")->sent()[1] == to("10.0.0.2", 443).bytes());
  const auto ledger = broker.ledger();
  CHECK(dropped(ledger, "ingress_filter") == 1);
  CHECK(ledger.unaccounted() == 0);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("port filters: a tool gets nothing that its filter does not pass, neither from a map nor from a group, and others get it") {
  Broker<> broker(config_with("", R"("filter": "no-hr")"));
  std::vector<std::vector<std::byte>> allowed;
  for (uint16_t i = 0; i < 200; ++i) {
    const bool hr = i % 3 == 0;
    const Packet packet = to(hr ? "10.9.4.5" : "10.8.4.5", i);
    broker.send(i % 2 ? "in1" : "in2", packet);
    if (!hr) allowed.push_back(packet.bytes());
  }
  broker.run();
  CHECK(broker.got("tool1") == 200);
  // Each once: from the map, whatever the group picks.
  auto got = broker.ports.at("tool2")->sent();
  std::sort(got.begin(), got.end());
  std::sort(allowed.begin(), allowed.end());
  CHECK(got == allowed);
  CHECK(broker.got("tool3") > 0);
  const auto ledger = broker.ledger();
  CHECK(dropped(ledger, "egress_filter") >= 67);
  CHECK(ledger.unaccounted() == 0);
}

TEST_CASE("port filters: at both ends, on random packets, those and only those come out that both pass") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  std::mt19937 random(seed);
  Broker<> broker(config_with(R"("filter": "web")", R"("filter": "no-hr")"));
  std::size_t in = 0, out = 0, refused = 0;
  for (unsigned i = 0; i < 3000; ++i) {
    const bool web = random() % 2 == 0, hr = random() % 2 == 0;
    broker.send("in1", to(hr ? "10.9.0.1" : "10.1.0.1", web ? 80 : 81));
    in += web, out += web && !hr, refused += !web;
    if (random() % 40 == 0) broker.run();
  }
  broker.run();
  CHECK(broker.got("tool1") == in);
  CHECK(broker.got("tool2") == out);
  CHECK(dropped(broker.ledger(), "ingress_filter") == refused);
  CHECK(broker.ledger().unaccounted() == 0);
}

TEST_CASE("port filters: a rule on ports applies to all fragments of a datagram here too") {
  Broker<> broker(config_with(R"("filter": "web")", ""));
  const auto part = [](uint16_t fragment) {
    Packet packet;
    packet.ethernet().ipv4("10.0.0.1", "10.0.0.2", fragment & 0x1FFF ? 6 : 255, fragment);
    if ((fragment & 0x1FFF) == 0) packet.tcp(1000, 80, 16);
    return packet.payload("12345678");
  };
  broker.send("in1", part(4));
  broker.send("in1", part(0x2000));
  broker.run();
  CHECK(broker.got("tool1") == 2);
}

TEST_CASE("port filters: a trace tells each packet of a burst its own fate") {
  Broker<Tracer> broker(config_with(R"("filter": "web")", R"("filter": "no-hr")"));
  broker.send("in1", to("10.0.0.2", 22));
  broker.send("in1", to("10.9.0.2", 80));
  broker.run();
  const auto& traces = broker.pipeline.observer().packets;
  REQUIRE(traces.size() == 2);
  const auto tells = [](const std::vector<TraceStep>& steps, const std::string& reason) {
    return std::any_of(steps.begin(), steps.end(), [&](const TraceStep& s) { return s.reason && s.reason->name == reason; });
  };
  CHECK(tells(traces[0], "ingress_filter"));
  CHECK_FALSE(tells(traces[0], "egress_filter"));
  CHECK(tells(traces[1], "egress_filter"));
  CHECK_FALSE(tells(traces[1], "ingress_filter"));
}

TEST_CASE("port filters: one where nothing could be filtered is refused, with the path of the field") {
  const auto refusal = [](const std::string& ports) {
    compile::Compiler compiler;
    const auto made = compiler.compile(test::make_config(R"({"ports": [)" + ports + R"(], "filters": [{"name": "f"}]})"), 1);
    return made ? std::string() : made.error().field_path;
  };
  CHECK(refusal(R"({"name": "t", "role": "TOOL", "ingress": {"filter": "f"}})") == "ports[0].ingress.filter");
  CHECK(refusal(R"({"name": "n", "role": "NETWORK", "egress": {"filter": "f"}})") == "ports[0].egress.filter");
  CHECK(refusal(R"({"name": "h", "role": "HYBRID", "ingress": {"filter": "f"}, "egress": {"filter": "f"}})").empty());
}
