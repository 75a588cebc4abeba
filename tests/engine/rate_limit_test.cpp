#include "engine/rate_limit.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace sluice;

namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kRate = 800'000'000;  // bits per second: 100,000 bytes a millisecond
constexpr uint64_t kBytesPerMs = 100'000;

/// Sends packets of so many bytes, up to `most`, as far as the limit has room; what went out.
uint64_t send(RateLimit& limit, uint64_t now, uint64_t most, uint64_t packet) {
  const uint64_t claimed = limit.claim(now, most);
  uint64_t sent = 0;
  while (sent < claimed) sent += packet;
  limit.settle(claimed, sent);
  return sent;
}

}  // namespace

TEST_CASE("rate limit: what is sent is the rate, and after a pause no more at once than the burst") {
  RateLimit limit(kRate, 2 * kMs);
  uint64_t now = 7 * kMs, sent = 0;
  for (const uint64_t end = now + 1000 * kMs; now < end; now += kMs / 10) sent += send(limit, now, 50'000, 1000);
  CHECK(sent >= 1000 * kBytesPerMs);
  CHECK(sent <= 1002 * kBytesPerMs + 1000);
  now += 10'000 * kMs;
  sent = 0;
  for (const uint64_t end = now + 10 * kMs; now < end; now += kMs / 10) sent += send(limit, now, 500'000, 1000);
  CHECK(sent >= 10 * kBytesPerMs);
  CHECK(sent <= 12 * kBytesPerMs + 1000);
}

TEST_CASE("rate limit: who stays below it loses nothing, however its packets fall to workers, and who bursts in turns gets no more than it") {
  RateLimit below(kRate * 13 / 10, 10 * kMs);
  uint64_t offered = 0, sent = 0;
  for (uint64_t ms = 1; ms < 1000; ++ms) {
    offered += 100'000 + (ms % 4 == 0 ? 96'000 : 0);
    sent += send(below, ms * kMs, 100'000, 1000) + (ms % 4 == 0 ? send(below, ms * kMs, 96'000, 1000) : 0);
  }
  CHECK(sent == offered);
  RateLimit bursts(kRate, 10 * kMs);
  sent = 0;
  for (uint64_t ms = 5; ms <= 1000; ms += 5) sent += send(bursts, ms * kMs, 1'000'000, 1000);
  CHECK(sent <= 1010 * kBytesPerMs);
}

TEST_CASE("rate limit: a packet that is longer than the burst gets through and is paid for, at any rate that a number can say") {
  RateLimit slow(8000, kMs);  // 1,000 bytes a second
  CHECK(send(slow, 1000 * kMs, 19'000, 19'000) == 19'000);
  CHECK(send(slow, 1000 * kMs + 18'998 * kMs, 1, 1) == 0);
  CHECK(send(slow, 1000 * kMs + 19'001 * kMs, 1, 1) == 1);
  RateLimit slowest(1, kMs), fastest(UINT64_MAX, kMs);
  CHECK(send(slowest, kMs, 1500, 1500) == 1500);
  CHECK(send(slowest, 11'999 * 1000 * kMs, 1500, 1500) == 0);
  CHECK(send(slowest, 12'001 * 1000 * kMs, 1500, 1500) == 1500);
  for (int i = 0; i < 1000; ++i) CHECK(send(fastest, kMs, 1'000'000, 1000) == 1'000'000);
}

TEST_CASE("rate limit: what is given back can be sent, and a clock that another worker reads a little earlier gives nothing away") {
  RateLimit limit(kRate, 2 * kMs);
  const uint64_t claimed = limit.claim(kMs, 500'000);
  CHECK(claimed == 2 * kBytesPerMs);
  CHECK(limit.claim(kMs, 1) == 0);
  limit.settle(claimed, 50'000);
  CHECK(limit.claim(kMs, 500'000) == 150'000);
  CHECK(limit.claim(kMs - 50'000, 500'000) == 0);
  CHECK(limit.claim(kMs + 10'000, 500'000) == 1000);
}

TEST_CASE("rate limit: threads that claim at once get no byte twice") {
  RateLimit limit(8'000'000'000, 100 * kMs);  // 100,000,000 bytes, all of one moment
  std::vector<uint64_t> got(4);
  std::vector<std::thread> threads;
  for (auto& mine : got)
    threads.emplace_back([&limit, &mine] {
      while (const uint64_t claimed = limit.claim(kMs, 997)) mine += claimed;
    });
  for (auto& thread : threads) thread.join();
  CHECK(got[0] + got[1] + got[2] + got[3] == 100'000'000);
}
