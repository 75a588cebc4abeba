#include "engine/publish.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "engine/worker.h"

using namespace sluice;

namespace {
std::unique_ptr<Snapshot> revision(uint64_t n) {
  auto s = std::make_unique<Snapshot>();
  s->revision = n;
  return s;
}
}  // namespace

TEST_CASE("publish: an old snapshot lives until its reader has looked again") {
  SnapshotPublisher publisher;
  SnapshotReader reader;
  publisher.add(reader);
  publisher.publish(revision(1));
  CHECK(reader.load()->revision == 1);
  publisher.publish(revision(2));
  CHECK_FALSE(publisher.retire());
  CHECK(reader.load()->revision == 2);
  CHECK(publisher.retire());
}

TEST_CASE("publish: a reader that is offline holds nothing up and sees the newest when it is back") {
  SnapshotPublisher publisher;
  SnapshotReader reader;
  publisher.add(reader);
  publisher.publish(revision(1));
  reader.load();
  reader.offline();
  publisher.publish(revision(2));
  CHECK(publisher.retire());
  CHECK(reader.load()->revision == 2);
}

TEST_CASE("publish: workers that sleep and wake see revisions only forwards, and no freed one, over 2,000 changes") {
  SnapshotPublisher publisher;
  std::array<SnapshotReader, 2> readers;
  for (auto& r : readers) publisher.add(r);
  publisher.publish(revision(0));
  std::atomic<bool> stop{false};
  std::atomic<bool> backwards{false};
  std::vector<std::thread> threads;
  for (auto& reader : readers)
    threads.emplace_back([&] {
      uint64_t last = 0;
      for (unsigned i = 0; !stop.load(); ++i) {
        const Snapshot* s = reader.load();
        if (s->revision < last) backwards = true;
        last = s->revision;
        if (i % 7 == 0) reader.offline();
      }
      reader.offline();
    });
  for (uint64_t n = 1; n <= 2000; ++n) {
    publisher.publish(revision(n));
    while (!publisher.retire()) std::this_thread::yield();
  }
  stop = true;
  for (auto& t : threads) t.join();
  CHECK_FALSE(backwards);
}

TEST_CASE("worker: a task runs between bursts on the worker's thread, also while it sleeps") {
  SnapshotPublisher publisher;
  publisher.publish(revision(1));
  const FrameLayout layout{.workers = 1, .frames_per_worker = 128};
  const FrameMemory memory(layout.total(), 11);
  Worker worker(publisher, memory, layout, 0, -1);
  for (int i = 0; i < 200; ++i) {
    std::thread::id where;
    worker.between_bursts([&](Floor& floor, auto&) {
      where = std::this_thread::get_id();
      floor.book.port(0).dequeued += {1, 60};
    });
    CHECK(where != std::this_thread::get_id());
  }
  AccountBook book;
  // used counts come from the snapshot: this one has no ports, so the book shows the loops alone.
  worker.read(book);
  CHECK(book.worker().loops > 0);
  CHECK(book.port(0).dequeued.packets == 0);
}

TEST_CASE("published book: a reader never mixes two moments") {
  AccountBook book;
  PublishedBook published;
  const SlotCounts used{.ports = 8, .legs = 8, .maps = 0, .rules = 0};
  published.publish(book, used);
  std::atomic<bool> stop{false};
  // A worker publishes once a millisecond; here the writer lets a reader in every 16 times, or the two would race for ever.
  std::atomic<int> reads{0};
  std::thread writer([&] {
    for (uint64_t n = 1; !stop.load(); ++n) {
      for (unsigned i = 0; i < 8; ++i) book.port(i).dequeued = {n, n}, book.leg(i).sent = {n, n};
      published.publish(book, used);
      for (const int before = reads.load(); n % 16 == 0 && reads.load() == before && !stop.load();) std::this_thread::yield();
    }
  });
  AccountBook seen;
  bool mixed = false;
  for (int i = 0; i < 2000; ++i) {
    published.read(seen);
    ++reads;
    const uint64_t first = seen.port(0).dequeued.packets;
    for (unsigned j = 0; j < 8; ++j) mixed |= seen.port(j).dequeued.bytes != first || seen.leg(j).sent.packets != first;
  }
  stop = true;
  writer.join();
  CHECK_FALSE(mixed);
}
