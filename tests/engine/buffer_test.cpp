// Buffers, priorities and rates of tool ports, by the pipeline itself.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "port/fake_port.h"
#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

constexpr uint64_t kMs = 1'000'000;

std::string map(const std::string& name, const std::string& protocol, const std::string& destinations) {
  return R"({"name": ")" + name + R"(", "sources": {"ports": ["in1"]}, "rules": [{"match": {"ip": {"protocol": [")" + protocol +
         R"("]}}, "action": "PASS"}], "destinations": [)" + destinations + "]}";
}

/// in1 and tool1, which sends one byte a microsecond, 2,000 at once; tool2 as fast as it likes.
std::string one_slow_tool(const std::string& maps, const std::string& more = "") {
  return R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "tool1", "role": "TOOL", "egress": {"rate_limit": "8000000")" + more +
         R"(}}, {"name": "tool2", "role": "TOOL"}], "maps": [)" + maps + "]}";
}

std::vector<std::byte> packet(unsigned number, bool tcp = false, std::size_t length = 1000) {
  auto made = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2");
  return (tcp ? made.tcp(1, static_cast<uint16_t>(number)) : made.udp(1, static_cast<uint16_t>(number))).pad_to(length).bytes();
}

/// Of a port's copies that were dropped, by reason.
std::map<std::string, uint64_t> dropped(const v1::Copies& copies) {
  std::map<std::string, uint64_t> out;
  for (const auto& d : copies.dropped()) out[d.reason()] = d.packets();
  return out;
}

void wait_until_empty(Broker<>& broker) {
  for (int ms = 0; ms < 100'000 && broker.ledger().totals().copies().in_flight().packets() > 0; ++ms) {
    broker.pass_time(kMs);
    broker.work();
  }
}

}  // namespace

TEST_CASE("buffers: a burst that is faster than the tool is held and delivered whole, in order, at the tool's rate") {
  Broker<> broker(one_slow_tool(map("all", "udp", R"({"port": "tool1"}, {"port": "tool2"})")));
  std::vector<std::vector<std::byte>> packets;
  for (unsigned i = 0; i < 300; ++i) broker.ports["in1"]->arrive(packets.emplace_back(packet(i)));
  broker.work();
  CHECK(broker.got("tool2") == 300);
  CHECK(broker.got("tool1") == 2);
  CHECK(broker.ledger().unaccounted() == 0);
  for (std::size_t ms = 1; ms <= 298; ++ms) {
    broker.pass_time(kMs);
    broker.work();
    CHECK(broker.got("tool1") == 2 + ms);
  }
  CHECK(broker.ports["tool1"]->sent() == packets);
  CHECK(broker.ledger().unaccounted() == 0);
  CHECK(broker.ledger().quiescent());
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("priorities: in a full buffer HIGH takes the place of LOW and loses nothing, both stay in order, and each loss has its name") {
  Broker<> broker(one_slow_tool(map("low", "udp", R"({"port": "tool1", "priority": "LOW"})") + "," +
                             map("high", "tcp", R"({"port": "tool1", "priority": "HIGH"})"),
                         R"(, "buffer": "524288")"));  // 256 frames
  for (unsigned i = 0; i < 400; ++i) broker.ports["in1"]->arrive(packet(i));
  broker.work();
  for (unsigned i = 0; i < 200; ++i) broker.ports["in1"]->arrive(packet(i, true));
  broker.work();
  CHECK(broker.floor.pool.census().held == 256);
  CHECK(broker.ledger().unaccounted() == 0);
  wait_until_empty(broker);
  std::vector<unsigned> low, high;
  for (const auto& sent : broker.ports["tool1"]->sent())
    (sent[23] == std::byte{17} ? low : high).push_back(std::to_integer<unsigned>(sent[36]) << 8 | std::to_integer<unsigned>(sent[37]));
  CHECK(high.size() == 200);
  CHECK(std::is_sorted(high.begin(), high.end()));
  CHECK(std::is_sorted(low.begin(), low.end()));
  const auto ledger = broker.ledger();
  const auto lost = dropped(ledger.maps(0).destinations(0).copies());
  CHECK(lost == std::map<std::string, uint64_t>{{"buffer_quota", 400 - 2 - 256}, {"pushed_out", 200}});
  CHECK(low.size() == 400 - (400 - 2 - 256) - 200);
  CHECK(dropped(ledger.maps(1).destinations(0).copies()).empty());
  CHECK(ledger.unaccounted() == 0);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("priorities: HIGH takes LOW's place in the buffer of a tool that is merely slow, too, however small its share is") {
  for (const uint32_t quota : {256U, 1022U, 4096U}) {
    CAPTURE(quota);
    Broker<> broker(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "tool1", "role": "TOOL"}], "maps": [)" +
                    map("low", "udp", R"({"port": "tool1", "priority": "LOW"})") + "," +
                    map("high", "tcp", R"({"port": "tool1", "priority": "HIGH"})") + "]}");
    FakePort slow(broker.memory);
    slow.faults.tx_ring = 0;
    broker.plug_in(broker.plan("tool1"), slow);
    broker.floor.outlets[broker.plan("tool1").slot].quota = quota;
    const unsigned low = std::min(quota, 3000U), high = std::min(quota / 2, 1000U);
    for (unsigned i = 0; i < low; ++i) broker.ports["in1"]->arrive(packet(i));
    for (unsigned i = 0; i < high; ++i) broker.ports["in1"]->arrive(packet(i, true));
    broker.work();
    CHECK(dropped(broker.ledger().maps(1).destinations(0).copies()).empty());
    slow.faults = {};
    broker.work();
    CHECK(dropped(broker.ledger().maps(0).destinations(0).copies())["pushed_out"] == (low + high > quota ? high : 0));
    CHECK(broker.ledger().unaccounted() == 0);
    CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
  }
}

TEST_CASE("priorities: a packet may be pushed out by another one of the same burst, and nobody loses its frame") {
  Broker<> broker(one_slow_tool(map("low", "udp", R"({"port": "tool1", "priority": "LOW"}, {"port": "tool2"})") + "," +
                         map("high", "tcp", R"({"port": "tool1", "priority": "HIGH"})")));
  const PortSlot tool1 = broker.plan("tool1").slot;
  for (unsigned i = 0; i < 2; ++i) broker.ports["in1"]->arrive(packet(i));  // all that tool1 takes at once
  broker.work();
  broker.floor.outlets[tool1].quota = 40;
  for (unsigned i = 0; i < 44; ++i) broker.ports["in1"]->arrive(packet(i));
  for (unsigned i = 0; i < 20; ++i) broker.ports["in1"]->arrive(packet(i, true));
  broker.work();
  CHECK(broker.floor.pool.census().held == 40);
  const auto ledger = broker.ledger();
  CHECK(dropped(ledger.maps(0).destinations(0).copies()) == std::map<std::string, uint64_t>{{"buffer_quota", 4}, {"pushed_out", 20}});
  CHECK(dropped(ledger.maps(1).destinations(0).copies()).empty());
  CHECK(broker.got("tool2") == 46);
  CHECK(ledger.unaccounted() == 0);
  wait_until_empty(broker);
  CHECK(broker.got("tool1") == 2 + 40);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("priorities: the one copy that a tool gets has the highest priority that any map asks for, whichever comes first") {
  for (const bool high_first : {false, true}) {
    CAPTURE(high_first);
    const std::string a = high_first ? "HIGH" : "LOW", b = high_first ? "LOW" : "HIGH";
    Broker<> broker(one_slow_tool(map("a", "udp", R"({"port": "tool1", "priority": ")" + a + R"("})") + "," +
                           map("b", "udp", R"({"port": "tool1", "priority": ")" + b + R"("})") + "," +
                           map("c", "tcp", R"({"port": "tool1"})")));
    for (unsigned i = 0; i < 40; ++i) {
      broker.ports["in1"]->arrive(packet(i, true));
      broker.ports["in1"]->arrive(packet(i));
    }
    broker.work();
    // Those that both maps asked for are HIGH's: they overtake map c's.
    broker.pass_time(30 * kMs);
    broker.work();
    const auto now = broker.ledger();
    CHECK(now.unaccounted() == 0);
    const auto& high = now.maps(high_first ? 0 : 1).destinations(0).copies();
    const auto& low = now.maps(high_first ? 1 : 0).destinations(0).copies();
    CHECK(high.merged().packets() == 0);
    CHECK(low.merged().packets() == 40);
    CHECK(high.sent().packets() > now.maps(2).destinations(0).copies().sent().packets());
    wait_until_empty(broker);
    CHECK(broker.got("tool1") == 80);
    CHECK(broker.ledger().unaccounted() == 0);
    CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
  }
}

TEST_CASE("rates: a destination gets what its limit allows, in packets' own order, the rest is dropped by name and other destinations see no limit") {
  Broker<> broker(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}, {"name": "t2", "role": "TOOL"}, {"name": "t3", "role": "TOOL"}],
    "tool_groups": [{"name": "g", "members": [{"port": "t2"}, {"port": "t3"}]}],
    "maps": [)" +
                  map("m", "udp", R"({"port": "t1", "operations": {"rate_limit": "8000000"}}, {"tool_group": "g", "operations": {"rate_limit": "16000000"}})") +
                  "," + map("n", "udp", R"({"port": "t2"})") + "]}");
  for (unsigned i = 0; i < 100; ++i) broker.ports["in1"]->arrive(packet(i));
  broker.work();
  CHECK(broker.got("t1") == 10);  // 10 ms of the rate
  CHECK(broker.got("t2") == 100);
  broker.pass_time(5 * kMs);
  for (unsigned i = 0; i < 100; ++i) broker.ports["in1"]->arrive(packet(i));
  broker.work();
  CHECK(broker.got("t1") == 15);
  const auto ledger = broker.ledger();
  CHECK(ledger.unaccounted() == 0);
  CHECK(ledger.quiescent());
  CHECK(dropped(ledger.maps(0).destinations(0).copies()) == std::map<std::string, uint64_t>{{"rate_limit", 185}});
  CHECK(dropped(ledger.maps(0).destinations(1).copies()) == std::map<std::string, uint64_t>{{"rate_limit", 170}});
  CHECK(ledger.maps(0).destinations(1).copies().created().packets() == 200);
}

TEST_CASE("rates: a limit of packets lets so many through whatever their length, of two limits the narrower one decides, and the burst is what is asked for") {
  const auto first_hundred = [](const std::string& operations, std::size_t length) {
    Broker<> broker(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}], "maps": [)" +
                    map("m", "udp", R"({"port": "t1", "operations": {)" + operations + "}}") + "]}");
    std::vector<std::size_t> got;
    for (unsigned round = 0; round < 2; ++round, broker.pass_time(5 * kMs)) {
      for (unsigned i = 0; i < 100; ++i) broker.ports["in1"]->arrive(packet(i, false, length));
      broker.work();
      got.push_back(broker.got("t1"));
    }
    const auto ledger = broker.ledger();
    CHECK(ledger.unaccounted() == 0);
    std::map<std::string, uint64_t> rest;
    if (got.back() < 200) rest["rate_limit"] = 200 - got.back();
    CHECK(dropped(ledger.maps(0).destinations(0).copies()) == rest);
    return got;
  };
  using Got = std::vector<std::size_t>;
  CHECK(first_hundred(R"("packet_rate_limit": "1000")", 1000) == Got{10, 15});
  CHECK(first_hundred(R"("packet_rate_limit": "1000")", 60) == Got{10, 15});
  CHECK(first_hundred(R"("packet_rate_limit": "1000", "limit_burst": 30)", 60) == Got{30, 35});
  CHECK(first_hundred(R"("rate_limit": "8000000", "limit_burst": 1)", 1000) == Got{1, 2});
  CHECK(first_hundred(R"("packet_rate_limit": "500", "rate_limit": "8000000")", 1000) == Got{5, 8});
  CHECK(first_hundred(R"("packet_rate_limit": "2000", "rate_limit": "8000000")", 1000) == Got{10, 15});
  CHECK(first_hundred(R"("packet_rate_limit": "18446744073709551615")", 60) == Got{100, 200});
}

TEST_CASE("rates: what one limit refuses the other is not charged for, for packets one by one and for a whole burst at once") {
  const auto config = [](const std::string& operations) {
    return R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}], "maps": [)" +
           map("m", "udp", R"({"port": "t1", "operations": {)" + operations + "}}") + "]}";
  };
  Broker<> timed(config(R"("packet_rate_limit": "2000", "rate_limit": "8000000")"));
  for (unsigned i = 0; i < 100; ++i) timed.ports["in1"]->arrive(packet(i, false, 1000));
  timed.work();
  CHECK(timed.got("t1") == 10);  // by its bits; ten packets are left
  timed.pass_time(5 * kMs);
  for (unsigned i = 0; i < 100; ++i) timed.ports["in1"]->arrive(packet(i, false, 60));
  timed.work();
  CHECK(timed.got("t1") == 30);  // ten more have come
  // By the machine's clock, which goes on meanwhile.
  Broker<> live(config(R"("packet_rate_limit": "20", "rate_limit": "80000", "limit_burst": 1000)"));
  live.floor.replay_ns.reset();
  const uint64_t begin = monotonic_ns();
  for (unsigned i = 0; i < 15; ++i) live.ports["in1"]->arrive(packet(i, false, 1000));
  live.work();
  CHECK(live.got("t1") >= 10);
  live.compiled.snapshot->maps[0].destinations[0].limit.reset();  // that of bits alone had refused
  for (unsigned i = 0; i < 15; ++i) live.ports["in1"]->arrive(packet(i, false, 60));
  live.work();
  CHECK(live.got("t1") >= 20);
  CHECK(live.got("t1") <= 20 + 20 * (monotonic_ns() - begin) / 1'000'000'000 + 1);
}

TEST_CASE("rates: a new revision that leaves a limit as it is gives nobody a new burst") {
  const auto limited = [](const std::string& comment) {
    return R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}],
      "maps": [{"name": "m", "comment": ")" +
           comment + R"(", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "t1", "operations": {"rate_limit": "8000000"}}]}]})";
  };
  Broker<> broker(limited("one"));
  for (unsigned i = 0; i < 20; ++i) broker.ports["in1"]->arrive(packet(i));
  broker.work();
  broker.apply(limited("two"));
  for (unsigned i = 0; i < 20; ++i) broker.ports["in1"]->arrive(packet(i));
  broker.work();
  CHECK(broker.got("t1") == 10);
}

TEST_CASE("buffers: a port that is closed while a burst waits drops it by name, and every frame comes home") {
  Broker<> broker(one_slow_tool(map("all", "udp", R"({"port": "tool1"})")));
  for (unsigned i = 0; i < 300; ++i) broker.ports["in1"]->arrive(packet(i));
  broker.work();
  broker.pipeline.detain(broker.plan("tool1").slot);
  broker.pipeline.give_up(0);
  CHECK(dropped(broker.ledger().ports(1).copies()) == std::map<std::string, uint64_t>{{"port_closed", 298}});
  CHECK(broker.ledger().unaccounted() == 0);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("buffers: of a size that no memory has, or on a port that sends nothing, is refused with the field and the bounds") {
  const auto refusal = [](const std::string& port) {
    compile::Compiler compiler;
    const auto result = compiler.compile(test::make_config(R"({"ports": [{"name": "p", )" + port + "}]}"), 1);
    return result ? "" : result.error().field_path + ": " + result.error().message;
  };
  CHECK(refusal(R"("role": "TOOL", "egress": {"buffer": "524288", "rate_limit": "1"})").empty());
  CHECK(refusal(R"("role": "TOOL", "egress": {"buffer": "524287"})").find("ports[0].egress.buffer: 524287 bytes; a buffer has from 524288 to ") == 0);
  CHECK(refusal(R"("role": "TOOL", "egress": {"buffer": "99999999999999"})").find("ports[0].egress.buffer") == 0);
  CHECK(refusal(R"("role": "NETWORK", "egress": {"buffer": "524288"})").find("ports[0].egress.buffer: a NETWORK port sends nothing") == 0);
  CHECK(refusal(R"("role": "NETWORK", "egress": {"rate_limit": "8000"})").find("ports[0].egress.rate_limit") == 0);
}
