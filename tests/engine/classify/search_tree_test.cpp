#include "engine/classify/search_tree.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>

using namespace sluice;

namespace {

template <class Number>
void compare(std::mt19937_64& random, std::size_t size) {
  std::set<Number> some{0};
  while (some.size() < size) some.insert(static_cast<Number>(random() >> random() % 40));
  if (size % 2) some.insert(std::numeric_limits<Number>::max());
  const std::vector<Number> keys(some.begin(), some.end());
  std::vector<Number> sought{0, 1, std::numeric_limits<Number>::max(), std::numeric_limits<Number>::max() - 1};
  for (unsigned n = 0; n < 200; ++n) {
    const Number near = keys[random() % keys.size()];
    for (const Number x : {near, static_cast<Number>(near - 1), static_cast<Number>(near + 1), static_cast<Number>(random())})
      sought.push_back(x);
  }
  for (const Simd simd : {Simd::kScalar, Simd::kAvx2, Simd::kAvx512}) {
    if (simd > best_simd()) continue;
    const SearchTree<Number> tree(keys, simd);
    std::vector<uint32_t> ranks(sought.size());
    tree.ranks(sought, ranks.data());
    for (std::size_t i = 0; i < sought.size(); ++i) {
      const auto expected = std::upper_bound(keys.begin(), keys.end(), sought[i]) - keys.begin();
      CHECK_MESSAGE(ranks[i] == expected, "of ", size, " keys, ", sought[i]);
    }
  }
}

}  // namespace

TEST_CASE("search tree: tells how many keys are not above a number, at every size and on every processor") {
  std::mt19937_64 random(7);
  for (const std::size_t size : {1U, 2U, 7U, 8U, 9U, 15U, 16U, 17U, 18U, 72U, 81U, 82U, 272U, 289U, 290U, 700U, 4913U, 4914U, 20000U}) {
    compare<uint32_t>(random, size);
    compare<uint64_t>(random, size);
  }
}
