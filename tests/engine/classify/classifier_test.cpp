// The classifier against the plain answer, rule after rule: no difference, whatever the rules, the packets and the processor.
#include "engine/classify/classifier.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <random>

#include "tests/packet/cases.h"

using namespace sluice;

namespace {

using Random = std::mt19937;

unsigned below(Random& random, unsigned n) { return static_cast<unsigned>(random() % n); }

/// Packets of every kind, some of them cut short, 64 a burst.
/// As Options::fewest_cut: more than there are.
constexpr uint32_t kNoTrees = 0xFFFFFFFF;

struct Traffic {
  std::vector<std::vector<std::byte>> bytes;
  std::vector<std::unique_ptr<Burst>> bursts;

  Traffic() = default;
  Traffic(Random& random, unsigned count) {
    const auto& cases = test::parse_cases();
    for (unsigned i = 0; i < count; ++i) {
      bytes.push_back(cases[below(random, static_cast<unsigned>(cases.size()))].packet.bytes());
      if (below(random, 4) == 0) bytes.back().resize(14 + below(random, static_cast<unsigned>(bytes.back().size())) % bytes.back().size());
    }
    gather();
  }
  void gather() {
    for (const auto& packet : bytes) {
      if (bursts.empty() || bursts.back()->size == kBurst) bursts.push_back(std::make_unique<Burst>());
      bursts.back()->add({packet.data(), static_cast<uint32_t>(packet.size()), 0}, 0);
    }
    for (auto& burst : bursts) parse_burst(*burst);
  }
};

/// Criteria around values that the packets have: otherwise hardly any would hold.
Criterion some_criterion(Random& random, const Traffic& traffic) {
  for (;;) {
    Where where{static_cast<Field>(below(random, kFields)), below(random, 4) == 0};
    if (where.field == Field::kPort || where.field == Field::kSourceVlan) continue;
    if (where.field == Field::kVlanId || where.field == Field::kVlanPcp) where.level = static_cast<uint8_t>(below(random, 3));
    Values values;
    const Key most = (Key{1} << bits_of(where.field)) - 1;
    for (unsigned n = 1 + below(random, 3); n > 0; --n) {
      const Burst& burst = *traffic.bursts[below(random, static_cast<unsigned>(traffic.bursts.size()))];
      const auto value = value_of(where, {burst, below(random, burst.size), 0});
      if (!value) continue;
      const unsigned free = below(random, 3) ? 0 : below(random, value->v6 ? 128 : bits_of(where.field));
      const Key low = value->key >> free << free, high = low | ((Key{1} << free) - 1);
      if (value->v6) values.ipv6.push_back({low, high});
      else values.numbers.push_back({low, below(random, 5) ? std::min(high, most) : most});
    }
    values.normalise();
    if (below(random, 5) == 0) values = complement(values, where.field);
    return {where, std::make_shared<const Values>(std::move(values))};
  }
}

RuleMatch some_match(Random& random, const Traffic& traffic) {
  RuleMatch match;
  for (unsigned a = 1 + below(random, 10) / 8; a > 0; --a) {
    Alternative alternative;
    for (unsigned c = below(random, 4); c > 0; --c) alternative.criteria.push_back(some_criterion(random, traffic));
    if (below(random, 12) == 0) {
      auto remainder = std::make_shared<Remainder>();
      remainder->patterns.push_back({Anchor::kL3, 0, {std::byte{0x45}}, {std::byte{0xFF}}});
      remainder->patterns_negated = below(random, 2) == 0;
      alternative.remainder = std::move(remainder);
    }
    match.alternatives.push_back(std::move(alternative));
  }
  return match;
}

std::vector<ClassifierMap> some_maps(Random& random, const Traffic& traffic, unsigned maps, unsigned rules) {
  std::vector<ClassifierMap> out(maps);
  uint32_t index = 0;
  for (unsigned m = 0; m < maps; ++m) {
    out[m].map = m * 2;
    if (maps == 1 || below(random, 5)) out[m].ports.set(3);
    if (below(random, 3)) out[m].ports.set(below(random, 128));
    if (below(random, 4) == 0) out[m].vlans.push_back({0, below(random, 4096)});
    out[m].untagged = below(random, 4) == 0;
    out[m].default_pass = below(random, 3) == 0;
    for (unsigned r = 0; r < rules / maps; ++r) out[m].rules.push_back({some_match(random, traffic), index++, below(random, 2) == 0});
  }
  return out;
}

/// Rule after rule.
std::vector<Verdict> plain(const std::vector<ClassifierMap>& maps, const PacketView& packet) {
  std::vector<Verdict> out;
  for (const auto& map : maps) {
    const auto sources = map.sources();
    if (!std::all_of(sources.begin(), sources.end(), [&](const Criterion& c) { return holds(c, packet); })) continue;
    const auto first = std::find_if(map.rules.begin(), map.rules.end(), [&](const auto& rule) { return matches(*rule.match, packet); });
    if (first != map.rules.end()) out.push_back({map.map, first->index, first->pass});
    else if (map.default_pass) out.push_back({map.map, kNoRule, true});
  }
  return out;
}

/// Packets whose verdicts are others than the plain ones.
unsigned differences(const Classifier& classifier, const std::vector<ClassifierMap>& maps, const Traffic& traffic, unsigned& verdicts) {
  VerdictBuffer out(static_cast<uint32_t>(maps.size()));
  unsigned different = 0;
  for (const auto& burst : traffic.bursts) {
    classifier.classify(*burst, 3, out);
    for (unsigned i = 0; i < burst->size; ++i) {
      const auto expected = plain(maps, {*burst, i, 3});
      const auto* const begin = &out.verdicts[out.begin[i]];
      const std::vector<Verdict> found(begin, begin + (out.begin[i + 1] - out.begin[i]));
      const auto same = [](const Verdict& a, const Verdict& b) { return a.map == b.map && a.rule == b.rule && a.pass == b.pass; };
      different += !std::equal(expected.begin(), expected.end(), found.begin(), found.end(), same);
      verdicts += static_cast<unsigned>(found.size());
    }
  }
  return different;
}

/// Networks within few others, so that rules overlap and packets meet them.
std::string some_host(Random& random, bool v6) {
  const auto n = [&](unsigned bound) { return std::to_string(below(random, bound)); };
  if (below(random, 12) == 0) return v6 ? "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" : "255.255.255.255";
  if (v6) return "2001:db8:" + n(3) + ":" + n(4) + "::" + n(6);
  return "10." + n(3) + "." + n(4) + "." + n(6);
}

Key key_of(const std::string& host, bool v6) {
  const auto address = parse_address(host);
  Key key = 0;
  for (unsigned i = 0; i < (v6 ? 16U : 4U); ++i) key = key << 8 | address->bytes[i];
  return key;
}

/// A rule on addresses, ports and protocol, and sometimes on something else. One address out of `open` is left open.
Alternative some_tuple(Random& random, unsigned open = 5) {
  Alternative out;
  const auto ask = [&](Field field, Values values) {
    out.criteria.push_back({{field}, std::make_shared<const Values>(std::move(values))});
  };
  const bool v6 = below(random, 2) == 0;
  for (const Field field : {Field::kSrc, Field::kDst}) {
    if (below(random, open) == 0) continue;
    const unsigned bits = v6 ? 128 : 32, free = std::array{0U, 0U, 0U, 3U, 8U, 16U, 24U, 64U, 80U}[below(random, v6 ? 9 : 7)];
    const Key key = key_of(some_host(random, v6), v6), low = key >> free << free;
    const Interval range{low, low | (free == bits ? ~Key{0} : (Key{1} << free) - 1)};
    ask(field, v6 ? Values{{}, {range}} : Values{{range}, {}});
  }
  for (const Field field : {Field::kSrcPort, Field::kDstPort}) {
    if (below(random, 2)) continue;
    const Key from = below(random, 6);
    if (below(random, 6) == 0) ask(field, {{{from, from}, {from + 3, from + 4}}, {}});
    else ask(field, {{{from, below(random, 4) ? from : below(random, 2) ? from + 2 : 65535}}, {}});
  }
  if (below(random, 2)) ask(Field::kProtocol, {{{below(random, 2) ? Key{6} : Key{17}, Key{17}}}, {}});
  if (below(random, 6) == 0) ask(Field::kTtl, {{{0, 40 + below(random, 60)}}, {}});
  if (below(random, 8) == 0) ask(Field::kPort, {{{below(random, 4), 3}}, {}});
  return out;
}

std::vector<std::byte> some_tuple_packet(Random& random) {
  const bool v6 = below(random, 2) == 0;
  test::Packet packet;
  packet.ethernet();
  if (below(random, 4) == 0) packet.vlan(static_cast<uint16_t>(below(random, 4096)));
  const auto src = some_host(random, v6), dst = some_host(random, v6);
  if (v6) packet.ipv6(src, dst);
  else packet.ipv4(src, dst);
  const auto port = [&] { return static_cast<uint16_t>(below(random, 9)); };
  switch (below(random, 3)) {
    case 0: packet.udp(port(), port()); break;
    case 1: packet.tcp(port(), port()); break;
    default: packet.icmp(8); break;
  }
  auto bytes = packet.bytes();
  if (below(random, 10) == 0) bytes.resize(14 + below(random, static_cast<unsigned>(bytes.size()) - 14));
  return bytes;
}

bool long_tier() {
  const char* tier = std::getenv("SLUICE_TIER");
  return tier && std::string(tier) == "long";
}

}  // namespace

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
