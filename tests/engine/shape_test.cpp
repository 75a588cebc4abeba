// Slices, packets of several frames, memory classes: what a copy is made of.
#include <doctest/doctest.h>

#include <random>

#include "port/fake_port.h"
#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

std::string ports(const std::string& mtu = "1500") {
  std::string out = R"("ports": [{"name": "in1", "role": "NETWORK", "mtu": )" + mtu + "}";
  for (const char* tool : {"tool1", "tool2", "tool3"})
    out += R"(, {"name": ")" + std::string(tool) + R"(", "role": "TOOL", "mtu": )" + mtu + "}";
  return out + "]";
}
std::string all_to(const std::string& name, const std::string& destinations) {
  return R"({"name": ")" + name + R"(", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [)" + destinations + "]}";
}
std::string sliced(const std::string& port, unsigned length, const std::string& after = "FRAME") {
  return R"({"port": ")" + port + R"(", "operations": {"slice": {"length": )" + std::to_string(length) + R"(, "after": ")" + after +
         "\"}}}";
}
std::vector<std::byte> first(const std::vector<std::byte>& bytes, std::size_t n) {
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(std::min(n, bytes.size()))};
}
Packet long_packet(std::size_t length, unsigned seed) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < length - 42) text += static_cast<char>(random() % 256);
  return Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(text);
}

}  // namespace

TEST_CASE("slice: a tool gets the first bytes behind the anchor, and a packet without the anchor's layer whole") {
  const auto tcp = Packet().ethernet().vlan(7).ipv4("10.0.0.1", "10.0.0.2").tcp(1, 80).payload(std::string(400, 'x')).bytes();
  const auto arp = Packet().ethernet().ethertype(0x0806).payload(std::string(46, 'a')).bytes();
  // Where each layer begins is known from how the packet was built: 14 and 4 bytes, 20 of IPv4, 20 of TCP.
  const std::vector<std::tuple<std::string, std::size_t, std::size_t>> cases = {
      {"FRAME", 20, 20}, {"L3", 18 + 20, arp.size()}, {"L4", 18 + 20 + 20, arp.size()}, {"PAYLOAD", 18 + 40 + 20, arp.size()}};
  for (const auto& each : cases) {
    CAPTURE(std::get<0>(each));
    const auto& [after, of_tcp, of_arp] = each;
    Broker<> broker("{" + ports() + R"(, "maps": [)" + all_to("a", sliced("tool1", 20, after)) + "]}");
    broker.ports["in1"]->arrive(tcp);
    broker.ports["in1"]->arrive(arp);
    broker.run();
    REQUIRE(broker.got("tool1") == 2);
    CHECK(broker.ports["tool1"]->sent()[0] == first(tcp, of_tcp));
    if (after == "L3" || after == "PAYLOAD") continue;  // ARP has a network layer, and a payload always is
    CHECK(broker.ports["tool1"]->sent()[1] == first(arp, after == "FRAME" ? 20 : of_arp));
    CHECK(broker.ledger().unaccounted() == 0);
  }
}

TEST_CASE("slice: a tool gets one copy of a packet per distinct resulting shape, in the order of the packets") {
  Broker<> broker("{" + ports() + R"(, "maps": [)" + all_to("whole", R"({"port": "tool1"})") + "," + all_to("slice", sliced("tool1", 100)) +
                  "," + all_to("same", sliced("tool1", 66, "PAYLOAD")) + "]}");
  const auto small = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload("short").bytes();
  const auto large = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(std::string(500, 'x')).bytes();
  for (const auto& packet : {small, large, small}) broker.ports["in1"]->arrive(packet);
  broker.run();
  // 42 bytes of headers and 66 are 108; the short packet is the same whole or sliced.
  CHECK(broker.ports["tool1"]->sent() == std::vector{small, large, first(large, 100), first(large, 108), small});
  const auto ledger = broker.ledger();
  CHECK(ledger.totals().copies().created().packets() == 9);
  CHECK(ledger.totals().copies().merged().packets() == 4);
  CHECK(ledger.totals().copies().sent().bytes() == 2 * small.size() + large.size() + 100 + 108);
  CHECK(ledger.unaccounted() == 0);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("chain: packets of several frames reach every tool whole, or sliced to any length, beside short ones and in order") {
  Broker<> broker("{" + ports("9000") + R"(, "maps": [)" +
                  all_to("a", R"({"port": "tool1"},)" + sliced("tool2", 2048) + "," + sliced("tool3", 5000)) + "]}");
  FakePort narrow(broker.memory);  // few places in its ring: chains must wait whole
  narrow.faults = {.tx_ring = 6, .complete_at_once = 1};
  broker.plug_in(broker.plan("tool3"), narrow);
  std::vector<std::vector<std::byte>> packets;
  for (unsigned i = 0; i < 200; ++i) {
    const std::size_t length = i % 3 == 0 ? 60 + i : i % 3 == 1 ? 2047 + i % 5 : 2000 + 35 * i;
    packets.push_back(long_packet(length, i).bytes());
    broker.ports["in1"]->arrive(packets.back());
  }
  broker.run();
  REQUIRE(broker.got("tool1") == packets.size());
  REQUIRE(broker.got("tool2") == packets.size());
  REQUIRE(narrow.sent().size() == packets.size());
  for (std::size_t i = 0; i < packets.size(); ++i) {
    CHECK(broker.ports["tool1"]->sent()[i] == packets[i]);
    CHECK(broker.ports["tool2"]->sent()[i] == first(packets[i], 2048));
    CHECK(narrow.sent()[i] == first(packets[i], 5000));
  }
  CHECK(broker.ledger().unaccounted() == 0);
  CHECK(broker.ledger().quiescent());
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("chain: a packet's length fields may point into its later frames, and behind the last one it is truncated") {
  const auto whole = long_packet(5000, 1).bytes();
  Parsed p;
  parse(std::span(whole).first(2048), whole.size(), p);
  CHECK(p.outer.l4 == L4::kUdp);
  CHECK_FALSE(p.outer.has(parse_flag::kTruncated));
  parse(std::span(whole).first(2048), whole.size() - 1, p);
  CHECK(p.outer.has(parse_flag::kTruncated));
}

TEST_CASE("chain: of a port that is given up in the middle of its chains every frame comes home") {
  Broker<> broker("{" + ports("9000") + R"(, "maps": [)" + all_to("a", R"({"port": "tool1"}, {"port": "tool2"})") + "]}");
  FakePort stuck(broker.memory);
  stuck.faults = {.tx_ring = 40, .stuck = true};
  broker.plug_in(broker.plan("tool1"), stuck);
  for (unsigned i = 0; i < 100; ++i) broker.ports["in1"]->arrive(long_packet(1000 + 50 * i, i).bytes());
  for (int i = 0; i < 100; ++i) broker.pipeline.run_once(*broker.compiled.snapshot);
  CHECK(broker.got("tool2") == 100);
  CHECK(broker.ledger().unaccounted() == 0);
  CHECK(broker.ledger().ports(1).copies().in_flight().packets() == 100);
  broker.pipeline.detain(broker.plan("tool1").slot);
  broker.pipeline.give_up(0);
  CHECK(broker.ledger().ports(1).copies().dropped(0).packets() == 100);
  CHECK(broker.ledger().unaccounted() == 0);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("mtu: a copy that is longer than its tool's MTU is dropped by name, and a slice of it is not") {
  Broker<> broker(
      R"({"ports": [{"name": "in1", "role": "NETWORK", "mtu": 9000}, {"name": "tool1", "role": "TOOL", "mtu": 1500}, {"name": "tool2", "role": "TOOL", "mtu": 1500}],
    "maps": [)" +
      all_to("a", R"({"port": "tool1"},)" + sliced("tool2", 128)) + "]}");
  broker.ports["in1"]->arrive(long_packet(1522, 1).bytes());
  broker.ports["in1"]->arrive(long_packet(1523, 2).bytes());
  broker.run();
  CHECK(broker.got("tool1") == 1);
  CHECK(broker.got("tool2") == 2);
  CHECK(broker.ledger().ports(1).copies().dropped(0).reason() == "exceeds_mtu");
  CHECK(broker.ledger().unaccounted() == 0);
}

TEST_CASE("memory classes: a packet for tools of another class is copied once for all of them, and dropped by name without a free frame") {
  for (const bool short_of_frames : {false, true}) {
    CAPTURE(short_of_frames);
    const Broker<> model("{" + ports("9000") + R"(, "maps": [)" +
                         all_to("a", R"({"port": "tool1"}, {"port": "tool2"}, {"port": "tool3"})") + "]}");
    const FrameLayout layout{.workers = 1, .frames_per_worker = 1024, .classes = kMemoryClasses};
    const FrameMemory memory(layout.total(), 11);
    Floor floor(layout, 0);
    floor.memory = &memory;
    floor.pool.add(MemoryClass::kCopy);
    floor.pool.add(MemoryClass::kZeroCopyMultiBuffer);
    MemoryPort in(memory, MemoryClass::kCopy);
    std::array<MemoryPort, 3> tools{MemoryPort(memory), MemoryPort(memory), MemoryPort(memory)};
    floor.inlets.push_back({.port = model.plan("in1").slot, .queue = &in});
    for (unsigned t = 0; t < 3; ++t) {
      const PortSlot slot = model.plan("tool" + std::to_string(t + 1)).slot;
      floor.outlets[slot] = {.open = true,
                             .queue = &tools[t],
                             .copies = std::make_unique<ToolQueue>(),
                             .memory_class = t == 0 ? MemoryClass::kCopy : MemoryClass::kZeroCopyMultiBuffer};
      floor.open_outlets.push_back(slot);
    }
    if (short_of_frames)
      while (floor.pool.free(MemoryClass::kZeroCopyMultiBuffer) > 0) floor.pool.hold(floor.pool.take(MemoryClass::kZeroCopyMultiBuffer), 1);
    Pipeline<Unwatched> pipeline(floor);
    std::vector<std::vector<std::byte>> packets;
    for (unsigned i = 0; i < 100; ++i) {
      packets.push_back(long_packet(60 + 80 * i, i).bytes());
      in.arrive(packets.back());
    }
    while (pipeline.run_once(*model.compiled.snapshot)) {
    }
    CHECK(tools[0].sent() == packets);
    if (!short_of_frames) {
      CHECK(tools[1].sent() == packets);
      CHECK(tools[2].sent() == packets);
      CHECK(floor.book.worker().copied == 100);
    }
    const auto ledger =
        compile::report_ledger(model.compiled.plan, {}, {&floor.book, 1}, model.compiled.snapshot->used, {}, floor.pool.census().lost());
    CHECK(ledger.unaccounted() == 0);
    if (short_of_frames) CHECK(ledger.ports(2).copies().dropped(0).reason() == "no_frame");
    CHECK(floor.pool.free(MemoryClass::kCopy) == layout.frames_per_worker);
    CHECK(floor.pool.free(MemoryClass::kZeroCopyMultiBuffer) == (short_of_frames ? 0 : layout.frames_per_worker));
  }
}
