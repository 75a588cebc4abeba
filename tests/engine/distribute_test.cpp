// Bucket tables: shares, and what moves when members go out and come back.
#include "engine/distribute.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

Group group_of(const std::vector<uint32_t>& weights, Failover failover = Failover::kRebalance, unsigned standbys = 0) {
  Group group{.weights = weights, .failover = failover, .home = homes(weights)};
  for (unsigned m = 0; m < weights.size() + standbys; ++m) group.members.push_back(static_cast<PortSlot>(m));
  return group;
}
long count(const Buckets& buckets, unsigned member) { return std::count(buckets.begin(), buckets.end(), member); }

/// A broker with a group of four tools; alone(m) takes members out.
std::string four_tools(const std::string& more) {
  return R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}, {"name": "t2", "role": "TOOL"}, {"name": "t3", "role": "TOOL"},
      {"name": "t4", "role": "TOOL"}],
    "tool_groups": [{"name": "g", "members": [{"port": "t1"}, {"port": "t2"}, {"port": "t3"}])" +
         more + R"(}],
    "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"tool_group": "g"}]}]})";
}
void set_states(Broker<>& broker, const std::vector<MemberState>& states) {
  std::vector<uint8_t> stands_in;
  const Group& group = broker.compiled.snapshot->groups.front();
  group.table->publish(assign(group, states, stands_in));
}
constexpr auto kUp = MemberState::kUp, kDown = MemberState::kDown, kDrained = MemberState::kDrained;

}  // namespace

TEST_CASE("buckets: shares are the weights', exact to one bucket, for up to 64 members") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (unsigned members = 1; members <= 64; ++members) {
    std::vector<uint32_t> weights(members);
    for (auto& w : weights) w = static_cast<uint32_t>(random() % 100 + 1);
    double total = 0;
    for (const auto w : weights) total += w;
    const Buckets buckets = homes(weights);
    for (unsigned m = 0; m < members; ++m) CHECK(std::abs(static_cast<double>(count(buckets, m)) - kBuckets * weights[m] / total) <= 1.0);
  }
}

TEST_CASE("buckets: when members fail in any order only theirs move, to all others by weight, and each comes home") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int n = 0; n < 30; ++n) {
    std::vector<uint32_t> weights(random() % 12 + 2);
    for (auto& w : weights) w = static_cast<uint32_t>(random() % 5 + 1);
    const Group group = group_of(weights);
    std::vector<MemberState> states(weights.size(), kUp);
    std::vector<uint8_t> stands_in;
    Buckets before = assign(group, states, stands_in);
    CHECK(before == group.home);
    for (int change = 0; change < 20; ++change) {
      const std::size_t m = random() % states.size();
      const bool fails = states[m] == kUp;
      states[m] = fails ? (random() % 2 ? kDown : kDrained) : kUp;
      const Buckets now = assign(group, states, stands_in);
      const bool any_up = std::find(states.begin(), states.end(), kUp) != states.end();
      for (unsigned b = 0; b < kBuckets; ++b) {
        if (fails && before[b] != m) CHECK(now[b] == before[b]);           // nobody else's moved
        if (!fails && now[b] != m && before[b] != bucket::kNoMember) CHECK(now[b] == before[b]);  // it took its own alone
        if (any_up) CHECK(states[now[b]] == kUp);
        else CHECK(now[b] == bucket::kNoMember);
        if (states[group.home[b]] == kUp) CHECK(now[b] == group.home[b]);
      }
      before = now;
    }
  }
  // Weighted: of 512 buckets those with twice the weight get about twice as many.
  const Group group = group_of({8, 4, 2, 2});
  std::vector<uint8_t> stands_in;
  const Buckets now = assign(group, std::vector{kDown, kUp, kUp, kUp}, stands_in);
  CHECK(count(now, 1) - 256 == doctest::Approx(256).epsilon(0.25));
  CHECK(count(now, 2) - 128 == doctest::Approx(128).epsilon(0.35));
}

TEST_CASE("buckets: a port that stands by takes all of a failed member's, goes on doing so when another fails, and makes way for it") {
  const Group group = group_of({1, 1, 1, 1}, Failover::kStandby, 2);
  std::vector<uint8_t> stands_in;
  Buckets now = assign(group, std::vector{kUp, kUp, kDown, kUp, kUp, kUp}, stands_in);
  for (unsigned b = 0; b < kBuckets; ++b) CHECK(now[b] == (group.home[b] == 2 ? 4 : group.home[b]));
  now = assign(group, std::vector{kDown, kUp, kDown, kUp, kUp, kUp}, stands_in);
  for (unsigned b = 0; b < kBuckets; ++b) CHECK(now[b] == (group.home[b] == 2 ? 4 : group.home[b] == 0 ? 5 : group.home[b]));
  // The first one that stood in fails: nobody is left to stand in for it, and those that are up share.
  now = assign(group, std::vector{kDown, kUp, kDown, kUp, kDown, kUp}, stands_in);
  for (unsigned b = 0; b < kBuckets; ++b) CHECK((group.home[b] == 2 ? now[b] == 1 || now[b] == 3 : now[b] == (group.home[b] == 0 ? 5 : group.home[b])));
  // All that share it fail: who stands by has everything.
  now = assign(group, std::vector{kDown, kDown, kDown, kDown, kDown, kUp}, stands_in);
  CHECK(count(now, 5) == kBuckets);
  now = assign(group, std::vector(6, kUp), stands_in);
  CHECK(now == group.home);
}

TEST_CASE("buckets: with failover DROP a failed member's flows are dropped, a drained one's move") {
  const Group group = group_of({1, 1}, Failover::kDrop);
  std::vector<uint8_t> stands_in;
  CHECK(count(assign(group, std::vector{kDown, kUp}, stands_in), bucket::kMemberDown) == 512);
  CHECK(count(assign(group, std::vector{kDrained, kUp}, stands_in), 1) == 1024);
  CHECK(count(assign(group, std::vector{kDrained, kDrained}, stands_in), bucket::kNoMember) == 1024);
}

TEST_CASE("tool group: while a member is down its flows alone are elsewhere, each packet is counted, and they come back") {
  Broker broker(four_tools(""));
  std::map<std::string, std::size_t> looked_at;
  const auto flows_of = [&](const std::string& tool) {
    std::set<uint16_t> out;
    const auto& sent = broker.ports.at(tool)->sent();
    for (auto& n = looked_at[tool]; n < sent.size(); ++n) out.insert(parse(sent[n]).outer.src_port);
    return out;
  };
  const auto send = [&] {
    std::map<std::string, std::set<uint16_t>> out;
    for (uint16_t flow = 0; flow < 600; ++flow) broker.send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(static_cast<uint16_t>(1000 + flow), 80));
    broker.run();
    for (const auto* tool : {"t1", "t2", "t3"}) out[tool] = flows_of(tool);
    return out;
  };
  const auto before = send();
  set_states(broker, {kUp, kDown, kUp});
  const auto meanwhile = send();
  CHECK(meanwhile.at("t2").empty());
  for (const auto* tool : {"t1", "t3"})
    CHECK(std::includes(meanwhile.at(tool).begin(), meanwhile.at(tool).end(), before.at(tool).begin(), before.at(tool).end()));
  CHECK(meanwhile.at("t1").size() + meanwhile.at("t3").size() == 600);
  set_states(broker, {kUp, kUp, kUp});
  CHECK(send() == before);
  CHECK(broker.ledger().unaccounted() == 0);
}

TEST_CASE("tool group: with failover DROP the copies of a failed member's flows are dropped by that name") {
  Broker broker(four_tools(R"(, "failover": "DROP")"));
  set_states(broker, {kUp, kDown, kUp});
  for (uint16_t flow = 0; flow < 300; ++flow) broker.send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(static_cast<uint16_t>(1000 + flow), 80));
  broker.run();
  const auto ledger = broker.ledger();
  const auto& copies = ledger.maps(0).destinations(0).copies();
  REQUIRE(copies.dropped_size() == 1);
  CHECK(copies.dropped(0).reason() == "member_down");
  CHECK(copies.dropped(0).packets() + broker.got("t1") + broker.got("t3") == 300);
  CHECK(broker.got("t2") == 0);
  CHECK(ledger.unaccounted() == 0);
}

TEST_CASE("tool group: a datagram's fragments go where its flow's whole packets go, in whatever order they come") {
  Broker broker(four_tools(""));
  std::map<uint16_t, std::string> member_of;
  for (uint16_t flow = 0; flow < 60; ++flow) {
    const auto from = static_cast<uint16_t>(1000 + flow);
    broker.send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(from, 80));
    auto first = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", 17, 0x2000).identification(from).udp(from, 80).payload(std::string(16, 'a'));
    auto later = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", 17, 3).identification(from).payload("number " + std::to_string(from));
    broker.send("in1", flow % 2 ? first : later);
    broker.send("in1", flow % 2 ? later : first);
  }
  broker.run();
  std::set<std::string> used;
  for (const auto* tool : {"t1", "t2", "t3"}) {
    std::set<uint16_t> whole, parts;
    for (const auto& packet : broker.ports.at(tool)->sent()) {
      const Parsed p = parse(packet);
      if (p.outer.fragment == Fragment::kWhole) whole.insert(p.outer.src_port);
      else parts.insert(static_cast<uint16_t>(p.outer.identification));
    }
    CHECK(whole == parts);
    if (!whole.empty()) used.insert(tool);
  }
  CHECK(used.size() == 3);
  CHECK(broker.got("t1") + broker.got("t2") + broker.got("t3") == 180);
}

TEST_CASE("tool group: of a datagram in fragments all go to one member, also where the choice looks into the tunnel that only the first one shows") {
  for (const std::string hash : {R"({"layer": "INNER"})", R"({"fields": ["GTP_TEID"]})", R"({"fields": ["IP_PAIR"]})", R"({"fields": ["VNI", "VLAN"]})"}) {
    CAPTURE(hash);
    Broker broker(four_tools(R"(, "hash": )" + hash));
    for (uint16_t n = 1; n <= 60; ++n) {
      const std::string from = "10.0.0." + std::to_string(n);
      broker.send("in1", Packet().ethernet().ipv4(from, "10.0.9.2", 17, 0x2000).identification(n).udp(2152, 2152).gtpu(n).ipv4("10.1.0.1", "10.1.0.2").udp(n, 80));
      broker.send("in1", Packet().ethernet().ipv4(from, "10.0.9.2", 17, 3).identification(n).payload("the rest"));
    }
    broker.run();
    unsigned used = 0;
    for (const auto* tool : {"t1", "t2", "t3"}) {
      std::multiset<uint32_t> parts;
      for (const auto& packet : broker.ports.at(tool)->sent()) parts.insert(parse(packet).outer.identification);
      for (const uint32_t id : parts) CHECK(parts.count(id) == 2);
      used += !parts.empty();
    }
    CHECK(used == 3);
  }
}

TEST_CASE("tool groups: standby ports that can't be, or are of no use, are refused with the reason") {
  const auto refusal = [](const std::string& more) {
    compile::Compiler compiler;
    const auto compiled = compiler.compile(test::make_config(four_tools(more)), 1);
    return compiled ? "" : compiled.error().field_path + ": " + compiled.error().message;
  };
  CHECK(refusal(R"(, "failover": "STANDBY", "standby": ["t4"])").empty());
  CHECK(refusal(R"(, "failover": "STANDBY")") == "tool_groups[0].standby: must name the ports that stand by, for failover STANDBY");
  CHECK(refusal(R"(, "standby": ["t4"])") == "tool_groups[0].standby: is for failover STANDBY alone: the ports would never get a packet");
  CHECK(refusal(R"(, "failover": "STANDBY", "standby": ["t1"])") == "tool_groups[0].standby[0]: is a member of this group already");
  CHECK(refusal(R"(, "failover": "STANDBY", "standby": ["in1"])").starts_with("tool_groups[0].standby[0]: \"in1\" is a network port"));
}
