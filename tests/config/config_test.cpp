#include <doctest/doctest.h>
#include <google/protobuf/util/message_differencer.h>

#include <filesystem>
#include <fstream>

#include "config/proto_json.h"
#include "config/resources.h"
#include "config/store.h"
#include "config/transaction.h"
#include "config/validate.h"
#include "tests/builders/broker.h"

using namespace sluice;
using google::protobuf::util::MessageDifferencer;

namespace {

Error json_error(const std::string& text) {
  v1::Config config;
  const auto r = config::from_json(text, config);
  return r ? Error{ErrorCode::kInternal, "accepted", ""} : r.error();
}

std::string invalid_at(const std::string& text) {
  v1::Config config;
  REQUIRE(config::from_json(text, config));
  if (const auto r = config::complete(config, {}); !r) return r.error().field_path;
  const auto r = config::validate(config);
  return r ? "" : r.error().field_path;
}

/// A folder of the test's own, gone when it ends.
struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("sluice-store-" + std::to_string(getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

/// Says yes, or no where a test tells it to.
struct Plane final : config::DataPlane {
  std::optional<Error> prepare_error, publish_error;
  uint64_t published = 0;
  config::Purpose purpose{};  ///< of the last preparation
  Result<void> prepare(uint64_t, const v1::Config&, config::Purpose wanted) override {
    purpose = wanted;
    return prepare_error ? Result<void>(*prepare_error) : Result<void>();
  }
  Result<void> publish(uint64_t revision) override {
    if (publish_error) return *publish_error;
    published = revision;
    return {};
  }
};

}  // namespace

TEST_CASE("json: errors name the path and the reason") {
  CHECK(json_error(R"({"mapz": []})").field_path == "mapz");
  CHECK(json_error(R"({"maps": [{"rules": [{}, {"match": {"l4": {"port": [80]}}}]}]})").field_path == "maps[0].rules[1].match.l4.port[0]");
  CHECK(json_error(R"({"ports": [{"role": "network"}]})").message == "\"network\" is not one of NETWORK, TOOL, HYBRID");
  CHECK(json_error(R"({"ports": [{"mtu": -1}]})").field_path == "ports[0].mtu");
  CHECK(json_error(R"({"ports": [{"mtu": 4294967296}]})").message == "4294967296 is more than 4294967295");
  CHECK(json_error(R"({"ports": {}})").message == "must be a list, not an object");
  CHECK(json_error(R"({"ports": [{"labels": {"a": 1}}]})").field_path == "ports[0].labels.a");
  CHECK(json_error(R"({"maps": [{"destinations": [{"port": "a", "recorder": true}]}]})").field_path == "maps[0].destinations[0].recorder");
  CHECK(json_error(R"({"system": {}, "system": {}})").message == "stands twice in one object");
  CHECK(json_error("{").field_path.empty());
  CHECK(json_error(std::string(100, '[')).message.starts_with("is not JSON"));
}

TEST_CASE("json: what is written is read back the same, 64-bit numbers, bytes and labels included") {
  v1::Config config;
  REQUIRE(config::from_json(R"({"ports": [{"name": "a", "labels": {"rack": "4", "x\"y": ""}, "egress": {"buffer": "18446744073709551615"}}],
    "maps": [{"rules": [{"match": {"bytes": [{"anchor": "L4", "value": "3q2+7w=="}, {"anchor": "L3", "value": "AA=="}]}}]}]})",
                            config));
  CHECK(config.ports(0).egress().buffer() == UINT64_MAX);
  CHECK(config.maps(0).rules(0).match().bytes(0).value() == "\xde\xad\xbe\xef");
  CHECK(config.maps(0).rules(0).match().bytes(1).value() == std::string(1, '\0'));
  for (const auto& text : {config::to_json(config), config::to_json_pretty(config)}) {
    v1::Config again;
    REQUIRE(config::from_json(text, again));
    CHECK(MessageDifferencer::Equals(config, again));
  }
}

TEST_CASE("validate: names, formats and limits are checked as the proto states them") {
  CHECK(invalid_at(R"({"ports": [{"name": "a b", "role": "TOOL"}]})") == "ports[0].name");
  CHECK(invalid_at(R"({"ports": [{"name": "1934d643-dc57-435d-9e2b-13688b19e4fa", "role": "TOOL"}]})") == "ports[0].name");
  CHECK(invalid_at(R"({"ports": [{"role": "TOOL"}]})") == "ports[0].name");
  CHECK(invalid_at(R"({"ports": [{"name": "a"}]})") == "ports[0].role");
  CHECK(invalid_at(R"({"ports": [{"name": "a", "role": "TOOL"}, {"name": "a", "role": "TOOL"}]})") == "ports[1].name");
  CHECK(invalid_at(R"({"ports": [{"name": "a", "role": "TOOL", "device": "eth0"}]})") == "ports[0].device");
  CHECK(invalid_at(R"({"ports": [{"name": "a", "role": "TOOL", "device": "0000:03:00.0"}]})") == "");
  CHECK(invalid_at(R"({"maps": [{"name": "m", "sources": {"vlans": ["4096"]}}]})") == "maps[0].sources.vlans[0]");
  CHECK(
      invalid_at(R"({"maps": [{"name": "m", "sources": {}, "rules": [{"match": {"ip": {"src": ["10.0.0.1/8"]}}, "action": "PASS"}]}]})") ==
      "maps[0].rules[0].match.ip.src[0]");
  CHECK(invalid_at(R"({"maps": [{"name": "m", "sources": {"ports": ["nowhere"]}}]})") == "maps[0].sources.ports[0]");
  CHECK(invalid_at(R"({"maps": [{"id": "made-up", "name": "m", "sources": {}}]})") == "maps[0].id");
}

TEST_CASE("resources: defaults are filled in, and rules keep their ids by what they say") {
  const std::string rules = R"([{"match": {"ip": {"protocol": ["tcp"]}}, "action": "PASS"}, {"action": "DROP"}])";
  const auto before = test::make_config(R"({"maps": [{"name": "m", "sources": {}, "rules": )" + rules + "}]}");
  CHECK(before.maps(0).enabled());
  CHECK(before.maps(0).default_action() == v1::Action::DROP);
  v1::Config after;
  REQUIRE(config::from_json(
      R"({"maps": [{"name": "m", "sources": {}, "rules": [{"action": "DROP"}, {"match": {"ip": {"protocol": ["udp"]}}, "action": "PASS"}]}]})",
      after));
  REQUIRE(config::complete(after, before));
  CHECK(after.maps(0).id() == before.maps(0).id());
  CHECK(after.maps(0).rules(0).id() == before.maps(0).rules(1).id());
  CHECK(after.maps(0).rules(1).id() != before.maps(0).rules(0).id());
}

TEST_CASE("resources: references are stored by id and shown by name, and referrers are found") {
  const auto config =
      test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK"}], "maps": [{"name": "m", "sources": {"ports": ["in1"]}}]})");
  CHECK(config.maps(0).sources().ports(0) == config.ports(0).id());
  CHECK(config::with_names(config).maps(0).sources().ports(0) == "in1");
  CHECK(config::referrers(config, config::find_collection("ports"), config.ports(0).id()) ==
        std::vector<std::string>{"maps/m (sources.ports[0])"});
}

TEST_CASE("store: what is committed is loaded again, in order, and every change is logged once") {
  const Folder folder;
  const auto path = (folder.path / "s.sqlite").string();
  const auto first =
      test::make_config(R"({"system": {"name": "lab"}, "maps": [{"name": "b", "sources": {}}, {"name": "a", "sources": {}}]})");
  {
    auto store = config::Store::open(path);
    REQUIRE(store);
    CHECK(*(*store)->commit({}, first, "ann", "begin") == 1);
    v1::Config second = first;
    second.mutable_maps()->SwapElements(0, 1);
    CHECK(*(*store)->commit(first, second, "bob", "other order") == 2);
  }
  auto store = config::Store::open(path);
  REQUIRE(store);
  const auto loaded = (*store)->load();
  REQUIRE(loaded);
  CHECK(loaded->revision == 2);
  CHECK(loaded->config.maps(0).name() == "a");
  CHECK(loaded->config.system().name() == "lab");
  const auto revisions = (*store)->revisions(10);
  CHECK(revisions->at(0).author == "bob");
  CHECK(revisions->at(1).comment == "begin");
}

TEST_CASE("store: a file that is no database, and one from a newer version, are refused with the reason") {
  const Folder folder;
  const auto garbage = (folder.path / "garbage").string();
  std::ofstream(garbage) << std::string(5000, 'x');
  CHECK(config::Store::open(garbage).error().message.find("not a database") != std::string::npos);
  const auto newer = (folder.path / "newer").string();
  REQUIRE(config::Store::open(newer));
  CHECK(std::system(("sqlite3 " + newer + " 'PRAGMA user_version = 99' 2>/dev/null || python3 -c \"import sqlite3; sqlite3.connect('" +
                     newer + "').execute('PRAGMA user_version = 99')\"")
                        .c_str()) == 0);
  const auto refused = config::Store::open(newer);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("newer") != std::string::npos);
}

TEST_CASE("configuration: nothing changes unless every step succeeds, and nothing is lost when only publishing fails") {
  const Folder folder;
  auto store = config::Store::open((folder.path / "s.sqlite").string());
  REQUIRE(store);
  Plane plane;
  config::Configuration configuration(**store, plane);
  REQUIRE(configuration.load());
  const auto add = [](const std::string& name) {
    return [name](v1::Config& c) -> Result<void> {
      auto* port = c.add_ports();
      port->set_name(name);
      port->set_role(v1::PortRole::TOOL);
      return {};
    };
  };
  CHECK(configuration.change({"ann", ""}, add("a"), false)->revision == 1);
  CHECK(plane.published == 1);
  CHECK_FALSE(configuration
                  .change(
                      {"ann", ""}, [](v1::Config&) -> Result<void> { return {}; }, false)
                  ->changed);
  CHECK(configuration.change({"ann", ""}, add("b"), true)->changed);
  CHECK(configuration.view().config.ports_size() == 1);

  plane.prepare_error = Error{ErrorCode::kInvalid, "ports[1]", "no"};
  CHECK(configuration.change({"ann", ""}, add("b"), false).error().field_path == "ports[1]");
  CHECK(configuration.view().revision == 1);
  CHECK((*store)->load()->config.ports_size() == 1);

  plane.prepare_error.reset();
  plane.publish_error = Error{ErrorCode::kUnreachable, "", "gone"};
  const auto outcome = configuration.change({"ann", ""}, add("b"), false);
  REQUIRE(outcome);
  CHECK(outcome->revision == 2);
  CHECK_FALSE(outcome->warning.empty());
  plane.publish_error.reset();
  REQUIRE(configuration.resume());
  CHECK(plane.purpose == config::Purpose::kResume);  // no device of today may refuse what was committed
  CHECK(plane.published == 2);
}
