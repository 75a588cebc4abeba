// The classifier against the plain answer, rule after rule: no difference, whatever the rules, the packets and the processor.
#include "engine/classify/classifier.h"

#include <doctest/doctest.h>

#include "tests/engine/classify/random_rules.h"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("classifier: random rules of all fields in any number of maps decide as they do one after the other") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  Random random(seed);
  unsigned verdicts = 0;
  for (unsigned round = 0; round < (long_tier() ? 4000U : 40U); ++round) {
    const Traffic traffic(random, 200);
    const unsigned map_count = below(random, 2) ? 1 : 1 + below(random, 70);
    const auto maps = some_maps(random, traffic, map_count, 1U << below(random, 10));
    for (const Simd simd : {Simd::kScalar, Simd::kAvx2, Simd::kAvx512}) {
      if (simd > best_simd()) continue;
      for (const uint32_t fewest_cut : {1U, kNoTrees}) {
        const auto classifier = Classifier::make(maps, {.simd = simd, .fewest_cut = fewest_cut});
        REQUIRE_MESSAGE(classifier, classifier.error().message);
        CHECK(differences(*classifier, maps, traffic, verdicts) == 0);
      }
    }
  }
  CHECK(verdicts > 1000);
}

TEST_CASE("classifier: a million small sets of rules of all fields decide as their rules do one after the other") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  Random random(seed);
  unsigned verdicts = 0, different = 0;
  constexpr unsigned kOfTraffic = 500;  // sets that meet the same packets
  for (unsigned round = 0; round < (long_tier() ? 2000U : 4U); ++round) {
    const Traffic traffic(random, 1024);
    for (unsigned set = 0; set < kOfTraffic; ++set) {
      const unsigned map_count = below(random, 3) ? 1 : 1 + below(random, 4);
      const auto maps = some_maps(random, traffic, map_count, 1 + below(random, 12));
      const Simd simd = std::array{Simd::kScalar, Simd::kAvx2, best_simd()}[below(random, best_simd() == Simd::kScalar ? 1 : 3)];
      const auto classifier = Classifier::make(maps, {.simd = simd, .fewest_cut = below(random, 2) ? 1U : kNoTrees});
      REQUIRE_MESSAGE(classifier, classifier.error().message);
      VerdictBuffer out(map_count);
      const unsigned wrong = differences(*classifier, maps, *traffic.bursts[below(random, 16)], out, verdicts);
      if (wrong != 0) {
        CAPTURE(round);
        CAPTURE(set);
        CHECK(wrong == 0);
      }
      different += wrong;
    }
  }
  CHECK(different == 0);
  CHECK(verdicts > 1000);
}

TEST_CASE("classifier: rules on networks, ports and protocol, with and without more, decide in trees as they do one after the other") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  Random random(seed);
  unsigned verdicts = 0, in_trees = 0;
  for (unsigned round = 0; round < (long_tier() ? 1000U : 40U); ++round) {
    const unsigned rules = 1U << below(random, 12), map_count = below(random, 2) ? 1 : 1 + below(random, 20);
    std::vector<ClassifierMap> maps(map_count);
    for (unsigned m = 0; m < map_count; ++m) {
      maps[m].map = m;
      if (m == 0 || below(random, 4)) maps[m].ports.set(3);
      maps[m].ports.set(below(random, 3));
      maps[m].default_pass = below(random, 4) == 0;
      if (below(random, 5) == 0) maps[m].vlans.push_back({0, 2000});
    }
    for (unsigned r = 0; r < rules; ++r) maps[below(random, map_count)].rules.push_back({{{some_tuple(random)}}, r, below(random, 2) == 0});
    Traffic traffic;
    for (unsigned i = 0; i < 500; ++i) traffic.bytes.push_back(some_tuple_packet(random));
    traffic.gather();
    for (const Simd simd : {Simd::kScalar, Simd::kAvx512}) {
      if (simd > best_simd()) continue;
      const auto classifier = Classifier::make(maps, {.simd = simd, .fewest_cut = 1});
      REQUIRE_MESSAGE(classifier, classifier.error().message);
      in_trees += classifier->cost().cut;
      CHECK(differences(*classifier, maps, traffic, verdicts) == 0);
    }
  }
  CHECK(verdicts > 1000);
  CHECK(in_trees > 1000);
}

TEST_CASE("classifier: sets of rules of every size of the summary, sparse and dense, decide alike") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  Random random(seed);
  for (const unsigned rows : {63U, 64U, 65U, 4097U, 8193U, 16385U, 20481U, 33000U, 65537U}) {
    if (rows > 20000 && !long_tier()) continue;
    CAPTURE(rows);
    // Hosts in networks in networks, on both sides: many classes, and few packets so that the plain answer ends.
    ClassifierMap map;
    map.ports.set(3);
    const auto network = [&](Field field, unsigned r) {
      const Key base = Key{10} << 24 | Key{r % 251} << 16 | Key{r / 251 % 256} << 8, host = random() % 256;
      const unsigned kind = below(random, 10);
      Values values;
      if (kind == 0) values.numbers.push_back({Key{10} << 24, (Key{11} << 24) - 1});
      else if (kind < 3) values.numbers.push_back({base, base + 255});
      else values.numbers.push_back({base + host, base + host});
      return Criterion{{field}, std::make_shared<const Values>(std::move(values))};
    };
    for (unsigned r = 0; r < rows; ++r) {
      Alternative alternative;
      alternative.criteria = {network(Field::kSrc, r), network(Field::kDst, r / 3)};
      if (r % 2) alternative.criteria.push_back({{Field::kDstPort}, std::make_shared<const Values>(Values{{{r % 700, r % 700 + 3}}, {}})});
      map.rules.push_back({{{alternative}}, r, r % 3 == 0});
    }
    Traffic traffic;
    // Each of them meets a rule that is chosen evenly: mostly one of hosts.
    for (unsigned i = 0; i < 64; ++i) {
      const unsigned r = below(random, rows);
      const auto address = [&](unsigned criterion) {
        const auto n = static_cast<uint32_t>(map.rules[r].match->alternatives[0].criteria[criterion].values->numbers.front().from);
        return std::to_string(n >> 24) + "." + std::to_string(n >> 16 & 255) + "." + std::to_string(n >> 8 & 255) + "." +
               std::to_string(n & 255);
      };
      traffic.bytes.push_back(test::Packet().ethernet().ipv4(address(0), address(1)).udp(1, static_cast<uint16_t>(r % 700)).bytes());
    }
    traffic.gather();
    const std::vector<ClassifierMap> maps{map};
    unsigned verdicts = 0;
    for (const Simd simd : {Simd::kScalar, Simd::kAvx2, Simd::kAvx512}) {
      if (simd > best_simd() || (rows > 5000 && simd != best_simd())) continue;
      for (const uint32_t fewest_cut : {1U, kNoTrees}) {
        const auto classifier = Classifier::make(maps, {.simd = simd, .fewest_cut = fewest_cut});
        REQUIRE_MESSAGE(classifier, classifier.error().message);
        CHECK(differences(*classifier, maps, traffic, verdicts) == 0);
      }
    }
    CHECK(verdicts >= 64);
  }
}

TEST_CASE("classifier: the first rule decides also where it is in a block that is not full, and later rules that match are many") {
  const auto from = [](std::initializer_list<Key> sources) {
    Values values;
    for (const Key source : sources) values.numbers.push_back({source, source});
    values.normalise();
    return RuleMatch{{{{{{Field::kSrc}, std::make_shared<const Values>(std::move(values))}}, nullptr}}};
  };
  constexpr Key kFirst = Key{223} << 24 | 1, kNet = Key{10} << 24;
  for (unsigned rules = 65; rules < 400; rules += 16) {
    CAPTURE(rules);
    ClassifierMap map;
    map.ports.set(3);
    map.rules.push_back({from({kFirst}), 0, false});
    map.rules.push_back({RuleMatch{{Alternative{}}}, 1, true});
    for (unsigned r = 2; r < rules; ++r) map.rules.push_back({r == 60 || r == 100 ? from({kNet | r, kFirst}) : from({kNet | r}), r, true});
    Traffic traffic;
    traffic.bytes.push_back(test::Packet().ethernet().ipv4("223.0.0.1", "10.0.0.1").udp(1, 2).bytes());
    traffic.gather();
    unsigned verdicts = 0;
    const auto classifier = Classifier::make({map});
    REQUIRE(classifier);
    CHECK(differences(*classifier, {map}, traffic, verdicts) == 0);
  }
}

TEST_CASE("classifier: a burst from which all packets were taken has no verdicts, whatever it was before") {
  ClassifierMap map;
  map.ports.set(3);
  map.rules.push_back({{{Alternative{{{{Field::kTtl}, std::make_shared<const Values>(Values{{{0, 9}}, {}})}}, nullptr}}}, 0, true});
  const auto classifier = Classifier::make({map});
  REQUIRE(classifier);
  const Burst none{};
  VerdictBuffer out(1);
  out.begin.fill(7);
  classifier->classify(none, 3, out);
  CHECK(out.begin[0] == 0);
}

TEST_CASE("classifier: rules that alternate between narrow and wide cost no more than in order, and what all networks share is no list") {
  const auto criterion = [](Field field, Key from, Key to) {
    return Criterion{{field}, std::make_shared<const Values>(Values{{{from, to}}, {}})};
  };
  ClassifierMap alternating, alike;
  alternating.ports.set(0), alike.ports.set(0);
  for (uint32_t r = 0; r < 16384; ++r) {
    const Key network = Key{10} << 24 | Key{r / 2} << 8;
    Alternative one;
    one.criteria = {criterion(Field::kSrc, network, network + 255), criterion(Field::kDst, network, network + 255)};
    if (r % 2) one.criteria.push_back(criterion(Field::kTtl, r % 200, r % 200));
    else one.criteria.push_back(criterion(Field::kDstPort, r % 60000, r % 60000));
    alternating.rules.push_back({{{one}}, r, true});
    one.criteria = {criterion(Field::kDst, Key{10} << 24, (Key{10} << 24) + 255), criterion(Field::kTtl, r % 256, 255)};
    alike.rules.push_back({{{one}}, r, true});
  }
  const auto first = Classifier::make({alternating});
  REQUIRE(first);
  CHECK(first->cost().bytes < (16U << 20));
  CHECK(first->cost().cut > 8000);
  // A leaf of these would be a list that every packet is compared with, one criterion after the other.
  const auto second = Classifier::make({alike});
  REQUIRE(second);
  CHECK(second->cost().cut < 16);
}

TEST_CASE("classifier: rules that tear each other to pieces cost bounded memory, or are refused with the reason") {
  Random random(1);
  ClassifierMap map;
  map.ports.set(0);
  for (unsigned r = 0; r < 1000; ++r) {  // ranges across each other: every class has another set, none of them sparse
    Alternative alternative;
    for (const Field field : {Field::kSrc, Field::kDst, Field::kEtherSrc, Field::kEtherDst}) {
      const Key a = random(), b = random();
      alternative.criteria.push_back({{field}, std::make_shared<const Values>(Values{{{std::min(a, b), std::max(a, b)}}, {}})});
    }
    map.rules.push_back({{{alternative}}, r, true});
  }
  const auto enough = Classifier::make({map});
  REQUIRE(enough);
  CHECK(enough->cost().bytes > (2U << 20));
  const auto too_little = Classifier::make({map}, {.most_bytes = std::size_t{2} << 20});
  REQUIRE(!too_little);
  CHECK(too_little.error().code == ErrorCode::kExhausted);
  CHECK(too_little.error().field_path == "maps");
  CHECK(too_little.error().message.find("overlap in so many ways that they need more than 2 MiB") != std::string::npos);
}
