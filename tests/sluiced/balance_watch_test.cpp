// A tool group whose load is uneven, through the pipeline: what its members have, when it warns, and of whom.
#include "sluiced/balance_watch.h"

#include <doctest/doctest.h>

#include "packet/flow_hash.h"
#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

std::string room(const std::string& more) {
  return R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}, {"name": "t2", "role": "TOOL"}, {"name": "t3", "role": "TOOL"},
      {"name": "t4", "role": "TOOL"}],
    "tool_groups": [{"name": "g", "members": [{"port": "t1"}, {"port": "t2"}, {"port": "t3"}, {"port": "t4"}])" + more + R"(}],
    "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"tool_group": "g"}]}]})";
}

/// A second of traffic: so many packets each of 200 flows, and of one large flow.
struct Second {
  Broker<> broker;
  std::vector<std::unique_ptr<FlowCensus>> censuses;
  BalanceWatch watch;

  explicit Second(const std::string& more) : broker(room(more)) {
    censuses.push_back(std::make_unique<FlowCensus>(1));
    broker.floor.flow_census = censuses.front().get();
  }
  unsigned member_of(const Packet& packet) const {
    const auto bytes = packet.bytes();
    return pick_member(broker.compiled.snapshot->groups[0].table->in_force(), balance_hash(bytes.data(), parse(bytes), {}));
  }
  v1::ToolGroupStatus look(unsigned of_each, unsigned of_large, const Packet& large, double seconds = 1, const Packet* second = nullptr) {
    std::span<AccountBook> books(&broker.floor.book, 1);
    watch.begin(*broker.compiled.snapshot, broker.compiled.plan, books);
    for (unsigned n = 0; n < std::max(of_each, of_large); ++n) {
      for (unsigned flow = 0; flow < 200 && n < of_each; ++flow)
        broker.send("in1", Packet().ethernet().ipv4("10.0.0." + std::to_string(flow + 1), "192.0.2.1").udp(1000, 53).pad_to(500));
      if (n < of_large) broker.send("in1", large);
      if (second && n % 3 == 0 && n < of_large) broker.send("in1", *second);
      if (n % 10 == 0) broker.run();
    }
    broker.run();
    watch.look(*broker.compiled.snapshot, broker.compiled.plan, censuses, books, seconds);
    v1::Status status;
    auto* group = status.add_tool_groups();
    group->set_id(broker.compiled.plan.groups[0].id);
    for (const char* port : {"t1", "t2", "t3", "t4"}) group->add_members()->set_port(port);
    watch.report(status);
    return *group;
  }
};

Packet large_flow() { return Packet().ethernet().ipv4("172.16.0.9", "192.0.2.77").tcp(40000, 443).pad_to(1500); }

}  // namespace

TEST_CASE("balance: a member that one flow gives much more than its part is named with the flow, and what members have adds up") {
  Second second("");
  const auto group = second.look(40, 2000, large_flow());
  CHECK(group.warning().find(" of the load, ") != std::string::npos);
  CHECK(group.warning().ends_with(" % is 172.16.0.9:40000 > 192.0.2.77:443 TCP"));
  REQUIRE(group.largest_flows_size() == 1);
  const auto& largest = group.largest_flows(0);
  CHECK(largest.flow() == "172.16.0.9:40000 > 192.0.2.77:443 TCP");
  CHECK(group.warning().starts_with(largest.port() + " has "));
  // 3 MB of 7 MB are the flow's.
  CHECK(largest.share_percent() > 30);
  CHECK(largest.share_percent() < 56);
  uint64_t bits = 0, flows = 0, share = 0;
  for (const auto& member : group.members()) {
    bits += member.bits_per_second(), flows += member.flows(), share += member.share_percent();
    CHECK((member.share_percent() > 40) == (member.port() == largest.port()));
  }
  CHECK(bits == (40 * 200 * 500 + 2000 * 1500) * 8);
  CHECK(flows > 180);
  CHECK(flows < 222);
  CHECK(share >= 98);
  CHECK(share <= 102);
}

TEST_CASE("balance: of sliced copies the slices count, and a member that is down makes no other one uneven") {
  Second sliced("");
  sliced.broker.apply(room("").replace(room("").rfind(R"({"tool_group": "g"})"), 19, R"({"tool_group": "g", "operations": {"slice": {"length": 100}}})"));
  const auto group = sliced.look(40, 2000, large_flow());
  REQUIRE(group.largest_flows_size() == 1);  // 2,000 copies of 10,000, as long as the others
  CHECK(group.largest_flows(0).share_percent() > 12);
  CHECK(group.largest_flows(0).share_percent() < 28);

  Second half(R"(, "failover": "DROP")");
  std::vector<uint8_t> stands_in;
  const Group& four = half.broker.compiled.snapshot->groups.front();
  four.table->publish(assign(four, std::array{MemberState::kDown, MemberState::kDown, MemberState::kUp, MemberState::kUp}, stands_in));
  CHECK(half.look(40, 0, large_flow()).warning().empty());
}

TEST_CASE("balance: of large flows those are named that the member gets, the largest first, and those of others are not") {
  bool any_together = false, any_apart = false;
  for (uint16_t port = 1000; port < 1040 && !(any_together && any_apart); ++port) {
    Second second("");
    const Packet other = Packet().ethernet().ipv4("172.16.0.10", "192.0.2.78").tcp(port, 443).pad_to(1500);
    const bool together = second.member_of(other) == second.member_of(large_flow());
    if (together ? any_together : any_apart) continue;
    (together ? any_together : any_apart) = true;
    const auto group = second.look(40, 2000, large_flow(), 1, &other);
    REQUIRE(group.largest_flows_size() == (together ? 2 : 1));
    CHECK(group.largest_flows(0).flow() == "172.16.0.9:40000 > 192.0.2.77:443 TCP");
    if (together) CHECK(group.largest_flows(1).flow() == "172.16.0.10:" + std::to_string(port) + " > 192.0.2.78:443 TCP");
  }
  CHECK(any_together);
  CHECK(any_apart);
}

TEST_CASE("balance: an even load, a little one, and a group that is told never to warn give no warning, and one with a narrow bound does") {
  CHECK(Second("").look(40, 0, large_flow()).warning().empty());
  CHECK(Second("").look(40, 2000, large_flow(), 1000).warning().empty());  // 56 kb/s
  CHECK(Second(R"(, "imbalance": 0)").look(40, 2000, large_flow()).warning().empty());
  CHECK(Second(R"(, "imbalance": 200)").look(40, 2000, large_flow()).warning().empty());
  CHECK_FALSE(Second(R"(, "imbalance": 10)").look(40, 300, large_flow()).warning().empty());
}

TEST_CASE("balance: flows of any kind have a name") {
  Second second("");
  const auto flow_of = [&](const Packet& packet) {
    const auto group = Second("").look(0, 400, packet);
    REQUIRE(group.largest_flows_size() == 1);
    return group.largest_flows(0).flow();
  };
  CHECK(flow_of(Packet().ethernet().ipv6("2001:db8::1", "2001:db8::2").udp(5000, 53).pad_to(1500)) == "[2001:db8::1]:5000 > [2001:db8::2]:53 UDP");
  CHECK(flow_of(Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").icmp(8).pad_to(1500)) == "10.0.0.1 > 10.0.0.2 ICMP");
  CHECK(flow_of(Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", 47).pad_to(1500)).starts_with("10.0.0.1 > 10.0.0.2 protocol"));
}
