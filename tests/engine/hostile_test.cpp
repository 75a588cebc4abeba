// Every packet that the parser's cases know, cut to every length, through the whole pipeline: each comes out as it went in.
#include <doctest/doctest.h>

#include "tests/builders/broker.h"
#include "tests/packet/cases.h"

using namespace sluice;
using sluice::test::Broker;

TEST_CASE("hostile: every packet cut to every length goes through pipeline and tracer, byte for byte, and the ledger balances") {
  // Rules that read every header they can, a group that hashes, slices at every anchor.
  const std::string slices = [] {
    std::string out;
    for (const char* after : {"FRAME", "L3", "L4", "PAYLOAD"})
      out +=
          std::string(R"(, {"name": "s)") + after +
          R"(", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "sliced", "operations": {"slice": {"length": 20, "after": ")" +
          after + R"("}}}]})";
    return out;
  }();
  const std::string config = R"({"ports": [{"name": "in1", "role": "NETWORK", "mtu": 9000}, {"name": "all", "role": "TOOL", "mtu": 9000},
      {"name": "some", "role": "TOOL", "mtu": 9000}, {"name": "sliced", "role": "TOOL", "mtu": 9000}, {"name": "g1", "role": "TOOL", "mtu": 9000}, {"name": "g2", "role": "TOOL", "mtu": 9000}],
    "tool_groups": [{"name": "g", "members": [{"port": "g1"}, {"port": "g2"}]}],
    "maps": [{"name": "a", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "all"}, {"tool_group": "g"}]},
             {"name": "b", "sources": {"ports": ["in1"], "vlans": ["untagged", "1-4094"]}, "rules": [
               {"match": {"vlan": {"id": ["100"], "level": 8}, "ip": {"version": 4}}, "action": "DROP"},
               {"match": {"ip": {"src": ["0.0.0.0/0", "::/0"], "protocol": ["tcp", "sctp"]}, "l4": {"port": ["1-65535"]}, "bidirectional": true}, "action": "PASS"}],
              "destinations": [{"port": "some"}]})" +
                             slices + "]}";
  Broker<> plain(config);
  Broker<Tracer> traced(config);
  std::size_t count = 0;
  for (const auto& example : test::parse_cases()) {
    const auto whole = example.packet.bytes();
    CAPTURE(example.name);
    for (std::size_t length = 0; length <= whole.size(); ++length) {
      const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      for (auto* port : {plain.ports["in1"].get(), traced.ports["in1"].get()}) port->arrive(cut);
      plain.run();
      traced.run();
      REQUIRE(plain.got("all") == ++count);
      REQUIRE(plain.ports["all"]->sent().back() == cut);
    }
    REQUIRE(plain.ledger().unaccounted() == 0);
    REQUIRE(plain.ledger().quiescent());  // a packet of no bytes too is sent and done with
    for (const auto& steps : traced.pipeline.observer().packets)
      REQUIRE(compile::report_trace(traced.compiled.plan, steps).delivered_to_size() >= 2);
    traced.pipeline.observer().packets.clear();
  }
  CHECK(count > 10'000);
  CHECK(plain.got("g1") + plain.got("g2") == count);
  CHECK(plain.got("some") > 1000);
  CHECK(plain.floor.pool.census().pool == Broker<>::kFrames);
  // The same decisions with an observer and without.
  for (const char* tool : {"all", "some", "sliced", "g1", "g2"}) CHECK(plain.ports[tool]->sent() == traced.ports[tool]->sent());
}
