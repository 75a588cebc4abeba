#include "base/large_pages.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <fstream>
#include <utility>

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

TEST_CASE("large pages: what is given back is all that was taken, whatever the size") {
  const auto pages_mapped = [] {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;  // proc(5): the first is the size of the address space
    return pages;
  };
  const std::size_t before = pages_mapped();
  std::vector<std::pair<std::byte*, std::size_t>> all;
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{5000}, kLargePage - 1, kLargePage, kLargePage + 1, 7 * kLargePage + 4096})
    for (unsigned again = 0; again < 20; ++again) all.emplace_back(map_large_pages(bytes), bytes);
  bool fine = true;
  for (const auto& [memory, bytes] : all) fine &= memory && reinterpret_cast<uintptr_t>(memory) % kLargePage == 0 && (memory[bytes - 1] = std::byte{1}) == std::byte{1};
  CHECK(fine);
  CHECK(pages_mapped() >= before + 20 * 12 * kLargePage / 4096);
  for (const auto& [memory, bytes] : all) unmap_large_pages(memory, bytes);
  CHECK(pages_mapped() < before + kLargePage / 4096);
  for (unsigned again = 0; again < 100; ++again) LargeVector<uint32_t>(300'000 + again, 7);
  CHECK(pages_mapped() < before + kLargePage / 4096);
}

TEST_CASE("large pages: memory that can't be had is told") {
  CHECK(map_large_pages(std::size_t{1} << 60) == nullptr);
  CHECK_THROWS_AS(LargeVector<std::byte>(std::size_t{1} << 60), std::bad_alloc);
}
