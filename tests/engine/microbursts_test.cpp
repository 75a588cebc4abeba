// What tools are asked for by the millisecond, and how long copies wait: by the pipeline, with a clock of the test's.
#include "engine/microbursts.h"

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "engine/burst_watch.h"
#include "port/fake_port.h"
#include "tests/builders/broker.h"
#include "tests/builders/worker_pair.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

constexpr uint64_t kMs = 1'000'000;

std::vector<std::unique_ptr<Microbursts>> workers(std::size_t n) {
  std::vector<std::unique_ptr<Microbursts>> out;
  while (out.size() < n) out.push_back(std::make_unique<Microbursts>());
  return out;
}

std::vector<std::byte> packet(std::size_t length) {
  return Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).pad_to(length).bytes();
}

/// A tool port that somebody looks at, as the pipeline knows it.
struct Watched {
  Broker<> broker;
  std::vector<std::unique_ptr<Microbursts>> bursts = workers(1);

  explicit Watched(const std::string& egress = "{}")
      : broker(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "tool1", "role": "TOOL", "egress": )" + egress +
               R"(}], "maps": [{"name": "a", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "tool1"}]}]})") {
    outlet().bursts = bursts.front().get();
    broker.pass_time(7 * kMs);
  }
  Outlet& outlet() { return broker.floor.outlets[broker.plan("tool1").slot]; }
  void send(unsigned packets, std::size_t length = 1000) {
    for (unsigned i = 0; i < packets; ++i) broker.ports["in1"]->arrive(packet(length));
    broker.work();
  }
  BurstWatch::Peak peak() {
    broker.pass_time(10 * kMs);  // what is looked at is over
    BurstWatch watch;
    watch.look(bursts, 100, {*broker.floor.replay_ns, *broker.floor.replay_ns});
    return watch.last();
  }
};

}  // namespace

TEST_CASE("microbursts: each millisecond has what was noted in it, for two seconds") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  Microbursts bursts;
  std::map<uint64_t, Microbursts::Millisecond> noted;
  uint64_t now = 5'000 * kMs;
  for (unsigned n = 0; n < 20'000; ++n) {
    now += random() % 50 == 0 ? random() % (random() % 20 == 0 ? 5000 * kMs : 30 * kMs) : random() % 400'000;
    auto& of = noted[now / kMs];
    const uint64_t bytes = random() % 100'000, waited = random() % 9'000;
    const auto frames = static_cast<uint32_t>(random() % 5000);
    bursts.asked(now, bytes);
    bursts.holds(now, frames);
    bursts.waited(now, waited * 1000);
    of.bytes += bytes;
    of.deepest = std::max(of.deepest, frames);
    of.longest_us = std::max(of.longest_us, static_cast<uint32_t>(waited));
    const uint64_t looked = now / kMs - random() % 2100;
    const auto read = bursts.read(looked);
    if (looked + Microbursts::kKept <= now / kMs) {
      CHECK_FALSE(read);
      continue;
    }
    REQUIRE(read);
    const auto wanted = noted.find(looked);
    CHECK(read->bytes == (wanted == noted.end() ? 0 : wanted->second.bytes));
    CHECK(read->deepest == (wanted == noted.end() ? 0 : wanted->second.deepest));
    CHECK(read->longest_us == (wanted == noted.end() ? 0 : wanted->second.longest_us));
  }
  CHECK(bursts.read(now / kMs + 1)->bytes == 0);
}

TEST_CASE("microbursts: what several workers were asked for in one millisecond is added, and the busiest one is told with its time, for ten minutes") {
  constexpr uint64_t kUnix = 1'800'000'000'000'000'000;
  const auto all = workers(3);
  BurstWatch watch;
  const auto look = [&](uint64_t ms) { watch.look(all, 80, {ms * kMs, kUnix + ms * kMs}); };
  look(10'000);
  for (uint64_t ms = 10'000; ms < 11'000; ++ms)
    for (std::size_t w = 0; w < all.size(); ++w) {
      all[w]->asked(ms * kMs + w, ms == 10'500 ? 1000 : 100 * (w + 1));  // 600, and once 3,000
      all[w]->holds(ms * kMs + w, ms == 10'700 + w ? 40 : 3);
    }
  all[1]->waited(10'999 * kMs, 9 * kMs);
  CHECK(watch.last().bytes == 0);
  look(11'005);
  CHECK(watch.last().bytes == 3000);
  CHECK(watch.last().at_unix_ns == kUnix + 10'500 * kMs);
  CHECK(watch.last().deepest == 120);
  CHECK(watch.last().fullest == 50);  // each of them: what the others have is no room of its own
  CHECK(watch.last().longest_us == 9000);
  look(12'005);
  CHECK(watch.last().bytes == 0);
  CHECK(watch.highest(12'005 * kMs).bytes == 3000);
  CHECK(watch.highest(611'005 * kMs).bytes == 3000);
  CHECK(watch.highest(611'006 * kMs).bytes == 0);  // nobody looked meanwhile: the port was closed
  for (unsigned second = 0; second < BurstWatch::kSeconds - 1; ++second) look(13'005 + second * 1000);
  CHECK(watch.highest(13'005 * kMs).bytes == 0);
  all[0]->asked(613'005 * kMs, 77), all[0]->holds(613'005 * kMs, 900);
  watch.look(all, 80, {613'005 * kMs, 613'005 * kMs}, 0);  // nobody writes any more
  CHECK(watch.last().bytes == 77);
  CHECK(watch.last().fullest == 100);
  look(100'000'000);  // nobody looked for a day: what is there is looked at, and no more
  CHECK(watch.last().bytes == 0);
}

TEST_CASE("microbursts: a port was asked for what its copies take on the wire, also for those that found no room") {
  Watched watched;
  watched.outlet().quota = 40;
  watched.send(50, 1000);
  watched.broker.pass_time(kMs);
  watched.send(20, 500);
  const auto peak = watched.peak();
  CHECK(peak.bytes == 50 * (1000 + 24));
  CHECK(peak.at_unix_ns == 7 * kMs);
}

TEST_CASE("microbursts: short copies are asked for as the link carries them") {
  Watched watched;
  for (unsigned i = 0; i < 10; ++i) watched.broker.send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload("x"));
  watched.broker.work();
  CHECK(watched.peak().bytes == 10 * (60 + 24));
}

TEST_CASE("microbursts: the deepest queue and the longest wait of a burst that is held are those of its last copy") {
  Watched watched(R"({"rate_limit": "8000000"})");  // a byte a microsecond, 2,000 at once
  watched.send(100, 1000);
  for (unsigned ms = 0; ms < 200; ++ms) {
    watched.broker.pass_time(kMs);
    watched.broker.work();
  }
  const auto peak = watched.peak();
  CHECK(watched.broker.got("tool1") == 100);
  CHECK(peak.deepest == 98);  // two had left before the second of two bursts came in
  CHECK(peak.longest_us >= 97'000);
  CHECK(peak.longest_us <= 99'100);
}

TEST_CASE("microbursts: a copy that nothing holds up waits for no time, and one that does not leave is told as long as it waits") {
  Watched watched;
  watched.send(1);
  CHECK(watched.peak().longest_us == 0);
  FakePort device(watched.broker.memory);
  device.faults.stuck = true;
  watched.broker.plug_in(watched.broker.plan("tool1"), device);
  watched.outlet().bursts = watched.bursts.front().get();
  watched.send(3);
  watched.broker.pass_time(5 * kMs);
  CHECK(watched.peak().longest_us == 0);  // ten more have passed
  watched.broker.pipeline.note_waiting();
  const auto stuck = watched.peak();
  CHECK(stuck.longest_us == 15'000);
  CHECK(stuck.deepest == 3);
  device.faults.stuck = false;
  watched.broker.work();
  CHECK(watched.peak().longest_us == 25'000);
}

TEST_CASE("microbursts: of copies in the line each is told when it leaves, and none to have waited shorter than it did") {
  constexpr uint32_t kCopies = 2000;
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  ToolQueue queue;
  uint64_t now = 0;
  std::vector<uint32_t> frames;
  std::vector<uint64_t> came;
  uint32_t left = 0, untold = 0, told = 0;
  // More come than leave, and then the rest leaves.
  while (left < kCopies) {
    now += random() % 200'000;
    if (frames.size() < kCopies) {
      const auto n = static_cast<uint32_t>(frames.size());
      queue.push({nullptr, 60, n}, CopyNote(0, 60, 0, false));
      queue.mark_posted(1);
      queue.mark(now);
      frames.push_back(n), came.push_back(now);
      if (random() % 4 != 0) continue;
    }
    queue.complete(std::span(frames).subspan(left++, 1), [](uint32_t, CopyNote) {});
    queue.each_left([&](uint64_t since) {
      CHECK(since == came[untold]);  // of the oldest that has not been told
      // While there are marks for all, those that come within a millisecond are one.
      if (left < 100) CHECK(came[left - 1] < since + 1'000'000);
      untold = left, ++told;
    });
  }
  CHECK(untold == kCopies);
  CHECK(told > 100);
  CHECK_FALSE(queue.oldest_since());
}

TEST_CASE("microbursts: a copy that others overtake waits until it has left itself") {
  ToolQueue queue;
  for (uint32_t n = 0; n < 10; ++n) {
    queue.push({nullptr, 60, n}, CopyNote(0, 60, 0, false));
    queue.mark(n * kMs);
  }
  queue.mark_posted(10);
  std::vector<uint64_t> told;
  const auto leaves = [&](uint32_t frame) {
    queue.complete(std::span(&frame, 1), [](uint32_t, CopyNote) {});
    queue.each_left([&](uint64_t since) { told.push_back(since / kMs); });
  };
  leaves(0), leaves(1);
  for (uint32_t frame = 3; frame < 10; ++frame) {
    leaves(frame);
    REQUIRE(queue.oldest_since() == 2 * kMs);
  }
  leaves(2);
  CHECK(told == std::vector<uint64_t>{0, 1, 2, 2, 2, 2, 2, 2, 2, 2});
  CHECK_FALSE(queue.oldest_since());
}

TEST_CASE("microbursts: what another worker hands over is seen in the owner's queue, and counted as asked for by the one who had it first") {
  test::WorkerPair pair;
  Pipeline<Unwatched> one(*pair.floors[0]), two(*pair.floors[1]);
  const auto bursts = workers(2);
  for (std::size_t w = 0; w < 2; ++w) {
    pair.floors[w]->outlets[pair.slot("tool2")].bursts = bursts[w].get();
    pair.floors[w]->replay_ns = 9'000 * kMs;
  }
  pair.tool2.faults.stuck = true;
  for (unsigned i = 0; i < 50; ++i) pair.send(1, i, 1000);
  for (int loop = 0; loop < 20; ++loop) one.run_once(*pair.model.compiled.snapshot), two.run_once(*pair.model.compiled.snapshot);
  const auto first = bursts[0]->read(9'000), second = bursts[1]->read(9'000);
  REQUIRE((first && second));
  CHECK(first->bytes + second->bytes == 50 * (1000 + 24));
  CHECK(first->deepest == 0);
  CHECK(second->deepest == 50);
  pair.floors[1]->replay_ns = 9'040 * kMs;
  pair.tool2.faults.stuck = false;
  two.run_once(*pair.model.compiled.snapshot);
  CHECK(bursts[1]->read(9'040)->longest_us == 40'000);
}

TEST_CASE("microbursts: what is told late is counted, and takes nothing from what is newer") {
  Microbursts bursts;
  bursts.asked(5'000 * kMs, 100);
  bursts.asked(4'990 * kMs, 10);
  bursts.asked(5'001 * kMs, 1);
  CHECK(bursts.read(5'000)->bytes == 110);
  CHECK(bursts.read(5'001)->bytes == 1);
  CHECK(bursts.read(4'990)->bytes == 0);
}

TEST_CASE("microbursts: one worker writes while another thread reads, and nothing is read that was another millisecond's") {
  Microbursts bursts;
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> newest = 0;
  const auto of = [](uint64_t ms) { return ms * 0x100000001; };
  std::thread worker([&] {
    for (uint64_t ms = 1; !stop; ++ms) bursts.asked(ms * kMs, of(ms)), newest = ms;
  });
  for (unsigned n = 0; n < 200'000; ++n) {
    const uint64_t ms = newest - std::min<uint64_t>(newest, n % 4096);
    const auto read = bursts.read(ms);
    if (read && read->bytes != 0 && read->bytes != of(ms)) FAIL_CHECK("of ", ms, ": ", read->bytes);
  }
  stop = true;
  worker.join();
}
