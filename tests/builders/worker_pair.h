// Two workers' floors in memory, connected, for tests that run their pipelines step by step or in threads.
#pragma once

#include "base/endian.h"
#include "engine/handover.h"
#include "port/fake_port.h"
#include "tests/builders/broker.h"

namespace sluice::test {

inline const char* const kPairConfig =
    R"({"ports": [{"name": "in1", "role": "NETWORK", "mtu": 9000}, {"name": "tool1", "role": "TOOL", "mtu": 9000}, {"name": "tool2", "role": "TOOL", "mtu": 9000}],
  "maps": [{"name": "all", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "tool1"}, {"port": "tool2"}]}]})";

/// Two workers' floors with a one-queue port each way: worker 0 has the queues of in1 and tool1, worker 1 that of tool2.
struct WorkerPair {
  explicit WorkerPair(uint32_t frames = 2048) : layout{.workers = 2, .frames_per_worker = frames}, memory(layout.total(), 11) {
    for (auto& floor : floors) {
      floor = std::make_unique<Floor>(layout, floor == floors[0] ? 0U : 1U);
      floor->pool.add(MemoryClass::kCopy);
    }
    floors[0]->peers.push_back(nullptr);
    floors[0]->peers.push_back(std::make_unique<Peer>(1, lanes[0], lanes[1], bells[1]));
    floors[1]->peers.push_back(std::make_unique<Peer>(0, lanes[1], lanes[0], bells[0]));
    floors[1]->peers.push_back(nullptr);
    floors[0]->inlets.push_back({.port = slot("in1"), .queue = &in, .spread = true});
    for (uint32_t w = 0; w < 2; ++w) {
      for (uint32_t owner = 0; owner < 2; ++owner) {
        Outlet& outlet = floors[w]->outlets[slot(owner == 0 ? "tool1" : "tool2")];
        outlet.open = true;
        outlet.owner = owner;
        outlet.loan = static_cast<Loan>(owner);
        if (w != owner) continue;
        outlet.queue = owner == 0 ? &tool1 : &tool2;
        outlet.copies = std::make_unique<ToolQueue>();
        floors[w]->open_outlets.push_back(slot(owner == 0 ? "tool1" : "tool2"));
      }
    }
  }
  [[nodiscard]] PortSlot slot(const std::string& port) const { return model.plan(port).slot; }
  void send(unsigned flow, unsigned number, std::size_t length = 60) {
    std::string text(8, '\0');
    write_be32(reinterpret_cast<std::byte*>(text.data()), number);
    in.arrive(Packet().ethernet().ipv4("10.0.0." + std::to_string(flow % 250), "10.0.1.1").udp(1, 2).payload(text).pad_to(length).bytes());
  }
  v1::Ledger ledger() {
    std::vector<AccountBook> books(2);
    int64_t lost = 0;
    for (uint32_t w = 0; w < 2; ++w) {
      std::copy_n(floors[w]->book.words(), AccountBook::kWords, books[w].words());
      lost += floors[w]->pool.census().lost();
    }
    return compile::report_ledger(model.compiled.plan, {}, books, model.compiled.snapshot->used, {}, lost);
  }
  [[nodiscard]] bool at_home() const {
    return floors[0]->pool.census().pool == layout.frames_per_worker && floors[1]->pool.census().pool == layout.frames_per_worker;
  }

  Broker<> model{kPairConfig};
  FrameLayout layout;
  FrameMemory memory;
  std::array<Lane, 2> lanes;  // from worker 0, from worker 1
  std::array<Doorbell, 2> bells{Doorbell(-1), Doorbell(-1)};
  MemoryPort in{memory};
  FakePort tool1{memory}, tool2{memory};
  std::array<std::unique_ptr<Floor>, 2> floors;
};

}  // namespace sluice::test
