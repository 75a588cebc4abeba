// Configurations that are made the same as others in place of being copied.
#include "config/spare.h"

#include <doctest/doctest.h>

#include <google/protobuf/util/message_differencer.h>

#include <random>
#include <thread>

#include "config/resources.h"
#include "tests/builders/broker.h"

using namespace sluice;

namespace {

struct Changing {
  std::mt19937 random;
  unsigned next = 0;
  v1::Config config = test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}], "system": {"name": "rack 7"}})");

  int below(int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); }
  void fill(v1::Rule& rule) {
    rule.Clear();
    rule.set_id("rule" + std::to_string(next++));
    rule.set_action(below(2) ? v1::Action::PASS : v1::Action::DROP);
    if (below(2)) rule.mutable_match()->mutable_ip()->add_src("10.0.0." + std::to_string(below(256)) + "/32");
    if (below(4) == 0) rule.set_filter("f");
  }
  void change_rules(v1::Map& map) {
    auto& rules = *map.mutable_rules();
    for (int n = 0; n < below(4); ++n) {
      const int at = rules.empty() ? 0 : below(rules.size());
      switch (rules.empty() ? 0 : below(5)) {
        case 0: fill(*rules.Add()); break;
        case 1: fill(*rules.Mutable(at)); break;
        case 2: rules.DeleteSubrange(at, 1); break;
        case 3: rules.SwapElements(0, at); break;
        default: fill(*rules.Add()), std::rotate(rules.pointer_begin() + at, rules.pointer_end() - 1, rules.pointer_end()); break;
      }
    }
    if (below(3) == 0) map.set_comment("comment " + std::to_string(below(5)));
    if (below(5) == 0) map.clear_comment();
    if (below(5) == 0) (*map.mutable_labels())["site"] = std::to_string(below(9));
  }
  void change() {
    auto& maps = *config.mutable_maps();
    switch (below(8)) {
      case 0: {
        auto& map = *maps.Add();
        map.set_id("map" + std::to_string(next++));
        for (int n = 0; n < below(20); ++n) fill(*map.add_rules());
        break;
      }
      case 1: if (!maps.empty()) maps.DeleteSubrange(below(maps.size()), 1); break;
      case 2: if (!maps.empty()) maps.SwapElements(0, below(maps.size())); break;
      case 3: config.mutable_ports(0)->set_comment(std::to_string(below(9))); break;
      case 4: below(2) ? config.add_filters()->set_id(std::to_string(next++)) : (config.clear_filters(), config.clear_system()); break;
      default: if (!maps.empty()) change_rules(*maps.Mutable(below(maps.size()))); break;
    }
  }
};

}  // namespace

TEST_CASE("spare: whatever became of a configuration, an old one is made the same") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  Changing changing{std::mt19937(seed)};
  v1::Config old = changing.config;
  for (unsigned round = 0; round < 2000; ++round) {
    CAPTURE(round);
    const config::MapBytes was = config::map_bytes(old);
    for (int n = changing.below(4); n >= 0; --n) changing.change();
    config::make_equal(old, was, changing.config, config::map_bytes(changing.config));
    std::string difference;
    google::protobuf::util::MessageDifferencer differ;
    differ.ReportDifferencesToString(&difference);
    REQUIRE_MESSAGE(differ.Compare(old, changing.config), difference);
  }
}

TEST_CASE("spare: rules that stay are not copied") {
  Changing changing{std::mt19937(1)};
  auto& map = *changing.config.add_maps();
  map.set_id("m");
  for (unsigned n = 0; n < 100; ++n) changing.fill(*map.add_rules());
  v1::Config old = changing.config;
  const v1::Rule *const first = &old.maps(0).rules(0), *const last = &old.maps(0).rules(99);
  const config::MapBytes was = config::map_bytes(old);
  changing.fill(*map.mutable_rules(50));
  config::make_equal(old, was, changing.config, config::map_bytes(changing.config));
  CHECK(&old.maps(0).rules(0) == first);
  CHECK(&old.maps(0).rules(99) == last);
}

TEST_CASE("spare: every field of a configuration is a message, as its copying requires") {
  const auto* of = v1::Config::descriptor();
  for (int f = 0; f < of->field_count(); ++f) CHECK_MESSAGE(of->field(f)->message_type(), of->field(f)->name());
}

TEST_CASE("spare: a configuration that somebody still reads is not taken back, and is let go of on any thread") {
  config::Spares spares;
  v1::Config config;
  config.mutable_system()->set_name("first");
  auto shared = spares.share(config);
  const v1::Config* const place = shared.get();
  std::thread reader([copy = shared]() mutable {
    CHECK(copy->system().name() == "first");
    copy.reset();
  });
  reader.join();
  auto other = shared;
  CHECK_FALSE(spares.take_back(std::move(shared)));
  CHECK(other->system().name() == "first");
  const auto taken = spares.take_back(std::move(other));
  CHECK(taken.get() == place);
  CHECK_FALSE(spares.take_back(std::make_shared<const v1::Config>()));  // not one of its own
  auto survivor = std::make_unique<config::Spares>();
  const auto last = survivor->share(config);
  survivor.reset();
  CHECK(last->system().name() == "first");
}
