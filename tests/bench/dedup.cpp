// The deduplication table alone, with 744,000 live entries (10GbE of 64-byte packets, a window of 50 ms): what one packet costs, its fingerprint
// known. `tests/peers/dedup.py` sets the same work beside it, done by DPDK's rte_hash.
//
//   bench-dedup SEED
//
// Prints one JSON object a line. Times are of a clock that the benchmark moves, so that the load is what it is called. uniform: a packet every
// 67 ns. bursty: 12 ms at twice that rate, 13 ms of silence. twice: each packet comes twice, one right behind the other. Two workers: each on a
// core of its own with its own half of the packets, or both with the same packets, as two mirrored links bring them.
#include <pthread.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "compile/dedup.h"
#include "engine/dedup/table.h"
#include "packet/frame.h"
#include "port/frame_pool.h"

namespace {

using namespace sluice;

constexpr uint64_t kLive = 744'000, kGap = 67, kWindow = 50'000'000, kStart = 1'000'000'000'000;
constexpr uint64_t kPackets = 2'000'000;  // of a run
constexpr unsigned kRuns = 9;

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): the n-th fingerprint; the peer has the same.
uint64_t fingerprint(uint64_t seed, uint64_t n) {
  uint64_t z = seed + (n + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
  z = (z ^ z >> 27) * 0x94D049BB133111EBU;
  return (z ^ z >> 31) | 1;
}

struct Load {
  bool bursty = false;
  unsigned copies = 1;
  uint64_t gap = kGap;
  [[nodiscard]] uint64_t time_of(uint64_t n) const {
    if (!bursty) return kStart + n * gap;
    constexpr uint64_t kOfBurst = kLive / 2;  // in half of the window
    return kStart + n / kOfBurst * (kWindow / 2) + n % kOfBurst * (kGap / 2);
  }
};

/// One worker's packets [from, from + count) of its own numbering; n-th packet: which(n). Returns how many passed.
uint64_t work(DedupTable& table, const Load& load, uint64_t from, uint64_t count, auto&& which) {
  constexpr unsigned kAhead = DedupTable::kAhead;
  uint64_t passed = 0;
  std::array<uint64_t, kBurst> prints;
  for (uint64_t n = from; n < from + count; n += kBurst) {
    const uint64_t now = load.time_of(n);
    for (unsigned next = 0; next < kBurst + kAhead; ++next) {
      if (next < kBurst) table.prefetch(prints[next] = which(n + next));
      if (next >= kAhead) passed += table.look_up(prints[next - kAhead], now, kWindow) != DedupTable::Answer::kDuplicate;
    }
  }
  return passed;
}

void pin_to(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

DedupTable make_table(bool shared) {
  const auto memory = compile::share_dedup_memory({{"", "", 1, kWindow}}, std::size_t{1} << 30);
  if (!memory) std::abort();
  auto table = DedupTable::make(memory->front(), shared);
  if (!table) std::abort();
  return std::move(*table);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void report(const std::string& name, double ns, uint64_t live, std::size_t bytes) {
  std::printf(R"({"case": "%s", "value": %.2f, "unit": "ns/packet", "live": %lu, "bytes": %zu, "occupancy": %.3f})"
              "\n",
              name.c_str(), ns, live, bytes, static_cast<double>(live) * 16 / static_cast<double>(bytes));
  std::fflush(stdout);
}

void one_worker(const std::string& name, const Load& load, uint64_t seed, bool shared) {
  DedupTable table = make_table(shared);
  const auto which = [&](uint64_t n) { return fingerprint(seed, n / load.copies); };
  work(table, load, 0, kLive / kBurst * kBurst * load.copies, which);
  uint64_t from = kLive / kBurst * kBurst * load.copies;
  std::vector<double> runs;
  for (unsigned run = 0; run < kRuns; ++run, from += kPackets) {
    const uint64_t begin = monotonic_ns();
    const uint64_t passed = work(table, load, from, kPackets, which);
    runs.push_back(static_cast<double>(monotonic_ns() - begin) / kPackets);
    if (passed != kPackets / load.copies) std::abort();  // a figure of something else than it is called
  }
  report(name, median(runs), kLive / load.copies, table.bytes());
}

/// What a packet costs the worker that has it.
void two_workers(const std::string& name, bool same, uint64_t seed) {
  DedupTable table = make_table(true);
  std::array<std::vector<double>, 2> runs;
  std::array<uint64_t, 2> passed{};
  std::barrier together(2);
  const auto worker = [&](unsigned w) {
    pin_to(w);
    const Load load{.gap = same ? kGap : 2 * kGap};
    const auto which = [&](uint64_t n) { return fingerprint(seed, same ? n : n * 2 + w); };
    uint64_t from = 0;
    const uint64_t before = (same ? kLive : kLive / 2) / kBurst * kBurst;
    work(table, load, 0, before, which);
    from = before;
    for (unsigned run = 0; run < kRuns; ++run, from += kPackets / 2) {
      together.arrive_and_wait();
      const uint64_t begin = monotonic_ns();
      passed[w] += work(table, load, from, kPackets / 2, which);
      runs[w].push_back(static_cast<double>(monotonic_ns() - begin) / (kPackets / 2));
    }
  };
  std::thread other(worker, 1);
  worker(0);
  other.join();
  // Each packet passes once, whoever sees it first.
  const uint64_t expected = kRuns * kPackets / 2 * (same ? 1 : 2);
  if (passed[0] + passed[1] > expected + expected / 1000 || passed[0] + passed[1] < expected - expected / 1000) std::abort();
  report(name, (median(runs[0]) + median(runs[1])) / 2, kLive, table.bytes());
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t seed = argc > 1 ? std::stoull(argv[1]) : 1;
  pin_to(0);
  one_worker("uniform", {}, seed, false);
  one_worker("bursty", {.bursty = true}, seed, false);
  one_worker("twice", {.copies = 2}, seed, false);
  one_worker("uniform, a table that workers share", {}, seed, true);
  two_workers("two workers, each with half of the packets", false, seed);
  two_workers("two workers, both with the same packets", true, seed);
  return 0;
}
