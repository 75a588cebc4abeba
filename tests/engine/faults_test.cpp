// What the kernel and its drivers may do to a tool port, by a port that does it on demand: the account and the census stay whole, and the
// other tools lose nothing.
#include <doctest/doctest.h>

#include "port/fake_port.h"
#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

/// Everything from in1 to two tools, of which tool1 is faulty.
struct Faulty : Broker<> {
  Faulty()
      : Broker<>(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "tool1", "role": "TOOL"}, {"name": "tool2", "role": "TOOL"}],
          "maps": [{"name": "all", "sources": {"ports": ["in1"]}, "default_action": "PASS",
                    "destinations": [{"port": "tool1"}, {"port": "tool2"}]}]})") {
    plug_in(plan("tool1"), fake);
  }
  void send(unsigned packets) {
    for (unsigned i = 0; i < packets; ++i)
      Broker<>::send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(static_cast<uint16_t>(i), 9).payload("x"));
  }
  void loops(unsigned n) {
    for (unsigned i = 0; i < n; ++i) pipeline.run_once(*compiled.snapshot);
  }
  [[nodiscard]] uint64_t dropped(const std::string& reason) {
    const auto now = ledger();
    for (const auto& d : now.ports(1).copies().dropped())
      if (d.reason() == reason) return d.packets();
    return 0;
  }
  FakePort fake{memory};
};

}  // namespace

TEST_CASE("faults: a full tx ring makes copies wait in their queue, in order, and none is lost") {
  Faulty broker;
  broker.fake.faults = {.tx_ring = 3, .complete_at_once = 1};
  broker.send(200);
  broker.run();
  CHECK(broker.fake.sent() == broker.ports["tool2"]->sent());
  CHECK(broker.fake.sent().size() == 200);
  CHECK(broker.ledger().unaccounted() == 0);
  CHECK(broker.ledger().quiescent());
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("faults: short bursts and completions in the opposite order change nothing") {
  Faulty broker;
  broker.fake.faults = {.tx_at_once = 7, .complete_at_once = 5, .backwards = true};
  broker.send(300);
  broker.run();
  CHECK(broker.fake.sent() == broker.ports["tool2"]->sent());
  CHECK(broker.ledger().unaccounted() == 0);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("faults: completions of frames that were never posted are nobody's") {
  Faulty broker;
  broker.fake.faults.bogus = {0, 1, Broker<>::kFrames - 1, Broker<>::kFrames + 5, 0xFFFFFFFF};
  broker.send(100);
  broker.run();
  CHECK(broker.fake.sent().size() == 100);
  CHECK(broker.ledger().unaccounted() == 0);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
}

TEST_CASE("faults: copies whose completion is lost stay in flight with their frames, however long it takes, until the port is given up") {
  Faulty broker;
  broker.fake.faults.lose_every = 10;
  broker.send(100);
  broker.loops(10'000);
  auto ledger = broker.ledger();
  CHECK(broker.fake.lost() == 10);
  CHECK(ledger.unaccounted() == 0);
  CHECK(ledger.ports(1).copies().in_flight().packets() == 10);
  CHECK_FALSE(ledger.quiescent());
  CHECK(broker.floor.pool.census().held == 10);
  // The socket is closed: the kernel may still send them.
  const PortSlot slot = broker.plan("tool1").slot;
  const Loan loan = broker.floor.outlets[slot].loan;
  broker.pipeline.detain(slot);
  broker.loops(1000);
  CHECK(broker.ledger().ports(1).copies().in_flight().packets() == 10);
  CHECK(broker.floor.pool.census().held == 10);
  // It does not any more.
  broker.pipeline.give_up(loan);
  ledger = broker.ledger();
  CHECK(ledger.quiescent());
  CHECK(ledger.unaccounted() == 0);
  CHECK(broker.dropped("port_closed") == 10);
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
  CHECK(broker.floor.pool.census().lost() == 0);
}

TEST_CASE("faults: what was detained of one opening is not given up with another one of the same port") {
  Faulty broker;
  const PortSlot slot = broker.plan("tool1").slot;
  broker.fake.faults.stuck = true;
  broker.floor.outlets[slot].loan = 1;
  broker.send(20);
  broker.loops(10);
  broker.pipeline.detain(slot);
  FakePort again(broker.memory);
  broker.plug_in(broker.plan("tool1"), again);
  broker.floor.outlets[slot].loan = 2;
  again.faults.stuck = true;
  broker.send(30);
  broker.loops(10);
  CHECK(broker.floor.pool.census().held == 50);
  broker.pipeline.give_up(1);
  CHECK(broker.floor.pool.census().held == 30);
  CHECK(broker.ledger().unaccounted() == 0);
  again.faults.stuck = false;
  broker.run();
  CHECK(broker.floor.pool.census().pool == Broker<>::kFrames);
  CHECK(broker.dropped("port_closed") == 20);
}

TEST_CASE("faults: a tool that takes nothing fills its own queue, or its quota, and the other tools lose nothing") {
  for (const bool by_quota : {false, true}) {
    CAPTURE(by_quota);
    constexpr uint32_t kFrames = kToolQueue + 1000;
    Faulty broker;
    const FrameLayout layout{.workers = 1, .frames_per_worker = kFrames};
    const FrameMemory memory(kFrames, 11);
    Floor floor(layout, 0);
    floor.pool.add(MemoryClass::kCopy);
    MemoryPort in(memory), good(memory);
    FakePort stuck(memory);
    stuck.faults.tx_ring = 0;
    const PortSlot stuck_slot = broker.plan("tool1").slot, good_slot = broker.plan("tool2").slot;
    floor.inlets.push_back({.port = broker.plan("in1").slot, .queue = &in});
    floor.outlets[stuck_slot] = {
        .open = true, .queue = &stuck, .copies = std::make_unique<ToolQueue>(), .quota = by_quota ? 1030U : kToolQueue};
    floor.outlets[good_slot] = {.open = true, .queue = &good, .copies = std::make_unique<ToolQueue>()};
    floor.open_outlets = {stuck_slot, good_slot};
    Pipeline<Unwatched> pipeline(floor);
    const uint32_t limit = by_quota ? 1030 : kToolQueue;
    for (uint32_t i = 0; i < kToolQueue + 500; ++i) in.arrive(Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).bytes());
    while (pipeline.run_once(*broker.compiled.snapshot)) {
    }
    CHECK(good.sent().size() == kToolQueue + 500);
    const auto ledger = [&] {
      return compile::report_ledger(broker.compiled.plan, {}, {&floor.book, 1}, broker.compiled.snapshot->used, {},
                                    floor.pool.census().lost());
    };
    const auto before = ledger();
    CHECK(before.unaccounted() == 0);
    CHECK(before.ports(1).copies().dropped(0).reason() == (by_quota ? "buffer_quota" : "tool_queue_full"));
    CHECK(before.ports(1).copies().dropped(0).packets() == kToolQueue + 500 - limit);
    CHECK(before.ports(1).copies().in_flight().packets() == limit);
    CHECK(floor.pool.census().held == limit);
    pipeline.detain(stuck_slot);
    pipeline.give_up(0);
    CHECK(ledger().unaccounted() == 0);
    CHECK(ledger().quiescent());
    CHECK(floor.pool.census().pool == kFrames);
  }
}
