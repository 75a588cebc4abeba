#include "compile/known_rules.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

#include "base/wire.h"
#include "compile/compile.h"
#include "tests/builders/broker.h"

using namespace sluice;

namespace {

struct Spec {
  std::string id, json;
};

/// A configuration that changes a little, again and again: two maps whose rules ask in every way that there is.
struct Changing {
  std::mt19937 random;
  unsigned next_id = 0;
  std::vector<Spec> rules, others;
  unsigned in_set = 1, in_filter = 1;
  bool swapped = false, disabled = false, maps_swapped = false;

  unsigned below(unsigned n) { return static_cast<unsigned>(random() % n); }
  Spec rule() {
    const std::string number = std::to_string(below(250));
    const std::array matches{
        R"({"ip": {"src": ["10.0.)" + number + R"(.0/24"], "protocol": ["tcp"]}, "l4": {"dst_port": [")" + number + R"("]}})",
        R"({"ip": {"addr": ["2001:db8:)" + number + R"(::/48"]}, "not": ["ip.addr"]})",
        std::string(R"({"ip": {"src_set": "servers"}})"),
        std::string(R"({"direction": ["A"]})"),
        R"({"regex": "attack)" + number + R"("})",
        R"({"bytes": [{"anchor": "L3", "value": "RQ==", "offset": )" + number + "}]}",
        std::string("{}"),
    };
    std::string json = below(8) == 0 ? R"({"filter": "dns", )" : R"({"match": )" + matches[below(matches.size())] + ", ";
    if (below(6) == 0) json += R"("enabled": false, )";
    return {"r" + std::to_string(next_id++), json + R"("action": ")" + (below(2) ? "PASS" : "DROP") + "\"}"};
  }
  void change(std::vector<Spec>& list) {
    const std::size_t at = list.empty() ? 0 : below(static_cast<unsigned>(list.size()));
    const auto here = list.begin() + static_cast<std::ptrdiff_t>(at);
    switch (list.empty() ? 0 : below(6)) {
      case 0: list.insert(here, rule()); break;
      case 1: list.erase(here); break;
      case 2: here->json = rule().json; break;
      case 3: std::swap(*here, list.front()); break;
      case 4: list.push_back(rule()); break;
      default: break;
    }
  }
  void change() {
    switch (below(10)) {
      case 0: in_set = below(9); break;
      case 1: in_filter = below(9); break;
      case 2:
        switch (below(3)) {
          case 0: swapped = !swapped; break;
          case 1: disabled = below(4) == 0; break;
          default: maps_swapped = !maps_swapped; break;
        }
        break;
      case 3: change(others); break;
      default: change(rules); break;
    }
  }
  [[nodiscard]] v1::Config config() const {
    const auto list = [](const std::vector<Spec>& of) {
      std::string out;
      for (const Spec& spec : of) out += (out.empty() ? "" : ", ") + spec.json;
      return out;
    };
    const std::string set = "10." + std::to_string(in_set) + ".0.0/16", port = std::to_string(50 + in_filter);
    auto out = test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}],
      "tap_pairs": [{"name": "link", "a": ")" + std::string(swapped ? "in2" : "in1") + R"(", "b": ")" + (swapped ? "in1" : "in2") + R"("}],
      "address_sets": [{"name": "servers", "entries": [")" + set + R"("]}],
      "filters": [{"name": "dns", "negate": )" + (in_filter % 3 == 0 ? "true" : "false") + R"(, "matches": [{"l4": {"port": [")" + port + R"("]})" +
                               (in_filter % 4 == 0 ? R"(, "regex": "dns")" : "") + R"(}]}],
      "maps": [{"name": "m", "sources": {"tap_pairs": ["link"]}, "rules": [)" + list(rules) + R"(], "destinations": [{"port": "t1"}]},
               {"name": "n", "sources": {"ports": ["in1"]}, "rules": [)" + list(others) + R"(], "destinations": [{"port": "t1"}]}]})");
    for (const auto& [map, specs] : {std::pair(0, &rules), std::pair(1, &others)}) {
      out.mutable_maps(map)->set_id("map" + std::to_string(map));
      for (std::size_t r = 0; r < specs->size(); ++r) out.mutable_maps(map)->mutable_rules(static_cast<int>(r))->set_id((*specs)[r].id);
    }
    out.mutable_maps(0)->set_enabled(!disabled);
    if (maps_swapped) out.mutable_maps()->SwapElements(0, 1);
    return out;
  }
};

bool same(const RuleMatch& a, const RuleMatch& b);

bool same(const std::shared_ptr<const Remainder>& a, const std::shared_ptr<const Remainder>& b) {
  if (!a || !b) return !a && !b;
  const auto patterns = [](const BytePattern& x, const BytePattern& y) {
    return x.anchor == y.anchor && x.offset == y.offset && x.value == y.value && x.mask == y.mask;
  };
  return std::equal(a->patterns.begin(), a->patterns.end(), b->patterns.begin(), b->patterns.end(), patterns) &&
         a->patterns_negated == b->patterns_negated && !a->scanner == !b->scanner && a->expression == b->expression &&
         a->expression_negated == b->expression_negated && a->inner == b->inner && !a->unless == !b->unless && (!a->unless || same(*a->unless, *b->unless));
}

bool same(const RuleMatch& a, const RuleMatch& b) {
  const auto criteria = [](const Criterion& x, const Criterion& y) { return x.where == y.where && *x.values == *y.values; };
  const auto alternatives = [&](const Alternative& x, const Alternative& y) {
    return std::equal(x.criteria.begin(), x.criteria.end(), y.criteria.begin(), y.criteria.end(), criteria) && same(x.remainder, y.remainder);
  };
  return std::equal(a.alternatives.begin(), a.alternatives.end(), b.alternatives.begin(), b.alternatives.end(), alternatives);
}

/// Whether all scanners of a snapshot's rules are the one that it scans with.
bool has_own_scanner(const Snapshot& snapshot) {
  const PayloadScanner* only = nullptr;
  for (const ClassifierMap& map : snapshot.classifier.maps())
    for (const ClassifierRule& rule : map.rules)
      for (const Alternative& one : rule.match->alternatives)
        if (one.remainder && one.remainder->scanner) {
          if (only && only != one.remainder->scanner.get()) return false;
          only = one.remainder->scanner.get();
        }
  return true;
}

}  // namespace

TEST_CASE("known rules: any change ends as if all rules had been read") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  Changing changing{std::mt19937(seed)};
  for (unsigned n = 0; n < 12; ++n) changing.rules.push_back(changing.rule());
  compile::Compiler knowing;
  compile::Compiled last;
  unsigned reused = 0;
  std::set<const RuleMatch*> matches_before;  // of `last`, which has them alive
  std::map<std::string, uint32_t> slots;
  for (unsigned round = 1; round < 400; ++round) {
    CAPTURE(round);
    changing.change();
    const v1::Config config = changing.config();
    if (round % 7 == 0) (void)knowing.compile(config, 0);  // a measurement
    if (round % 5 == 0) {                                  // somebody asks what another change would be
      Changing other = changing;
      for (unsigned n = 0; n < 5; ++n) other.change();
      (void)knowing.compile(other.config().SerializeAsString(), round, true);
    }
    auto compiled = knowing.compile(config.SerializeAsString(), round);
    auto plain = compile::Compiler().compile(config, round);
    REQUIRE(static_cast<bool>(compiled) == static_cast<bool>(plain));
    if (!compiled) {
      CHECK(compiled.error().field_path == plain.error().field_path);
      CHECK(compiled.error().message == plain.error().message);
      changing.others.clear();  // a map without a TAP pair has a rule on its sides
      continue;
    }
    CHECK(compiled->warnings == plain->warnings);
    CHECK(has_own_scanner(*compiled->snapshot));
    const auto is = compiled->snapshot->classifier.maps(), must = plain->snapshot->classifier.maps();
    REQUIRE(is.size() == must.size());
    for (std::size_t m = 0; m < is.size(); ++m) {
      REQUIRE(is[m].rules.size() == must[m].rules.size());
      REQUIRE(compiled->plan.maps[m].rules.size() == plain->plan.maps[m].rules.size());
      for (std::size_t r = 0; r < is[m].rules.size(); ++r) {
        CAPTURE(m);
        CAPTURE(r);
        const ClassifierRule &rule = is[m].rules[r], &wanted = must[m].rules[r];
        CHECK(same(*rule.match, *wanted.match));
        CHECK(rule.index == wanted.index);
        CHECK(rule.pass == wanted.pass);
      }
      for (std::size_t r = 0; r < compiled->plan.maps[m].rules.size(); ++r) {
        const auto& rule = compiled->plan.maps[m].rules[r];
        CHECK(rule.id == plain->plan.maps[m].rules[r].id);
        CHECK(slots.try_emplace(rule.id, rule.slot).first->second == rule.slot);  // keeps its counters
      }
    }
    std::set<const RuleMatch*> matches;
    for (const auto& map : is)
      for (const auto& rule : map.rules) matches.insert(rule.match.get());
    reused += static_cast<unsigned>(std::count_if(matches.begin(), matches.end(), [&](const RuleMatch* one) { return matches_before.contains(one); }));
    matches_before = std::move(matches);
    last = std::move(*compiled);
  }
  CHECK(reused > 100);
}

TEST_CASE("known rules: a large address set is one set for all rules, however often some of them are changed") {
  std::string entries, rules;
  for (unsigned n = 0; n < 60'000; ++n)
    entries += (n ? ", \"" : "\"") + std::to_string(1 + n / 16384) + "." + std::to_string(n / 64 % 256) + "." + std::to_string(n % 64 * 4) + ".0/24\"";
  for (unsigned n = 0; n < 60; ++n) rules += std::string(n ? ", " : "") + R"({"match": {"ip": {"src_set": "s"}}, "action": "PASS"})";
  auto config = test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK"}], "address_sets": [{"name": "s", "entries": [)" + entries +
                                  R"(]}], "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "rules": [)" + rules + "]}]}");
  compile::Compiler compiler;
  for (int round = 0; round < 4; ++round) {
    config.mutable_maps(0)->mutable_rules(round)->set_comment("changed");
    const auto compiled = compiler.compile(config.SerializeAsString(), 1);
    REQUIRE_MESSAGE(compiled, compiled.error().message);  // of 60 sets the bound of ranges would be reached
    std::set<const Values*> values;
    for (const auto& rule : compiled->snapshot->classifier.maps()[0].rules)
      for (const auto& criterion : rule.match->alternatives[0].criteria) values.insert(criterion.values.get());
    CHECK(values.size() == 1);
  }
}

TEST_CASE("known rules: a slot that went to somebody else is not taken back by guess") {
  compile::Slots slots(0, 10);
  CHECK(slots.of("a") == 0);
  CHECK(slots.of("a", 0) == 0);
  CHECK(slots.of("a", 7) == 0);
  CHECK(slots.of("b", 0) == 1);
  slots.release("a");
  CHECK(slots.of("c") == 0);
  CHECK(slots.of("a", 0) == 2);
  slots.release("b");
  CHECK(slots.of("b", 1) == 1);
}

TEST_CASE("known rules: bytes that are no configuration's are refused, whatever is hidden in them") {
  Changing changing{std::mt19937(1)};
  for (unsigned n = 0; n < 5; ++n) changing.rules.push_back(changing.rule());
  const std::string bytes = changing.config().SerializeAsString();
  const auto maps = wire_fields(bytes, v1::Config::kMapsFieldNumber);
  const std::string group = "\xf3\x06\xf4\x06";  // field 110
  compile::Compiler compiler;
  REQUIRE(compiler.compile(bytes, 1));
  const auto others = without_wire_fields(bytes, v1::Config::kMapsFieldNumber);
  const auto field = [](uint32_t number, std::string_view of) { return with_wire_fields("", number, {of}); };
  const auto rules = wire_fields(maps[0], v1::Map::kRulesFieldNumber);
  REQUIRE(rules.size() == 5);
  const auto bare = without_wire_fields(maps[0], v1::Map::kRulesFieldNumber);
  const auto map = bare + group + field(v1::Map::kRulesFieldNumber, rules[0]);
  const std::string hidden_id = "\xf3\x06\xf4\x06\x0a\x03now";
  const auto with_rule = bare + field(v1::Map::kRulesFieldNumber, std::string(rules[0]) + hidden_id);
  for (const std::string& wrong : {others + group + field(v1::Config::kMapsFieldNumber, maps[0]), others + field(v1::Config::kMapsFieldNumber, map),
                                   bytes + group + field(v1::Config::kFiltersFieldNumber, "\x0a\x03new"),
                                   bytes + group + field(v1::Config::kAddressSetsFieldNumber, "\x0a\x03new"),
                                   others + field(v1::Config::kMapsFieldNumber, std::string(maps[0]) + hidden_id),
                                   others + field(v1::Config::kMapsFieldNumber, with_rule), bytes + "\x0a", std::string("\xff")}) {
    v1::Config plain;
    CAPTURE(plain.ParseFromString(wrong));
    const auto refused = compiler.compile(wrong, 2);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message == "the configuration cannot be read");
  }
  CHECK(compiler.compile(bytes, 3));
}

TEST_CASE("wire: finds the fields of a number, and ends where the bytes are no message's") {
  v1::Map map;
  map.set_name("m");
  map.set_consume(true);
  map.add_rules()->set_id("first");
  map.add_rules()->set_id(std::string(300, 'x'));
  map.add_rules();
  const std::string bytes = map.SerializeAsString();
  const auto rules = wire_fields(bytes, v1::Map::kRulesFieldNumber);
  REQUIRE(rules.size() == 3);
  for (int r = 0; r < 3; ++r) CHECK(rules[static_cast<std::size_t>(r)] == map.rules(r).SerializeAsString());
  CHECK(wire_fields(bytes, 999).empty());
  v1::Map without = map;
  without.clear_rules();
  CHECK(with_wire_fields(without.SerializeAsString(), v1::Map::kRulesFieldNumber, rules) == bytes);
  CHECK(with_wire_fields("", 5, {"a", ""}) == std::string("\x2a\1a\x2a\0", 5));
  CHECK(without_wire_fields(bytes, v1::Map::kRulesFieldNumber) == without.SerializeAsString());
  CHECK(without_wire_fields(bytes, 999) == bytes);
  CHECK(wire_field(bytes, v1::Map::kNameFieldNumber) == "m");
  CHECK(wire_field(bytes, v1::Map::kRulesFieldNumber).empty());  // the last one
  CHECK(wire_field(bytes, v1::Map::kIdFieldNumber).empty());
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const auto whole = wire_fields(std::string_view(bytes).substr(0, cut), v1::Map::kRulesFieldNumber);
    for (std::size_t r = 0; r < 3; ++r) CHECK((whole.size() > r) == (cut >= static_cast<std::size_t>(rules[r].end() - bytes.data())));
  }
  using namespace std::string_view_literals;
  CHECK(wire_fields("\x0d\1\2\3\4\x12\1a"sv, 2) == std::vector{"a"sv});              // a fixed32 before
  CHECK(wire_fields("\x09\1\2\3\4\5\6\7\x08\x12\1a"sv, 2) == std::vector{"a"sv});  // a fixed64
  CHECK(wire_fields("\x0b\x12\1a"sv, 2).empty());                                     // a group
  CHECK(without_wire_fields("\x12\1a\x0b\x12\1a"sv, 2) == "\x0b\x12\1a"sv);
  CHECK(wire_fields("\x12\x81\x80\x80\x80\x80\0a"sv, 2).empty());  // what Protobuf refuses: a size of six bytes
  CHECK(wire_fields("\x92\x80\x80\x80\x10\1a"sv, 2).empty());     // and a tag of more than 32 bits
  CHECK(wire_fields("\x92\x80\x80\x80\0\1a"sv, 2) == std::vector{"a"sv});
  CHECK(wire_fields("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x61"sv, 2).empty());
  CHECK(wire_fields("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv, 2).empty());
}
