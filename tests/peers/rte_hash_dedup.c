// Deduplication by DPDK's rte_hash, as one would write it with its fastest calls: the same fingerprints as bench-dedup, 744,000 of them live, looked up
// in bulk by a hash that is known; what is new is added, what is older than the window leaves at the other end of a ring.
//
//   rte_hash_dedup SEED [EAL options]     prints one JSON object a line
#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_lcore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { kBurst = 64, kRuns = 9, kPackets = 2000000, kEntries = 1 << 20 };
static const uint64_t kLive = 744000, kGap = 67, kWindow = 50000000, kStart = 1000000000000;

static uint64_t fingerprint(uint64_t seed, uint64_t n) {
  uint64_t z = seed + (n + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
  z = (z ^ z >> 27) * 0x94D049BB133111EBU;
  return (z ^ z >> 31) | 1;
}

static uint64_t time_of(bool bursty, uint64_t n) {
  if (!bursty) return kStart + n * kGap;
  const uint64_t of_burst = kLive / 2;
  return kStart + n / of_burst * (kWindow / 2) + n % of_burst * (kGap / 2);
}

struct Waiting {
  uint64_t print, stamp;
};
struct Domain {
  struct rte_hash* hash;
  struct Waiting* ring;  // of kEntries
  uint64_t head, tail;
};

static uint64_t work(struct Domain* d, bool bursty, unsigned copies, uint64_t seed, uint64_t from, uint64_t count) {
  uint64_t passed = 0;
  uint64_t prints[kBurst];
  const void* keys[kBurst];
  hash_sig_t signatures[kBurst];
  int32_t positions[kBurst];
  for (uint64_t n = from; n < from + count; n += kBurst) {
    const uint64_t now = time_of(bursty, n);
    while (d->tail != d->head && d->ring[d->tail % kEntries].stamp + kWindow < now) {
      const uint64_t old = d->ring[d->tail++ % kEntries].print;
      rte_hash_del_key_with_hash(d->hash, &old, (hash_sig_t)(old >> 32));
    }
    for (unsigned i = 0; i < kBurst; ++i) {
      prints[i] = fingerprint(seed, (n + i) / copies);
      keys[i] = &prints[i];
      signatures[i] = (hash_sig_t)(prints[i] >> 32);
    }
    rte_hash_lookup_with_hash_bulk(d->hash, keys, signatures, kBurst, positions);
    for (unsigned i = 0; i < kBurst; ++i) {
      if (positions[i] >= 0) continue;
      // A copy of it may stand in this burst, before it.
      if (copies > 1 && rte_hash_lookup_with_hash(d->hash, keys[i], signatures[i]) >= 0) continue;
      if (rte_hash_add_key_with_hash(d->hash, keys[i], signatures[i]) < 0) abort();
      d->ring[d->head++ % kEntries] = (struct Waiting){prints[i], now};
      ++passed;
    }
  }
  return passed;
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int ascending(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static void measure(const char* name, bool bursty, unsigned copies, uint64_t seed) {
  const struct rte_hash_parameters parameters = {.name = name, .entries = kEntries, .key_len = sizeof(uint64_t), .socket_id = (int)rte_socket_id()};
  struct Domain d = {rte_hash_create(&parameters), malloc(kEntries * sizeof(struct Waiting)), 0, 0};
  if (!d.hash || !d.ring) abort();
  uint64_t from = kLive / kBurst * kBurst * copies;
  work(&d, bursty, copies, seed, 0, from);
  double runs[kRuns];
  for (unsigned run = 0; run < kRuns; ++run, from += kPackets) {
    const uint64_t begin = now_ns();
    const uint64_t passed = work(&d, bursty, copies, seed, from, kPackets);
    runs[run] = (double)(now_ns() - begin) / kPackets;
    if (passed != kPackets / copies) abort();
  }
  qsort(runs, kRuns, sizeof(double), ascending);
  printf("{\"case\": \"%s\", \"value\": %.2f, \"live\": %d}\n", name, runs[kRuns / 2], rte_hash_count(d.hash));
  rte_hash_free(d.hash);
  free(d.ring);
}

int main(int argc, char** argv) {
  if (argc < 2) return 1;
  const uint64_t seed = strtoull(argv[1], NULL, 10);
  argv[1] = argv[0];
  if (rte_eal_init(argc - 1, argv + 1) < 0) return 1;
  measure("uniform", false, 1, seed);
  measure("bursty", true, 1, seed);
  measure("twice", false, 2, seed);
  return 0;
}
