// What is looked at after a change, against looking at everything.
#include "config/changed_rules.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "config/diff.h"
#include "config/resources.h"
#include "config/rows.h"
#include "config/validate.h"
#include "tests/builders/broker.h"
#include "tests/builders/store.h"

using namespace sluice;

namespace {

constexpr const char* kBegin =
    R"({"ports": [{"name": "in1", "role": "NETWORK"}], "address_sets": [{"name": "s"}, {"name": "t"}], "maps": [)";

std::string rule(int n) {
  return R"({"action": "PASS", "match": {"ip": {"src": ["10.0.)" + std::to_string(n) + R"(.0/24"])" +
         (n % 5 ? "" : R"(, "dst_set": "s")") + "}" + (n % 3 ? "" : R"(, "layer": "INNER")") + "}}";
}

std::string map(const std::string& name, int rules) {
  std::string out;
  for (int r = 0; r < rules; ++r) out += (r ? "," : "") + rule(r);
  return R"({"name": ")" + name + R"(", "sources": {"ports": ["in1"]}, "rules": [)" + out + "]}";
}

v1::Config named(const std::string& maps) { return config::with_names(test::make_config(kBegin + maps + "]}")); }

struct Ended {
  std::string error, config, changes;
  bool operator==(const Ended&) const = default;
};

/// What becomes of an edit. narrow: only its changed rules are looked at.
Ended looked_at(v1::Config next, const v1::Config& before, const v1::Config& before_named, bool narrow) {
  const config::ChangedRules of_this = narrow ? config::ChangedRules(config::map_bytes(before_named), next) : config::ChangedRules();
  const auto error = [](const Error& e) { return Ended{e.field_path + ": " + e.message, "", ""}; };
  if (auto r = config::validate_counts(next, of_this); !r) return error(r.error());
  unsigned made = 0;
  if (auto r = config::complete(
          next, before, [&made] { return "new-" + std::to_string(++made); }, of_this);
      !r)
    return error(r.error());
  if (auto r = config::validate(next, of_this); !r) return error(r.error());
  std::string changes;
  for (const auto& change : config::diff(before_named, config::with_names(next), of_this)) changes += change.ShortDebugString() + "\n";
  return {"", config::bytes_of(next), changes};
}

/// Whatever somebody may do to maps and address sets, mostly what is allowed.
void edit_at_random(v1::Config& next, std::mt19937& rng) {
  const auto below = [&rng](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
  for (int edits = below(4); edits-- > 0;) {
    auto& m = *next.mutable_maps(below(next.maps_size()));
    const int rules = m.rules_size();
    switch (below(15)) {
      case 0: m.add_rules()->set_action(v1::Action::DROP); break;
      case 1:
        if (rules) m.mutable_rules()->DeleteSubrange(below(rules), 1);
        break;
      case 2:
        if (rules) m.mutable_rules()->SwapElements(below(rules), below(rules));
        break;
      case 3:
        if (rules) m.mutable_rules(below(rules))->mutable_match()->mutable_ip()->set_addr_set(below(8) ? "s" : "none");
        break;
      case 4:
        if (rules) m.mutable_rules(below(rules))->mutable_match()->mutable_ip()->add_dst(below(8) ? "10.9.0.0/16" : "10.9.0.1/16");
        break;
      case 5:
        if (rules) m.mutable_rules(below(rules))->clear_id();
        break;
      case 6:  // a client that knows no ids
        for (auto& one : *m.mutable_rules()) one.clear_id();
        break;
      case 7: m.set_comment("another"); break;
      case 9: m.clear_id(); break;
      case 10: m.set_id(next.maps(below(next.maps_size())).id()); break;  // twice, or the other way round
      case 11: {                                                          // of another map with its id, if that is nobody's here
        const auto& from = next.maps(below(next.maps_size()));
        v1::Rule copy = from.rules().empty() ? v1::Rule() : from.rules(below(from.rules_size()));
        if (std::any_of(m.rules().begin(), m.rules().end(), [&copy](const v1::Rule& own) { return own.id() == copy.id(); })) copy.clear_id();
        *m.add_rules() = copy;
        break;
      }
      case 12: next.mutable_address_sets(0)->set_name("u"); break;  // whose rules lose it
      case 13:
        for (auto& set : *next.mutable_address_sets()) set.set_name(set.name() == "s" ? "t" : "s");
        break;
      case 8: next.mutable_maps()->SwapElements(below(next.maps_size()), below(next.maps_size())); break;
      default:
        if (rules) m.mutable_rules(below(rules))->set_comment(below(8) ? "seen" : std::string(5000, 'x'));
    }
  }
}

}  // namespace

TEST_CASE("changed rules: those between what the list begins and ends with, and all of a map that is new") {
  const v1::Config before = named(map("m", 10));
  const auto bytes = config::map_bytes(before);
  const auto window = [&](const auto& edit) {
    v1::Config next = before;
    edit(*next.mutable_maps(0));
    const auto found = config::ChangedRules(bytes, next).of_map(0);
    REQUIRE(found);
    return std::vector{found->begin, found->before_end, found->end};
  };
  CHECK(window([](v1::Map&) {}) == std::vector{10, 10, 10});
  CHECK(window([](v1::Map& m) { m.set_comment("other"); }) == std::vector{10, 10, 10});
  CHECK(window([](v1::Map& m) { m.mutable_rules(4)->set_action(v1::Action::DROP); }) == std::vector{4, 5, 5});
  CHECK(window([](v1::Map& m) { m.mutable_rules()->DeleteSubrange(0, 2); }) == std::vector{0, 2, 0});
  CHECK(window([](v1::Map& m) { m.add_rules()->set_action(v1::Action::DROP); }) == std::vector{10, 10, 11});
  CHECK(window([](v1::Map& m) { m.mutable_rules()->SwapElements(3, 7); }) == std::vector{3, 8, 8});
  CHECK(window([](v1::Map& m) { m.clear_rules(); }) == std::vector{0, 10, 0});
  v1::Config next = before;
  next.mutable_maps(0)->clear_id();
  CHECK(!config::ChangedRules(bytes, next).of_map(0));
}

TEST_CASE("changed rules: any edit, but one that gives two rules one id, ends as if everything had been looked at, against ids as names") {
  const auto seed = static_cast<unsigned>(std::random_device()());
  MESSAGE("seed ", seed);
  std::mt19937 rng(seed);
  const auto before = test::make_config(kBegin + map("m", 30) + "," + map("n", 5) + "," + map("o", 0) + "]}");
  const v1::Config before_named = config::with_names(before);
  unsigned refused = 0, changed = 0;
  for (int round = 0; round < 3000; ++round) {
    v1::Config next = before_named;
    edit_at_random(next, rng);
    const Ended narrow = looked_at(next, before_named, before_named, true), wide = looked_at(next, before, before_named, false);
    CAPTURE(round);
    CAPTURE(narrow.error);
    CAPTURE(wide.error);
    CAPTURE(narrow.changes);
    CAPTURE(wide.changes);
    REQUIRE(narrow == wide);
    refused += !wide.error.empty();
    changed += !wide.changes.empty();
  }
  CHECK(refused > 100);
  CHECK(changed > 1000);
}

TEST_CASE("changed rules: after any edits the data plane, the disk and people have one configuration, whose bytes are as if written at once") {
  const auto seed = static_cast<unsigned>(std::random_device()());
  MESSAGE("seed ", seed);
  std::mt19937 rng(seed);
  const auto without_ids = [](v1::Config config) {
    for (auto& map : *config.mutable_maps()) {
      map.clear_id();
      for (auto& rule : *map.mutable_rules()) rule.clear_id();
    }
    return config::bytes_of(config);
  };
  test::Appliance a;
  const auto begin = test::make_config(kBegin + map("m", 30) + "," + map("n", 5) + "," + map("o", 0) + "]}");
  REQUIRE(a.configuration->change({"ann", ""}, [&](v1::Config& next) -> Result<void> {
    next = config::with_names(begin);
    for (const auto* collection : config::collections())
      for (int i = 0; i < config::count(next, collection); ++i) {
        auto& resource = config::mutable_resource(next, collection, i);
        resource.GetReflection()->ClearField(&resource, resource.GetDescriptor()->FindFieldByName("id"));
      }
    return {};
  }));
  unsigned changed = 0;
  std::vector<std::shared_ptr<const v1::Config>> held;  // by readers that take their time
  for (int round = 0; round < 600; ++round) {
    CAPTURE(round);
    switch (rng() % 12) {
      case 0: held.push_back(a.configuration->view().whole); break;
      case 1: held.clear(); break;
      case 2: (void)a.configuration->rollback({"ann", ""}, 1 + rng() % a.configuration->view().revision); break;
      default: break;
    }
    a.plane.prepare_error = rng() % 8 == 0 ? std::optional(Error{ErrorCode::kExhausted, "", "is too much"}) : std::nullopt;
    v1::Config wanted = a.configuration->view().config;
    std::mt19937 again = rng;
    edit_at_random(wanted, rng);
    v1::Config plainly = wanted;
    const auto before = a.configuration->view();
    const bool is_right = config::complete(plainly, before.config) && config::validate(plainly);
    const auto outcome = a.configuration->change({"ann", ""},
                                                 [&](v1::Config& next) -> Result<void> {
                                                   CHECK(config::bytes_of(next) == config::bytes_of(before.config));  // what is edited is what is in force
                                                   edit_at_random(next, again);
                                                   return {};
                                                 },
                                                 {.dry_run = rng() % 8 == 0});
    if (!outcome) continue;  // by what the test before this one says
    CHECK(is_right);
    if (!outcome->changed || outcome->revision == before.revision) continue;
    ++changed;
    v1::Config given;
    REQUIRE(given.ParseFromString(a.plane.bytes));
    CHECK(config::bytes_of(given) == a.plane.bytes);
    CHECK(without_ids(given) == without_ids(plainly));
    CHECK(*a.store->rows_at(outcome->revision) == config::rows_of(given));
    CHECK(config::bytes_of(config::with_names(given)) == config::bytes_of(a.configuration->view().config));
  }
  CHECK(changed > 100);
}

TEST_CASE("changed rules: of a long list both halves are compared, wherever the change is") {
  const auto seed = static_cast<unsigned>(std::random_device()());
  MESSAGE("seed ", seed);
  std::mt19937 rng(seed);
  const v1::Config before = named(map("m", 250) + "," + map("n", 1));
  v1::Config long_one = before;
  auto& rules = *long_one.mutable_maps(0)->mutable_rules();
  while (rules.size() < 3000) rules.Add()->CopyFrom(rules.at(static_cast<int>(rng() % 250)));
  const auto bytes = config::map_bytes(long_one);
  for (int round = 0; round < 60; ++round) {
    v1::Config next = long_one;
    auto& list = *next.mutable_maps(0)->mutable_rules();
    const int at = static_cast<int>(rng() % 3000), some = 1 + static_cast<int>(rng() % (round % 2 ? 3 : 2900));
    switch (round % 4) {
      case 0: list.DeleteSubrange(at, std::min(some, 3000 - at)); break;
      case 1: list.Mutable(at)->set_comment("another"), list.Mutable(static_cast<int>(rng() % 3000))->set_comment("too"); break;
      case 2: list.Add()->set_comment("new"), list.SwapElements(at, list.size() - 1); break;
      default: break;
    }
    // By hand: what the lists begin and end with.
    int head = 0, tail = 0;
    const auto& was = long_one.maps(0).rules();
    const auto same = [&](int i, int j) { return was.at(i).SerializeAsString() == list.at(j).SerializeAsString(); };
    const int most = std::min(was.size(), list.size());
    while (head < most && same(head, head)) ++head;
    while (tail < most - head && same(was.size() - 1 - tail, list.size() - 1 - tail)) ++tail;
    const config::ChangedRules changed(bytes, next);
    const auto window = changed.of_map(0);
    REQUIRE(window);
    CAPTURE(round);
    CHECK(window->end - window->begin == list.size() - head - tail);
    CHECK(window->before_end - window->begin == was.size() - head - tail);
    CHECK(changed.bytes_of_map(*next.mutable_maps(0), 0, bytes.at(next.maps(0).id())) == config::bytes_of(next.maps(0)));
    CHECK(config::bytes_of(next.maps(0)).size() > 1000);  // its rules are still there
  }
}

TEST_CASE("changed rules: a rule that claims the id of one that stays gets another") {
  const auto before = test::make_config(kBegin + map("m", 10) + "]}");
  const v1::Config before_named = config::with_names(before);
  v1::Config next = before_named;
  next.mutable_maps(0)->mutable_rules(3)->set_id(before.maps(0).rules(8).id());
  const config::ChangedRules changed(config::map_bytes(before_named), next);
  REQUIRE(config::complete(
      next, before, [] { return "made"; }, changed));
  CHECK(next.maps(0).rules(3).id() == before.maps(0).rules(3).id());  // by what it says
  CHECK(next.maps(0).rules(8).id() == before.maps(0).rules(8).id());
}
