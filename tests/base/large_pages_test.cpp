#include "base/large_pages.h"

#include <doctest/doctest.h>

#include <cstdint>

using namespace sluice;

TEST_CASE("large pages: a vector that grows from some bytes to several pages keeps what it holds, and begins a page once it has a quarter of one") {
  LargeVector<uint32_t> numbers;
  bool begins_a_page = true;
  for (uint32_t n = 0; n < 2'000'000; ++n) {
    numbers.push_back(n);
    if (numbers.capacity() * sizeof(uint32_t) >= kLargePage / 4) begins_a_page &= reinterpret_cast<uintptr_t>(numbers.data()) % kLargePage == 0;
  }
  CHECK(begins_a_page);
  bool same = true;
  for (uint32_t n = 0; n < numbers.size(); ++n) same &= numbers[n] == n;
  CHECK(same);
  const auto copy = numbers;
  CHECK(copy == numbers);
  numbers.resize(3);
  numbers.shrink_to_fit();
  CHECK(numbers == LargeVector<uint32_t>{0, 1, 2});
}

TEST_CASE("large pages: what a vector takes is counted in whole pages once it has one") {
  LargeVector<std::byte> bytes;
  bytes.reserve(1000);
  CHECK(bytes_of(bytes) == 1000);
  bytes.reserve(kLargePage / 4);
  CHECK(bytes_of(bytes) == kLargePage);
  bytes.reserve(kLargePage + 1);
  CHECK(bytes_of(bytes) == 2 * kLargePage);
}

TEST_CASE("large pages: memory that can't be had is told, and nothing is lost") {
  CHECK(map_large_pages(std::size_t{1} << 60) == nullptr);
  CHECK_THROWS_AS(LargeVector<std::byte>(std::size_t{1} << 60), std::bad_alloc);
}
