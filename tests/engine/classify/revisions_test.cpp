// Revision after revision: the trees of the one before are changed where rows came or went, and decide as the rules do, one after the other.
#include <doctest/doctest.h>

#include <functional>

#include "engine/classify/classifier.h"
#include "engine/classify/cut_plan.h"
#include "tests/engine/classify/random_rules.h"

using namespace sluice;
using namespace sluice::test;

namespace {

/// One rule more, one less, another, one that asks for another TTL, or one at another place.
void change_a_rule(Random& random, std::vector<ClassifierMap>& maps, unsigned open, uint32_t& index) {
  auto& rules = maps[below(random, static_cast<unsigned>(maps.size()))].rules;
  const auto place = [&](std::size_t places) { return rules.begin() + static_cast<std::ptrdiff_t>(random() % places); };
  const unsigned kind = rules.empty() ? 0 : below(random, 5);
  if (kind == 0) {
    rules.insert(place(rules.size() + 1), {{{some_tuple(random, open)}}, index++, below(random, 2) == 0});
  } else if (kind == 1) {
    rules.erase(place(rules.size()));
  } else if (kind == 2) {
    *place(rules.size()) = {{{some_tuple(random, open)}}, index++, below(random, 2) == 0};
  } else if (kind == 3) {
    ClassifierRule& rule = *place(rules.size());
    RuleMatch match = *rule.match;
    auto& criteria = match.alternatives[0].criteria;
    std::erase_if(criteria, [](const Criterion& one) { return one.where == Where{Field::kTtl}; });
    criteria.push_back({{Field::kTtl}, std::make_shared<const Values>(Values{{{0, below(random, 255)}}, {}})});
    rule = {std::move(match), index++, rule.pass};
  } else {
    const auto moved = place(rules.size());
    const ClassifierRule rule = *moved;
    rules.erase(moved);
    rules.insert(place(rules.size() + 1), rule);
  }
}

}  // namespace

TEST_CASE("classifier: revision after revision, made from the trees before, decides as its rules do one after the other") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  Random random(seed);
  unsigned verdicts = 0, continued = 0, anew = 0;
  for (unsigned round = 0; round < (long_tier() ? 1000U : 16U); ++round) {
    const unsigned count = 1U << below(random, 11), map_count = below(random, 2) ? 1 : 1 + below(random, 6);
    const unsigned open = below(random, 2) ? 5 : 60;  // few rules that leave one open have no trees of their own
    uint32_t index = count;
    std::vector<ClassifierMap> maps(map_count);
    for (unsigned m = 0; m < map_count; ++m) {
      maps[m].map = m;
      maps[m].ports.set(3);
      maps[m].ports.set(below(random, 3));
      maps[m].default_pass = below(random, 4) == 0;
    }
    for (unsigned r = 0; r < count; ++r) maps[below(random, map_count)].rules.push_back({{{some_tuple(random, open)}}, r, below(random, 2) == 0});
    Traffic traffic;
    for (unsigned i = 0; i < 256; ++i) traffic.bytes.push_back(some_tuple_packet(random));
    traffic.gather();
    const Simd simd = below(random, 2) ? best_simd() : Simd::kScalar;
    std::shared_ptr<const CutPlan> trees;
    for (unsigned revision = 0; revision < 12; ++revision) {
      const unsigned changes = std::array{0U, 1U, 1U, 2U, 9U}[below(random, 5)];
      for (unsigned c = 0; c < changes; ++c) change_a_rule(random, maps, open, index);
      const auto classifier = Classifier::make(maps, {.simd = simd, .fewest_cut = 1, .trees = trees});
      REQUIRE_MESSAGE(classifier, classifier.error().message);
      CAPTURE(round);
      CAPTURE(revision);
      CHECK(differences(*classifier, maps, traffic, verdicts) == 0);
      trees = classifier->trees();
      if (trees) ++(trees->is_continued() ? continued : anew);
    }
  }
  CHECK(verdicts > 1000);
  CHECK(continued > 20);
  CHECK(anew > 10);
}

TEST_CASE("classifier: where rules come for which the cuts were not made, all trees are cut again") {
  const auto rule = [](std::vector<Criterion> criteria, uint32_t index) { return ClassifierRule({{{std::move(criteria)}}}, index, true); };
  const auto in = [](Field field, Key from, Key to, bool v6 = false) {
    return Criterion{{field}, std::make_shared<const Values>(v6 ? Values{{}, {{from, to}}} : Values{{{from, to}}, {}})};
  };
  ClassifierMap hosts;
  hosts.ports.set(3);
  for (uint32_t r = 0; r < 4000; ++r)
    hosts.rules.push_back(rule({in(Field::kSrc, Key{10} << 24 | r, Key{10} << 24 | r), in(Field::kDst, Key{11} << 24 | r * 77, Key{11} << 24 | r * 77)}, r));
  const auto before = Classifier::make({hosts});
  REQUIRE(before);
  const auto is_continued = [&](unsigned count, const std::function<std::vector<Criterion>(unsigned)>& criteria) {
    ClassifierMap map = hosts;
    for (unsigned n = 0; n < count; ++n) map.rules.push_back(rule(criteria(n), 4000 + n));
    const auto classifier = Classifier::make({map}, {.trees = before->trees()});
    REQUIRE(classifier);
    return classifier->trees()->is_continued();
  };
  const Key v6_net = Key{0x20010db8} << 96;
  const auto source_alone = [&](unsigned n) { return std::vector{in(Field::kSrc, Key{12} << 24 | n, Key{12} << 24 | n)}; };
  const auto v6_host = [&](unsigned n) { return std::vector{in(Field::kDst, v6_net | n, v6_net | n, true)}; };
  const auto wide = [&](unsigned n) { return std::vector{in(Field::kDst, 0, Key{1} << 31), in(Field::kDstPort, n, n)}; };
  const auto alike = [&](unsigned n) { return std::vector{in(Field::kSrc, 7, 7), in(Field::kDst, 9, 9), in(Field::kDstPort, n, n)}; };
  CHECK(is_continued(20, source_alone));
  CHECK_FALSE(is_continued(500, source_alone));
  CHECK(is_continued(20, v6_host));
  CHECK_FALSE(is_continued(100, v6_host));
  CHECK(is_continued(3, wide));
  CHECK_FALSE(is_continued(10, wide));
  CHECK(is_continued(500, alike));
  CHECK_FALSE(is_continued(2000, alike));
}

TEST_CASE("classifier: rules that come to be too many for one leaf are found by the dimensions, and again when the others have gone") {
  const auto on_network = [](Key host, unsigned bits, uint32_t index) {
    const Key from = Key{10} << 24 | host;
    return ClassifierRule({{{{{{Field::kDst}, std::make_shared<const Values>(Values{{{from, from | ((Key{1} << bits) - 1)}}, {}})},
                              {{Field::kTtl}, std::make_shared<const Values>(Values{{{index % 60, index % 60 + 4}}, {}})}}}}}, index, true);
  };
  ClassifierMap map;
  map.ports.set(3);
  for (uint32_t r = 0; r < 600; ++r) map.rules.push_back(on_network(Key{r} << 8, 0, r));
  Traffic traffic;
  for (unsigned ttl = 1; ttl < 65; ++ttl) {
    traffic.bytes.push_back(test::Packet().ethernet().ipv4("10.0.77.5", "10.0.77.0").udp(1, 2).bytes());
    traffic.bytes.back()[22] = static_cast<std::byte>(ttl);  // RFC 791, section 3.1
  }
  traffic.gather();
  std::shared_ptr<const CutPlan> trees;
  uint32_t index = 600;
  unsigned verdicts = 0;
  const auto check = [&] {
    const auto classifier = Classifier::make({map}, {.fewest_cut = 1, .trees = trees});
    REQUIRE_MESSAGE(classifier, classifier.error().message);
    CHECK(differences(*classifier, {map}, traffic, verdicts) == 0);
    trees = classifier->trees();
    return classifier->cost().rows - classifier->cost().cut;  // those that the dimensions have
  };
  CHECK(check() == 0);
  // One after the other for the same addresses, with the one that is there: a leaf takes four that ask for more than addresses.
  for (unsigned r = 0; r < 40; ++r) {
    map.rules.push_back(on_network(Key{77} << 8, r % 8, index++));
    CHECK(check() == (r < 3 ? 0 : r - 2));
    CHECK(trees->is_continued());
  }
  for (unsigned r = 0; r < 40; ++r) {
    map.rules.erase(map.rules.begin() + 600 + static_cast<std::ptrdiff_t>(r % 3 == 0 ? 0 : map.rules.size() - 601));
    check();
  }
  CHECK(check() == 0);
  CHECK(verdicts > 400);
}
