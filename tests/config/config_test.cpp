#include <doctest/doctest.h>
#include <google/protobuf/util/message_differencer.h>

#include <filesystem>
#include <fstream>
#include <functional>

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

TEST_CASE("validate: each format takes what it says and nothing near it") {
  const auto match = [](const std::string& fields) { return invalid_at(R"({"filters": [{"name": "f", "matches": [{)" + fields + "}]}]}"); };
  for (const char* good : {"02:00:00:00:00:01", "02:00:00:00:00:00/ff:ff:ff:00:00:00"})
    CHECK_MESSAGE(match(R"("ethernet": {"src": [")" + std::string(good) + R"("]})").empty(), good);
  for (const char* bad : {"", "02:00:00:00:00", "02:00:00:00:00:00/", "02:00:00:00:00:00/24"})
    CHECK_MESSAGE(match(R"("ethernet": {"src": [")" + std::string(bad) + R"("]})") == "filters[0].matches[0].ethernet.src[0]", bad);
  for (const char* bad : {"", "0x", "0806", "0x10000", "0x08g6"})
    CHECK_MESSAGE(match(R"("ethernet": {"ethertype": [")" + std::string(bad) + R"("]})") == "filters[0].matches[0].ethernet.ethertype[0]",
                  bad);
  CHECK(match(R"("ethernet": {"ethertype": ["0x0806", "0xFFFF"]})").empty());
  CHECK(match(R"("l4": {"tcp_flags": ["syn,!ack", "fin"]})").empty());
  for (const char* bad : {"", "syn,", ",", "syn,syn", "syn,!syn", "SYN", "!!ack", "syn ack"})
    CHECK_MESSAGE(match(R"("l4": {"tcp_flags": [")" + std::string(bad) + R"("]})") == "filters[0].matches[0].l4.tcp_flags[0]", bad);
  const auto window = [](const std::string& to) {
    return invalid_at(R"({"schedules": [{"name": "s", "windows": [{"from": "00:00", "to": ")" + to + "\"}]}]}");
  };
  for (const char* good : {"23:59", "24:00", "08:30"}) CHECK_MESSAGE(window(good).empty(), good);
  for (const char* bad : {"", "24:01", "25:00", "12:60", "8:30", "08:30 ", "ab:cd"})
    CHECK_MESSAGE(window(bad) == "schedules[0].windows[0].to", bad);
}

TEST_CASE("resources: who says by its id that it is the renamed one leaves its old name to another") {
  const auto before = test::make_config(R"({"ports": [{"name": "x", "role": "TOOL"}]})");
  v1::Config after = before;
  after.mutable_ports(0)->set_name("y");
  after.add_ports()->set_name("x");
  after.mutable_ports(1)->set_role(v1::PortRole::TOOL);
  REQUIRE(config::complete(after, before));
  CHECK(config::validate(after));
  CHECK(after.ports(0).id() == before.ports(0).id());
}

TEST_CASE("validate: an address set has no entry twice") {
  CHECK(invalid_at(R"({"address_sets": [{"name": "s", "entries": ["10.0.0.0/8", "11.0.0.0/8", "10.0.0.0/8"]}]})") ==
        "address_sets[0].entries[2]");
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

TEST_CASE("resources: an empty name of a filter leads nowhere, and is no rule that matches everything") {
  v1::Config config;
  auto* map = config.add_maps();
  map->set_name("m");
  auto* rule = map->add_rules();
  rule->set_action(v1::Action::PASS);
  rule->set_filter("");
  const auto completed = config::complete(config, {});
  REQUIRE_FALSE(completed);
  CHECK(completed.error().field_path == "maps[0].rules[0].filter");
}

TEST_CASE("resources: every reference that a rule can have is looked for in it") {
  unsigned references = 0;
  const std::function<void(v1::Rule&, google::protobuf::Message&)> fill = [&](v1::Rule& rule, google::protobuf::Message& at) {
    const auto* type = at.GetDescriptor();
    const auto* r = at.GetReflection();
    for (int f = 0; f < type->field_count(); ++f) {
      const auto* field = type->field(f);
      if (config::limits_of(*field).has_refers_to()) {
        CAPTURE(field->full_name());
        if (field->is_repeated()) r->AddString(&at, field, "x");
        else r->SetString(&at, field, "x");
        CHECK(config::may_refer(rule));
        if (!field->is_repeated()) r->SetString(&at, field, "");
        if (!field->is_repeated() && r->HasField(at, field)) CHECK(config::may_refer(rule));  // there, and leads nowhere
        r->ClearField(&at, field);
        CHECK_FALSE(config::may_refer(rule));
        ++references;
      } else if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
        fill(rule, field->is_repeated() ? *r->AddMessage(&at, field) : *r->MutableMessage(&at, field));
        r->ClearField(&at, field);
      }
    }
  };
  v1::Rule rule;
  fill(rule, rule);
  CHECK(references >= 4);
}
