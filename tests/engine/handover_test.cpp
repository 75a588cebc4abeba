// Workers that hand each other packets, copies and frames: in one thread step by step, and in threads under TSan.
#include "engine/handover.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <map>
#include <thread>

#include "base/endian.h"
#include "engine/worker.h"
#include "tests/builders/worker_pair.h"

using namespace sluice;
using sluice::test::WorkerPair;

namespace {

/// Numbers in the packets that a port sent, by flow.
std::map<std::string, std::vector<uint32_t>> numbers_by_flow(const std::vector<MemoryPort::Packet>& packets) {
  std::map<std::string, std::vector<uint32_t>> out;
  for (const auto& p : packets) out[std::string(reinterpret_cast<const char*>(p.data()) + 26, 4)].push_back(read_be32(p.data() + 42));
  return out;
}

}  // namespace

TEST_CASE("handover: a one-queue port feeds two workers, one-queue tools get everything once and in order per flow, all frames come home") {
  WorkerPair pair;
  Pipeline<Unwatched> one(*pair.floors[0]), two(*pair.floors[1]);
  for (unsigned i = 0; i < 1000; ++i) pair.send(i % 40, i, i % 7 == 0 ? 5000 : 60);
  for (int loop = 0; loop < 400; ++loop) {
    one.run_once(*pair.model.compiled.snapshot);
    two.run_once(*pair.model.compiled.snapshot);
  }
  for (const auto* tool : {&pair.tool1, &pair.tool2}) {
    CHECK(tool->sent().size() == 1000);
    for (const auto& [flow, numbers] : numbers_by_flow(tool->sent())) CHECK(std::is_sorted(numbers.begin(), numbers.end()));
  }
  const auto handed = pair.floors[0]->book.worker().handed_over;
  CHECK(handed > 200);
  CHECK(handed < 800);
  const auto ledger = pair.ledger();
  CHECK(ledger.unaccounted() == 0);
  CHECK(ledger.quiescent());
  CHECK(ledger.totals().copies().sent().packets() == 2000);
  CHECK(pair.at_home());
  CHECK(pair.floors[0]->peers[1]->owed() == 0);
}

TEST_CASE("handover: the account balances at every step of the way, and what is handed over shows as held") {
  WorkerPair pair;
  Pipeline<Unwatched> one(*pair.floors[0]), two(*pair.floors[1]);
  for (unsigned i = 0; i < 300; ++i) pair.send(i % 40, i);
  bool held = false;
  for (int loop = 0; loop < 100; ++loop) {
    loop % 3 == 0 ? two.run_once(*pair.model.compiled.snapshot) : one.run_once(*pair.model.compiled.snapshot);
    const auto ledger = pair.ledger();
    CHECK(ledger.unaccounted() == 0);
    held |= ledger.totals().held().packets() > 0;
    CHECK((ledger.quiescent() || loop < 99));
  }
  CHECK(held);
}

TEST_CASE("handover: a worker that does not keep up costs packets and copies by name, never a frame") {
  WorkerPair pair(32768);
  Pipeline<Unwatched> one(*pair.floors[0]), two(*pair.floors[1]);
  for (unsigned i = 0; i < 40'000; ++i) pair.send(i % 40, i);
  for (int loop = 0; loop < 2000; ++loop) one.run_once(*pair.model.compiled.snapshot);  // worker 1 does not run
  auto ledger = pair.ledger();
  CHECK(ledger.unaccounted() == 0);
  CHECK(ledger.ports(0).received().dropped(0).reason() == "handover_full");
  CHECK(ledger.totals().held().packets() == Lane::kPackets);
  // tool1 is worker 0's own and has everything that it kept; copies for tool2 waited in the lane as far as there is room.
  CHECK(ledger.ports(2).copies().dropped(0).reason() == "copy_handover_full");
  CHECK(ledger.ports(2).copies().in_flight().packets() == Lane::kCopies);
  for (int loop = 0; loop < 2000; ++loop) {
    two.run_once(*pair.model.compiled.snapshot);
    one.run_once(*pair.model.compiled.snapshot);
  }
  ledger = pair.ledger();
  CHECK(ledger.unaccounted() == 0);
  CHECK(ledger.quiescent());
  CHECK(pair.at_home());
}

TEST_CASE("handover: a tool port that closes while another worker's copies are on their way gives every frame back") {
  WorkerPair pair;
  Pipeline<Unwatched> one(*pair.floors[0]), two(*pair.floors[1]);
  pair.tool2.faults.stuck = true;
  for (unsigned i = 0; i < 500; ++i) pair.send(i % 40, i);
  for (int loop = 0; loop < 20; ++loop) one.run_once(*pair.model.compiled.snapshot);
  two.run_once(*pair.model.compiled.snapshot);
  two.detain(pair.slot("tool2"));  // some copies are posted, more are in the lane
  one.detain(pair.slot("tool2"));
  two.give_up(1);
  for (int loop = 0; loop < 50; ++loop) {
    one.run_once(*pair.model.compiled.snapshot);
    two.run_once(*pair.model.compiled.snapshot);
  }
  const auto ledger = pair.ledger();
  CHECK(ledger.unaccounted() == 0);
  CHECK(ledger.quiescent());
  CHECK(pair.tool1.sent().size() == 500);
  CHECK(pair.at_home());
}

TEST_CASE("handover: a copy that was meant for an earlier opening of its tool port does not go out of the present one") {
  WorkerPair pair;
  Pipeline<Unwatched> one(*pair.floors[0]), two(*pair.floors[1]);
  for (unsigned i = 0; i < 100; ++i) pair.send(i % 40, i);
  for (int loop = 0; loop < 20; ++loop) one.run_once(*pair.model.compiled.snapshot);  // copies for tool2 are in the lane
  pair.floors[1]->outlets[pair.slot("tool2")].loan = 9;                               // it was closed and opened meanwhile
  const auto in_lane = pair.ledger().ports(2).copies().in_flight().packets();
  REQUIRE(in_lane > 0);
  for (int loop = 0; loop < 20; ++loop) two.run_once(*pair.model.compiled.snapshot), one.run_once(*pair.model.compiled.snapshot);
  CHECK(pair.ledger().ports(2).copies().dropped(0).reason() == "port_closed");
  CHECK(pair.ledger().ports(2).copies().dropped(0).packets() == in_lane);
  CHECK(pair.ledger().unaccounted() == 0);
  CHECK(pair.at_home());
}

TEST_CASE("handover: two workers in threads of their own pass packets and copies while snapshots change, and nothing is lost") {
  WorkerPair pair(4096);
  SnapshotPublisher publisher;
  std::array<SnapshotReader, 2> readers;
  for (auto& r : readers) publisher.add(r);
  const auto snapshot = [&] {
    pair.model.apply(test::kPairConfig);
    return std::move(pair.model.compiled.snapshot);
  };
  publisher.publish(snapshot());
  constexpr unsigned kPackets = 20'000;
  for (unsigned i = 0; i < kPackets; ++i) pair.send(i % 40, i);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned w = 0; w < 2; ++w)
    threads.emplace_back([&, w] {
      Pipeline<Unwatched> pipeline(*pair.floors[w]);
      unsigned idle = 0;
      while (!stop || idle < 1000) idle = pipeline.run_once(*readers[w].load()) ? 0 : idle + 1;
      readers[w].offline();
    });
  for (int n = 0; n < 50; ++n) {
    publisher.publish(snapshot());
    while (!publisher.retire()) std::this_thread::yield();
  }
  stop = true;
  for (auto& t : threads) t.join();
  pair.model.apply(test::kPairConfig);
  // One thread may have ended before the other's last words: they are heard here.
  Pipeline<Unwatched> one(*pair.floors[0]), two(*pair.floors[1]);
  for (int loop = 0; loop < 400; ++loop) one.run_once(*pair.model.compiled.snapshot), two.run_once(*pair.model.compiled.snapshot);
  const auto ledger = pair.ledger();
  CHECK(ledger.unaccounted() == 0);
  CHECK(ledger.quiescent());
  CHECK(pair.at_home());
  uint64_t lost = 0;
  for (const auto& d : ledger.ports(0).received().dropped()) lost += d.packets();
  CHECK(ledger.totals().dequeued().packets() == kPackets);
  CHECK(ledger.totals().fanned_out().packets() == kPackets - lost);
}

TEST_CASE("handover: who goes to sleep hears of what was passed just before, over 20,000 naps") {
  Lane to, from;
  const int fd = eventfd(0, EFD_NONBLOCK);
  Doorbell bell(fd), other(-1);
  Peer writer(1, to, from, bell), reader(0, from, to, other);
  constexpr uint32_t kMessages = 20'000;
  std::thread sleeper([&] {
    for (uint32_t seen = 0; seen < kMessages;) {
      while (const PassedCopy* copy = reader.copies().front()) {
        CHECK(copy->leg == seen);
        ++seen;
        reader.copies().pop();
        reader.give_back(copy->frame.index);
      }
      reader.copies().done();
      reader.flush();
      bell.asleep(true);
      if (!reader.waits() && seen < kMessages) {
        // Without the second look a message passed in between would be slept over until the guard ends it.
        pollfd wait{fd, POLLIN, 0};
        const int woken = poll(&wait, 1, 20'000);
        CHECK(woken == 1);
        if (woken != 1) seen = kMessages;
        eventfd_t value = 0;
        eventfd_read(fd, &value);
      }
      bell.asleep(false);
    }
  });
  for (uint32_t n = 0; n < kMessages; ++n) {
    while (!writer.takes_copy(1)) writer.take_returns([](uint32_t) {});
    writer.pass(PassedCopy{.frame = {}, .leg = n, .bytes = 60, .port = 0, .loan = 0, .last = true});
    writer.flush();
    writer.take_returns([](uint32_t) {});
  }
  sleeper.join();
  close(fd);
}
