// What is remembered, for how long, and by several workers at once. The oracle is a map without bounds.
#include "engine/dedup/table.h"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <unordered_map>
#include <vector>

using namespace sluice;
using Answer = DedupTable::Answer;

namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kWindow = 50 * kMs;
constexpr uint64_t kStart = 1'000'000'000'000;

DedupTable table_of(std::size_t bytes, bool shared = false) {
  auto made = DedupTable::make(bytes, shared);
  REQUIRE_MESSAGE(made, made.error().message);
  return std::move(*made);
}

/// Counts of a tier: the long one's, or a twentieth of it.
uint64_t scaled(uint64_t all) {
  const char* tier = std::getenv("SLUICE_TIER");
  return tier && std::strcmp(tier, "long") == 0 ? all : all / 20;
}

/// What became of packets that four workers looked up all at about the same time, each in every worker.
struct Race {
  uint64_t never = 0;  ///< packets that passed nowhere
  uint64_t again = 0;  ///< passed once more than they should
  uint64_t evicted = 0;
};

/// step_ns: between two packets.
Race race(DedupTable& table, uint64_t packets, uint64_t step_ns, uint64_t window_ns) {
  constexpr unsigned kThreads = 4;
  std::vector<std::atomic<uint8_t>> passed(packets);
  std::atomic<uint64_t> evicted{0}, at{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      std::mt19937_64 prints(42);  // all the same ones, in the same order
      for (uint64_t n = 0; n < packets; ++n) {
        // Nobody is far ahead: it is a race for every packet.
        while (n > at.load(std::memory_order_relaxed) + 64) std::this_thread::yield();
        const auto answer = table.look_up(prints() | 1, kStart + n * step_ns, window_ns);
        if (answer != Answer::kDuplicate) passed[n].fetch_add(1, std::memory_order_relaxed);
        if (answer == Answer::kFirstEvicted) evicted.fetch_add(1, std::memory_order_relaxed);
        uint64_t seen = at.load(std::memory_order_relaxed);
        if (n > seen) at.compare_exchange_strong(seen, n, std::memory_order_relaxed);
      }
    });
  for (auto& thread : threads) thread.join();
  Race out{.evicted = evicted};
  for (const auto& p : passed) out.never += p == 0, out.again += p > 1 ? p - 1U : 0U;
  return out;
}

}  // namespace

TEST_CASE("dedup table: a packet is a duplicate within the window and none beyond it, whichever came first") {
  for (const bool shared : {false, true}) {
    DedupTable table = table_of(DedupTable::kLeastBytes, shared);
    CHECK(table.look_up(7, kStart, kWindow) == Answer::kFirst);
    CHECK(table.look_up(7, kStart, kWindow) == Answer::kDuplicate);
    CHECK(table.look_up(7, kStart + kWindow, kWindow) == Answer::kDuplicate);
    CHECK(table.look_up(7, kStart - kWindow, kWindow) == Answer::kDuplicate);  // another worker was slower
    CHECK(table.look_up(7, kStart + kWindow + 1, kWindow) == Answer::kFirst);
    CHECK(table.look_up(8, kStart, kWindow) == Answer::kFirst);
  }
}

TEST_CASE("dedup table: a duplicate does not make its first one younger") {
  DedupTable table = table_of(DedupTable::kLeastBytes);
  CHECK(table.look_up(7, kStart, kWindow) == Answer::kFirst);
  for (uint64_t t = 10 * kMs; t <= kWindow; t += 10 * kMs) CHECK(table.look_up(7, kStart + t, kWindow) == Answer::kDuplicate);
  CHECK(table.look_up(7, kStart + 60 * kMs, kWindow) == Answer::kFirst);
}

TEST_CASE("dedup table: the same BPDU every two seconds for a day is never dropped, in any window") {
  for (const uint64_t window : {uint64_t{10'000}, kWindow, 1000 * kMs}) {
    DedupTable table = table_of(DedupTable::kLeastBytes);
    for (uint64_t second = 0; second < 86400; second += 2) CHECK(table.look_up(7, kStart + second * 1000 * kMs, window) == Answer::kFirst);
  }
}

TEST_CASE("dedup table: it says of random packets what a map without bounds says, and counts each that it had to forget") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  // Few live ones for its size, then about as many as it has places, then far more.
  for (const auto& [known, forgets] : {std::pair(60U, false), std::pair(4096U, true), std::pair(100'000U, true)}) {
    DedupTable table = table_of(DedupTable::kLeastBytes);
    std::unordered_map<uint64_t, uint64_t> first;  // fingerprint, when
    std::vector<uint64_t> prints(known);
    for (auto& p : prints) p = random() | 1;
    uint64_t now = kStart, missed = 0, forgotten = 0, duplicates = 0;
    for (int n = 0; n < 200'000; ++n) {
      now += random() % (2 * kWindow / 400);
      const uint64_t p = prints[random() % prints.size()];
      const auto answer = table.look_up(p, now, kWindow);
      const auto seen = first.find(p);
      const bool is_duplicate = seen != first.end() && now - seen->second <= kWindow;
      duplicates += is_duplicate;
      forgotten += answer == Answer::kFirstEvicted;
      if (is_duplicate && answer != Answer::kDuplicate) ++missed;
      if (!is_duplicate) CHECK(answer != Answer::kDuplicate);  // never a packet too many
      if (answer != Answer::kDuplicate) first[p] = now;
    }
    CHECK(missed <= forgotten);
    if (known == 60) CHECK(duplicates > 100'000);
    CHECK((forgotten > 0) == forgets);
  }
}

TEST_CASE("dedup table: at the beginning of time, too, a place that nothing was ever in is taken before one that is live") {
  DedupTable table = table_of(DedupTable::kLeastBytes);
  // All of one line.
  for (uint64_t print = 1; print <= 4; ++print) CHECK(table.look_up(print, 0, kWindow) == Answer::kFirst);
  for (uint64_t print = 1; print <= 4; ++print) CHECK(table.look_up(print, print, kWindow) == Answer::kDuplicate);
  CHECK(table.look_up(5, 5, kWindow) == Answer::kFirstEvicted);
}

TEST_CASE("dedup table: workers that race for the same packets let each one pass once") {
  DedupTable table = table_of(std::size_t{64} << 20, true);
  const Race result = race(table, scaled(2'000'000), 1, 1000 * kMs);
  CHECK(result.never == 0);
  CHECK(result.again <= result.evicted);
}

TEST_CASE("dedup table: in a crowded table, too, no packet passes twice but for those that it counts as forgotten") {
  DedupTable table = table_of(DedupTable::kLeastBytes, true);  // 4,096 places
  // About as many live ones as there are lines, in lines that are full of what is old.
  const Race result = race(table, scaled(4'000'000), 10'000, 10 * kMs);
  CHECK(result.never == 0);
  CHECK(result.again <= result.evicted);
  CHECK(result.evicted > 0);
}

TEST_CASE("dedup table: a table that several workers share without agreeing on a word is found out") {
  // What the race is for: stores in the place of the compare-and-swap.
  const uint64_t rounds = 200'000;
  uint64_t again = 0;
  for (int attempt = 0; attempt < 50 && again == 0; ++attempt) {
    DedupTable table = table_of(std::size_t{16} << 20, false);
    std::vector<std::atomic<uint8_t>> passed(rounds);
    std::atomic<unsigned> ready{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 2; ++t)
      threads.emplace_back([&] {
        std::mt19937_64 prints(static_cast<uint64_t>(attempt));
        ++ready;
        while (ready.load() < 2) std::this_thread::yield();
        for (uint64_t n = 0; n < rounds; ++n)
          if (table.look_up(prints() | 1, kStart + n, 1000 * kMs) != Answer::kDuplicate) passed[n].fetch_add(1, std::memory_order_relaxed);
      });
    for (auto& thread : threads) thread.join();
    for (const auto& p : passed) again += p > 1;
  }
  CHECK(again > 0);
}

TEST_CASE("dedup table: memory that can't be had is an error that says how much") {
  const auto made = DedupTable::make(std::size_t{1} << 46, false);
  REQUIRE_FALSE(made);
  CHECK(made.error().code == ErrorCode::kExhausted);
  CHECK(made.error().message.find("67108864 MiB") != std::string::npos);
}
