#include "engine/backlog.h"

#include <doctest/doctest.h>

#include <deque>
#include <random>

using namespace sluice;

namespace {

Frame frame(uint32_t index) { return {nullptr, 60, index}; }

constexpr std::array kAll = {Priority::kHigh, Priority::kNormal, Priority::kLow};

}  // namespace

TEST_CASE("backlog: copies of one or several frames come out in the order of their priority's list, as in a plain list of lists") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  Backlog backlog(200);
  std::array<std::deque<std::vector<uint32_t>>, kPriorities> plain;
  uint32_t frames = 0, number = 0;
  uint64_t bytes = 0;
  for (unsigned step = 0; step < 20'000; ++step) {
    const auto p = static_cast<unsigned>(random() % kPriorities);
    const auto size = static_cast<uint32_t>(1 + random() % 3);
    if (random() % 100 < 55 && frames + size <= 200) {
      std::vector<uint32_t> copy;
      for (uint32_t f = 0; f < size; ++f) {
        backlog.push(kAll[p], frame(number), {7, 60 * size, 0, f + 1 < size});
        copy.push_back(number++);
      }
      plain[p].push_back(copy);
      frames += size;
      bytes += 60 * size;
    } else if (!plain[p].empty()) {
      std::vector<uint32_t> taken;
      CHECK(backlog.take(kAll[p], [&](const Frame& f, CopyNote) { taken.push_back(f.index); }) == 60 * plain[p].front().size());
      CHECK(taken == plain[p].front());
      frames -= static_cast<uint32_t>(taken.size());
      bytes -= 60 * taken.size();
      plain[p].pop_front();
    }
    CHECK(backlog.frames() == frames);
    CHECK(backlog.bytes() == bytes);
    for (unsigned q = 0; q < kPriorities; ++q) CHECK(backlog.waits(kAll[q]) == !plain[q].empty());
  }
}

TEST_CASE("backlog: the highest priority leaves first, and of any sixteen copies that leave one is of each lower priority that waits") {
  Backlog backlog(3000);
  for (uint32_t i = 0; i < 3000; ++i) backlog.push(kAll[i % kPriorities], frame(i), {0, 60, 0});
  std::vector<Priority> left;
  while (!backlog.empty()) {
    left.push_back(backlog.next());
    backlog.take(left.back(), [](const Frame&, CopyNote) {});
  }
  std::array<unsigned, kPriorities> waiting{1000, 1000, 1000}, since{};
  unsigned first_hundred_high = 0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    first_hundred_high += i < 160 && left[i] == Priority::kHigh;
    --waiting[static_cast<unsigned>(left[i])];
    for (unsigned p = 0; p < kPriorities; ++p) {
      since[p] = kAll[p] == left[i] || waiting[p] == 0 ? 0 : since[p] + 1;
      CHECK(since[p] < Backlog::kTurns);
    }
  }
  CHECK(first_hundred_high == 140);  // fourteen of sixteen
}

TEST_CASE("backlog: what made it larger leaves what waits in it as it was") {
  Backlog backlog(2);
  backlog.push(Priority::kLow, frame(1), {0, 60, 0});
  backlog.push(Priority::kLow, frame(2), {0, 60, 0});
  Backlog::Store larger(4);
  backlog.move_into(larger);
  CHECK(backlog.capacity() == 4);
  backlog.push(Priority::kLow, frame(3), {0, 60, 0});
  backlog.push(Priority::kHigh, frame(4), {0, 60, 0});
  CHECK(backlog.lowest() == Priority::kLow);
  CHECK(backlog.frames_below(Priority::kHigh) == 3);
  CHECK(backlog.frames_below(Priority::kNormal) == 3);
  CHECK(backlog.frames_below(Priority::kLow) == 0);
  for (const uint32_t expected : {1U, 2U, 3U}) CHECK(backlog.take_frame(Priority::kLow).first.index == expected);
  CHECK(backlog.take_frame(Priority::kHigh).first.index == 4);
  CHECK(backlog.empty());
}
