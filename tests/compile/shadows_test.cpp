#include "compile/shadows.h"

#include <doctest/doctest.h>

#include <random>

#include "base/clock.h"
#include "compile/compile.h"
#include "tests/builders/broker.h"

using namespace sluice;

namespace {

using Random = std::mt19937_64;

std::vector<std::string> warnings(const std::string& rules) {
  compile::Compiler compiler;
  const auto r = compiler.compile(test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK"}],
    "address_sets": [{"name": "servers", "entries": ["10.0.0.0/8", "192.0.2.0/24"]}],
    "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "rules": [)" +
                                                    rules + "]}]}"),
                                  1);
  REQUIRE_MESSAGE(r, r.error().message);
  return r->warnings;
}

std::string told(const compile::Shadows& shadows) {
  std::string out = shadows.ended ? "ended " : "";
  for (const auto& [rule, by] : shadows.rules) out += std::to_string(rule) + (by ? "<" + std::to_string(*by) : "!") + " ";
  return out;
}

}  // namespace

TEST_CASE("shadows: a rule that an earlier one makes unreachable is named with it, by their places in the map") {
  const auto of = [](const std::string& first, const std::string& second) {
    const auto all = warnings(R"({"enabled": false, "action": "DROP"}, {"action": "PASS", "match": )" + first +
                              R"(}, {"action": "DROP", "match": )" + second + "}");
    return all.empty() ? "" : all.front();
  };
  const std::string hidden = "maps/m: rule 3 is never reached: rule 2 comes first and matches all of it";
  CHECK(of("{}", R"({"ip": {"src": ["10.0.0.1"]}})") == hidden);
  CHECK(of(R"({"ip": {"src": ["10.0.0.0/8"]}})", R"({"ip": {"src": ["10.1.0.0/16", "10.3.0.0/16"]}, "l4": {"dst_port": ["80"]}})") ==
        hidden);
  CHECK(of(R"({"ip": {"src": ["10.0.0.0/8"]}})", R"({"ip": {"src": ["10.1.0.0/16", "11.0.0.0/16"]}})").empty());
  CHECK(of(R"({"ip": {"src": ["10.1.0.0/16"]}})", R"({"ip": {"src": ["10.0.0.0/8"]}})").empty());
  CHECK(of(R"({"ip": {"src": ["10.0.0.0/8"]}, "l4": {"dst_port": ["80"]}})", R"({"ip": {"src": ["10.0.0.0/8"]}})").empty());
  CHECK(of(R"({"ip": {"src": ["2001:db8::/32"]}})", R"({"ip": {"src": ["2001:db8:7::/48"]}})") == hidden);
  CHECK(of(R"({"ip": {"src_set": "servers"}})", R"({"ip": {"src": ["192.0.2.9"]}})") == hidden);
  CHECK(of(R"({"ip": {"src_set": "servers"}})", R"({"ip": {"src_set": "servers", "protocol": ["tcp"]}})") == hidden);
  CHECK(of(R"({"ip": {"addr": ["10.0.0.0/8"]}})", R"({"ip": {"addr": ["10.1.0.0/16"]}})") == hidden);
  CHECK(of(R"({"ip": {"src": ["10.0.0.0/8"]}})", R"({"ip": {"addr": ["10.1.0.0/16"]}})").empty());
  // What has byte patterns hides nothing, and is hidden.
  const std::string bytes = R"({"bytes": [{"anchor": "L3", "value": "RQ=="}]})";
  CHECK(of(bytes, bytes).empty());
  CHECK(of("{}", bytes) == hidden);
  CHECK(of("{}", R"({"ip": {"version": 4, "src": ["2001:db8::1"]}})") == hidden);
}

TEST_CASE("shadows: a rule that contradicts itself matches no packet") {
  const auto all = warnings(R"({"action": "PASS", "match": {"ip": {"src_set": "servers", "src": ["172.16.0.0/12"]}}})");
  REQUIRE(all.size() == 1);
  CHECK(all.front() == "maps/m: rule 1 matches no packet: what it asks for contradicts itself");
}

TEST_CASE("shadows: of many unreachable rules a hundred are named") {
  std::string rules = R"({"action": "PASS"})";
  for (unsigned i = 0; i < 300; ++i) rules += R"(, {"action": "DROP"})";
  const auto all = warnings(rules);
  REQUIRE(all.size() == 101);
  CHECK(all.back() == "more rules are never reached");
}

TEST_CASE("shadows: rules that share one large set of addresses cost its ranges once") {
  auto set = std::make_shared<Values>();
  for (uint32_t i = 0; i < 100'000; ++i) set->numbers.push_back({Key{2 * i}, Key{2 * i}});
  std::vector<ClassifierRule> rules;
  for (uint32_t r = 0; r < 16'384; ++r) rules.push_back({RuleMatch{{{{{{Field::kSrc}, set}}, nullptr}}}, r, true});
  std::size_t compared = 0;
  const compile::Shadows shadows = compile::find_shadows(rules, compared);
  CHECK_FALSE(shadows.ended);
  REQUIRE(shadows.rules.size() == 16'383);
  CHECK(shadows.rules[0].rule == 1);
  CHECK(shadows.rules[0].by == 0);
}

TEST_CASE("shadows: random rules are hidden by exactly those that every value says") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  Random random(seed);
  const auto below = [&random](unsigned n) { return static_cast<unsigned>(random() % n); };
  constexpr std::array kAsked{Field::kSrcPort, Field::kDstPort, Field::kTtl};
  constexpr unsigned kValues = 6;  // and "absent", which no criterion holds for
  unsigned hidden = 0;
  for (unsigned round = 0; round < 300; ++round) {
    std::vector<ClassifierRule> rules;
    for (uint32_t r = 0; r < 12; ++r) {
      Alternative alternative;
      for (const Field field : kAsked) {
        if (below(3) == 0) continue;
        Values values;
        for (unsigned n = 1 + below(2); n > 0; --n) {
          const unsigned from = below(kValues);
          values.numbers.push_back({from, std::min(from + below(4), kValues - 1)});
        }
        values.normalise();
        alternative.criteria.push_back({{field}, std::make_shared<const Values>(std::move(values))});
      }
      rules.push_back({{{alternative}}, r, true});
    }
    /// All points that a rule matches, a bit each.
    const auto points = [&](const ClassifierRule& rule) {
      std::vector<bool> out;
      for (unsigned point = 0; point < (kValues + 1) * (kValues + 1) * (kValues + 1); ++point) {
        const std::array values{point % (kValues + 1), point / (kValues + 1) % (kValues + 1), point / (kValues + 1) / (kValues + 1)};
        bool in = true;
        for (const Criterion& criterion : rule.match->alternatives.front().criteria)
          for (unsigned f = 0; f < kAsked.size(); ++f)
            if (criterion.where.field == kAsked[f]) in &= values[f] < kValues && criterion.values->has(values[f], false);
        out.push_back(in);
      }
      return out;
    };
    std::vector<compile::Unreachable> expected;
    for (std::size_t r = 0; r < rules.size(); ++r)
      for (std::size_t by = 0; by < r; ++by) {
        const auto all = points(rules[r]), theirs = points(rules[by]);
        bool covered = true;
        for (std::size_t p = 0; p < all.size(); ++p) covered &= !all[p] || theirs[p];
        if (!covered) continue;
        expected.push_back({r, by});
        break;
      }
    std::size_t compared = 0;
    const auto found = compile::find_shadows(rules, compared);
    REQUIRE(found.rules.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(found.rules[i].rule == expected[i].rule);
      CHECK(found.rules[i].by == expected[i].by);
    }
    hidden += static_cast<unsigned>(expected.size());
  }
  CHECK(hidden > 100);
}

TEST_CASE("shadows: after a change of some rules the search that knows the others finds the same") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  Random random(seed);
  const auto below = [&random](unsigned n) { return static_cast<unsigned>(random() % n); };
  const auto some_rule = [&] {
    RuleMatch asked;
    for (unsigned alternatives = below(8) == 0 ? 2 : 1; alternatives > 0; --alternatives) {
      auto& one = asked.alternatives.emplace_back();
      for (const Field field : {Field::kSrcPort, Field::kDstPort, Field::kTtl}) {
        if (below(3) == 0) continue;
        const unsigned from = below(6);
        one.criteria.push_back({{field}, std::make_shared<const Values>(Values{{{from, std::min(from + below(4), 5U)}}, {}})});
      }
      if (below(10) == 0) one.criteria.push_back({{Field::kTtl}, std::make_shared<const Values>()});  // never
      if (below(10) == 0) one.remainder = std::make_shared<const Remainder>();
    }
    return ClassifierRule(std::move(asked), 0, true);
  };
  std::vector<ClassifierRule> rules;
  compile::Shadows known;
  unsigned other = 0;
  for (unsigned round = 0; round < 4000; ++round) {
    std::vector<ClassifierRule> next = rules;
    for (unsigned edits = 1 + below(3); edits > 0; --edits) {
      const auto at = [&] { return next.begin() + static_cast<std::ptrdiff_t>(below(static_cast<unsigned>(next.size()))); };
      if (next.empty() || (next.size() < 40 && below(4) == 0)) next.insert(next.empty() ? next.begin() : at(), some_rule());
      else if (next.size() > 20 && below(4) == 0) next.erase(at());
      else *at() = some_rule();
    }
    std::size_t compared = 0;
    const auto anew = compile::find_shadows(next, compared), again = compile::find_shadows(next, compared, compile::KnownShadows{rules, known});
    CAPTURE(round);
    REQUIRE(told(again) == told(anew));
    other += told(anew) != told(known);
    rules = std::move(next), known = again;
  }
  CHECK(other > 1000);
}

TEST_CASE("shadows: where the search ends does not depend on what was known") {
  const auto nested = [](uint32_t count) {  // each rule within the next
    std::vector<ClassifierRule> rules;
    for (uint32_t r = 0; r < count; ++r)
      rules.push_back({RuleMatch{{{{{{Field::kSrcPort}, std::make_shared<const Values>(Values{{{10000 - r, 40000 + r}}, {}})}}, nullptr}}}, r, true});
    return rules;
  };
  const auto from_nothing = [](const std::vector<ClassifierRule>& rules) {
    std::size_t compared = 0;
    return compile::find_shadows(rules, compared);
  };
  uint32_t most = 0;  // rules that are all compared
  for (uint32_t step = 4096; step > 0; step /= 2)
    if (!from_nothing(nested(most + step)).ended) most += step;
  REQUIRE(most > 500);
  REQUIRE(most < 8000);
  for (const uint32_t before : {most / 2, most - 100, most}) {
    const auto rules = nested(before), next = nested(before + 4);
    const auto known = from_nothing(rules);
    std::size_t compared = 0;
    CAPTURE(before);
    CHECK(told(compile::find_shadows(next, compared, compile::KnownShadows{rules, known})) == told(from_nothing(next)));
  }
}

TEST_CASE("shadows: rules that ask twice about a field with many values cost no memory without end") {
  Values many;
  for (Key i = 0; i < 100'000; ++i) many.numbers.push_back({i * 4, i * 4});
  const auto set = std::make_shared<const Values>(std::move(many));
  const auto all = std::make_shared<const Values>(Values{{{0, 0xFFFFFFFF}}, {}});
  std::vector<ClassifierRule> rules;
  for (uint32_t r = 0; r < 16384; ++r) {
    Alternative alternative;
    alternative.criteria = {{{Field::kSrc}, all}, {{Field::kSrc}, set}};
    rules.push_back({{{alternative}}, r, true});
  }
  std::size_t compared = 0;
  CHECK(compile::find_shadows(rules, compared).ended);
  CHECK(compared < compile::kMostCompared + 200'000);  // the last one's
}

TEST_CASE("shadows: rules that overlap without end stop the search, and it says so") {
  std::vector<ClassifierRule> rules;
  for (uint32_t r = 0; r < 8000; ++r) {  // each within the next
    Alternative alternative;
    alternative.criteria.push_back({{Field::kSrcPort}, std::make_shared<const Values>(Values{{{10000 - r, 40000 + r}}, {}})});
    rules.push_back({{{alternative}}, r, true});
  }
  std::size_t compared = 0;
  const auto found = compile::find_shadows(rules, compared);
  CHECK(found.ended);
  CHECK(found.rules.empty());
  CHECK(compared < compile::kMostCompared + 100);
}
