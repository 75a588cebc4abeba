// What is proposed for what a survey saw.
#include "compile/dedup_advice.h"

#include <doctest/doctest.h>

#include <cstring>

#include "config/proto_json.h"
#include "tests/builders/broker.h"
#include "tests/builders/compiled.h"

using namespace sluice;
namespace ignore = dedup_ignore;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;

/// Ports in1 to in4, of which each has received 10,000 packets, and all were looked at.
struct Seen {
  compile::Compiled compiled;
  DedupSurvey survey{1};
  std::vector<DedupSurveyor> surveyors;

  explicit Seen(const std::string& domains = "", const std::string& maps = "") {
    compiled = test::compile_json(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"}, {"name": "in3", "role": "NETWORK"},
      {"name": "in4", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}], "dedup_domains": [)" + domains + R"(], "maps": [)" + maps + "]}");
    surveyors.emplace_back(survey);
    for (unsigned n = 1; n <= 4; ++n) surveyors[0].ports[slot(n)].received = surveyors[0].ports[slot(n)].looked_at = 10'000;
  }
  PortSlot slot(unsigned n) const { return compiled.plan.ports[n - 1].slot; }
  /// microseconds: as the delay of all of them.
  void pair(unsigned first, unsigned second, uint64_t duplicates, unsigned difference, uint64_t microseconds = 40) {
    DedupSurveyor::OfPair one{.first = slot(first), .second = slot(second), .duplicates = duplicates};
    one.by_difference[difference] = duplicates;
    one.by_delay[static_cast<std::size_t>(std::bit_width(microseconds))] = duplicates;
    surveyors[0].pairs.push_back(one);
    surveyors[0].ports[slot(second)].duplicates += duplicates;
  }
  v1::DedupAdvice advice() { return compile::advise_dedup(compiled.plan, *compiled.snapshot, surveyors, 1, 2 * kSecond); }
};

std::string text(const v1::DedupProposal& p) {
  std::string out;
  for (const auto& port : p.ports()) out += port + " ";
  out += std::to_string(p.window());
  for (const int i : p.ignore()) out += " " + v1::DedupIgnore::Value_Name(static_cast<v1::DedupIgnore::Value>(i));
  return out;
}

std::vector<std::string> proposals(const v1::DedupAdvice& advice) {
  std::vector<std::string> out;
  for (const auto& p : advice.proposals()) out.push_back(text(p));
  return out;
}
using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("dedup advice: two SPAN ports with the same packets become a domain that ignores what differs, and its saving is told") {
  Seen seen;
  seen.pair(1, 2, 10'000, ignore::kVlan | ignore::kMac | ignore::kTtl);
  const auto advice = seen.advice();
  CHECK(proposals(advice) == Texts{"in1 in2 1000 VLAN MAC TTL"});
  CHECK(advice.proposals(0).saved_percent() == 50);
  CHECK(advice.proposals(0).saved_packets_per_second() == 5'000);
  CHECK(advice.proposals(0).in_force().empty());
  REQUIRE(advice.pairs_size() == 1);
  CHECK(advice.pairs(0).first() == "in1");
  CHECK(advice.pairs(0).second() == "in2");
  CHECK(advice.pairs(0).share_percent() == 100);
  CHECK(advice.pairs(0).median_microseconds() == 64);
  REQUIRE(advice.pairs(0).differences_size() == 1);
  CHECK(advice.pairs(0).differences(0).fields_size() == 3);
  REQUIRE(advice.ports_size() == 4);
  CHECK(advice.ports(1).port() == "in2");
  CHECK(advice.ports(1).share_percent() == 100);
}

TEST_CASE("dedup advice: a few duplicates are chance and no reason for a domain") {
  Seen seen;
  seen.pair(1, 2, 99, 0);
  CHECK(proposals(seen.advice()).empty());
  seen.pair(3, 4, 100, 0);
  CHECK(proposals(seen.advice()) == Texts{"in3 in4 1000 NONE"});
}

TEST_CASE("dedup advice: ports that repeat each other's packets in a row are one domain, one that repeats its own is another") {
  Seen seen;
  seen.pair(2, 3, 5'000, 0);
  seen.pair(4, 4, 3'000, ignore::kIpChecksum);
  seen.pair(1, 2, 400, ignore::kDscp);
  CHECK(proposals(seen.advice()) == Texts{"in1 in2 in3 1000 DSCP", "in4 1000 IP_CHECKSUM"});
}

TEST_CASE("dedup advice: what is changed in less than a hundredth is not ignored for it") {
  Seen seen;
  seen.pair(1, 2, 9'950, ignore::kVlan);
  seen.pair(2, 1, 50, ignore::kDscp);
  CHECK(proposals(seen.advice()) == Texts{"in1 in2 1000 VLAN"});
  CHECK(seen.advice().proposals(0).saved_percent() == 50);
}

TEST_CASE("dedup advice: the window is twice the delay of nearly all duplicates") {
  for (const auto& [microseconds, window] : {std::pair<uint64_t, uint32_t>{3, 1'000}, {900, 5'000}, {30'000, 100'000}, {400'000, 1'000'000}, {900'000, 1'000'000}}) {
    Seen seen;
    seen.pair(1, 2, 9'000, 0, microseconds);
    REQUIRE(seen.advice().proposals_size() == 1);
    CHECK(seen.advice().proposals(0).window() == window);
  }
}

TEST_CASE("dedup advice: what comes again long after nearly all the others makes the window no longer, and a port that says the same again gets no domain") {
  Seen seen;
  seen.pair(1, 2, 9'400, 0, 40);
  seen.pair(1, 2, 300, 0, 300'000);
  CHECK(proposals(seen.advice()) == Texts{"in1 in2 1000 NONE"});
  Seen keepalives;
  keepalives.pair(3, 3, 9'000, 0, 50'000);
  CHECK(proposals(keepalives.advice()).empty());
  CHECK(keepalives.advice().pairs_size() == 1);  // seen it is
}

TEST_CASE("dedup advice: maps that have a part of the ports are named, for they would miss what the others received first") {
  Seen seen("", R"({"name": "both", "sources": {"ports": ["in1", "in2", "in3"]}, "destinations": [{"port": "t1"}]},
                   {"name": "one", "sources": {"ports": ["in2", "in4"]}, "destinations": [{"port": "t1"}]},
                   {"name": "none", "sources": {"ports": ["in3"]}, "destinations": [{"port": "t1"}]})");
  const auto named = [](Seen& which) {
    const auto advice = which.advice();
    REQUIRE(advice.proposals_size() == 1);
    return std::vector<std::string>(advice.proposals(0).maps_with_a_part().begin(), advice.proposals(0).maps_with_a_part().end());
  };
  seen.pair(1, 2, 9'000, 0);
  CHECK(named(seen) == Texts{"one"});
  const std::string both = R"(, "sources": {"ports": ["in1", "in2"], "vlans": ["20"]}, "destinations": [{"port": "t1"}]})";
  Seen tagged("", R"({"name": "twenty")" + both);
  tagged.pair(1, 2, 9'000, 0);
  CHECK(named(tagged).empty());
  tagged.pair(2, 1, 9'000, ignore::kVlan);
  CHECK(named(tagged) == Texts{"twenty"});
  Seen keeping("", R"({"name": "recorder", "sources": {"ports": ["in1"]}, "destinations": [{"port": "t1", "duplicates": "KEEP"}]})");
  keeping.pair(1, 2, 9'000, 0);
  CHECK(named(keeping).empty());
}

TEST_CASE("dedup advice: of pairs beyond 256 the smallest are left out and counted") {
  Seen seen;
  for (unsigned n = 0; n < 300; ++n) seen.pair(1 + n % 4, 1 + n / 4 % 4, 1, 0);
  CHECK(seen.advice().pairs_size() == 16);
  CHECK(seen.advice().duplicates_left_out() == 0);
  for (unsigned a = 0; a < 20; ++a)
    for (unsigned b = 0; b < 20; ++b) seen.surveyors[0].pairs.push_back({.first = static_cast<PortSlot>(20 + a), .second = static_cast<PortSlot>(50 + b), .duplicates = 1});
  CHECK(seen.advice().pairs_size() == 256);
  CHECK(seen.advice().duplicates_left_out() == 416 - 256);
}

TEST_CASE("dedup advice: a domain that does it all is named, and one that does a part is replaced by one that does both") {
  Seen enough(R"({"name": "d", "ports": ["in1", "in2", "in3"]})");
  enough.pair(1, 2, 5'000, ignore::kVlan);
  CHECK(enough.advice().proposals(0).in_force() == "d");
  CHECK(enough.advice().proposals(0).replaces_size() == 0);
  Seen other_ports(R"({"name": "d", "ports": ["in1", "in3"], "window": 60000})");
  other_ports.pair(1, 2, 5'000, ignore::kDscp);
  CHECK(proposals(other_ports.advice()) == Texts{"in1 in2 in3 60000 VLAN TTL DSCP"});
  CHECK(other_ports.advice().proposals(0).in_force().empty());
  REQUIRE(other_ports.advice().proposals(0).replaces_size() == 1);
  CHECK(other_ports.advice().proposals(0).replaces(0) == "d");
  Seen other_fields(R"({"name": "d", "ports": ["in1", "in2"], "ignore": ["TUNNEL"]})");
  other_fields.pair(1, 2, 5'000, ignore::kVlan);
  CHECK(proposals(other_fields.advice()) == Texts{"in1 in2 50000 VLAN TUNNEL"});
  Seen checksum(R"({"name": "d", "ports": ["in1", "in2"]})");  // TTL leaves it out, too
  checksum.pair(1, 2, 5'000, ignore::kIpChecksum);
  CHECK(checksum.advice().proposals(0).in_force() == "d");
  Seen latest(R"({"name": "d", "ports": ["in1", "in2"], "window": 1000000})");
  latest.pair(1, 2, 5'000, 0, 900'000);
  CHECK(latest.advice().proposals(0).in_force() == "d");
  Seen too_early(R"({"name": "d", "ports": ["in1", "in2"], "window": 600000})");
  too_early.pair(1, 2, 5'000, 0, 900'000);
  CHECK(too_early.advice().proposals(0).in_force().empty());
  Seen frames(R"({"name": "d", "ports": ["in1", "in2"], "start": "FRAME", "ignore": ["NONE"]})");
  frames.pair(1, 2, 5'000, 0);
  CHECK(frames.advice().proposals(0).in_force() == "d");
  frames.pair(2, 1, 5'000, ignore::kMac);
  CHECK(frames.advice().proposals(0).in_force().empty());
  CHECK(frames.advice().proposals(0).start() == v1::DedupStart::FRAME);
  CHECK(proposals(frames.advice()) == Texts{"in1 in2 50000 MAC"});
  Seen inner(R"({"name": "d", "ports": ["in1", "in3"], "start": "INNER_L3"})");
  inner.pair(1, 2, 5'000, 0);
  CHECK(inner.advice().proposals(0).start() == v1::DedupStart::INNER_L3);
  Seen two_pairs(R"({"name": "d", "ports": ["in1", "in2", "in3", "in4"]})");  // a port can't be in two proposals
  two_pairs.pair(1, 2, 5'000, ignore::kDscp);
  two_pairs.pair(3, 4, 5'000, ignore::kDscp);
  CHECK(proposals(two_pairs.advice()) == Texts{"in1 in2 in3 in4 50000 VLAN TTL DSCP"});
  CHECK(two_pairs.advice().proposals(0).saved_percent() == 25);
  Seen short_window(R"({"name": "d", "ports": ["in1", "in2"], "window": 100})");
  short_window.pair(1, 2, 5'000, 0, 5'000);
  CHECK(proposals(short_window.advice()) == Texts{"in1 in2 20000 VLAN TTL"});
}

TEST_CASE("dedup advice: what several workers saw is added up, and where nothing came nothing is said") {
  Seen seen;
  seen.surveyors.clear();
  CHECK(seen.advice().ports_size() == 0);
  for (unsigned w = 0; w < 2; ++w) {
    auto& one = seen.surveyors.emplace_back(seen.survey);
    one.ports[seen.slot(2)] = {.received = 4'000, .looked_at = 1'000, .duplicates = 15};
    DedupSurveyor::OfPair pair{.first = seen.slot(1), .second = seen.slot(2), .duplicates = 15};
    pair.by_difference[0] = pair.by_delay[0] = 15;
    one.pairs.push_back(pair);
  }
  const auto advice = seen.advice();
  REQUIRE(advice.pairs_size() == 1);
  CHECK(advice.pairs(0).duplicates() == 30);
  CHECK(proposals(advice) == Texts{"in1 in2 1000 NONE"});
  CHECK(advice.proposals(0).saved_packets_per_second() == 60);  // 30 of 2,000 that were looked at, of 8,000 in two seconds
}

TEST_CASE("dedup advice: a worker that looked at a larger part, and at nothing since, counts as if it had looked at as much as the others") {
  Seen seen;
  std::vector<std::byte> bytes = test::Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload("12345678").bytes();
  Burst burst;
  burst.add({bytes.data(), static_cast<uint32_t>(bytes.size()), 0}, 0);
  parse_burst(burst);
  seen.surveyors.clear();
  seen.surveyors.reserve(2);
  for (unsigned w = 0; w < 2; ++w) seen.surveyors.emplace_back(seen.survey);
  seen.surveyors[0].ports[seen.slot(1)] = {.received = 64'000, .looked_at = 64'000, .duplicates = 0};
  // The other one meets so many that it halves them again and again.
  for (uint64_t n = 0; n < 400'000; ++n) {
    std::memcpy(bytes.data() + bytes.size() - 8, &n, sizeof n);
    seen.surveyors[1].look_at(burst, seen.slot(2), kSecond + n);
  }
  const uint32_t sampled = seen.survey.sampled();
  REQUIRE(sampled > 8);
  const auto advice = compile::advise_dedup(seen.compiled.plan, *seen.compiled.snapshot, seen.surveyors, sampled, kSecond);
  REQUIRE(advice.ports_size() == 2);
  CHECK(advice.ports(0).looked_at() == 64'000 / sampled);
  CHECK(advice.ports(1).looked_at() < 400'000 / sampled * 2);
}

TEST_CASE("dedup advice: what is proposed, once in force, finds each duplicate that was surveyed, whatever was changed, of IP and of frames without") {
  using test::Packet;
  const auto numbered = [](Packet p, unsigned n) { return p.payload("number " + std::to_string(n)); };
  const auto ip = [](const std::string& mac, uint16_t vlan, unsigned label) {
    Packet p;
    p.ethernet(mac);
    if (vlan) p.vlan(vlan);
    if (label) p.mpls(label);
    return p.ipv4("10.0.0.1", "10.0.0.2").udp(1, 2);
  };
  const std::string here = "02:00:00:00:00:01", there = "02:00:00:00:00:99";
  struct Case {
    const char* what;
    Packet first, second;
  };
  for (const Case& c : {Case{"the same", ip(here, 0, 0), ip(here, 0, 0)}, {"a tag and an address", ip(here, 0, 0), ip(there, 7, 0)}, {"a label", ip(here, 0, 5), ip(here, 0, 6)},
                        {"an address of a frame without IP", Packet().ethernet(here).ethertype(0x88B8), Packet().ethernet(there).ethertype(0x88B8)},
                        {"a tag and an address of one", Packet().ethernet(here).ethertype(0x88B8), Packet().ethernet(there).vlan(9).ethertype(0x88B8)}}) {
    CAPTURE(c.what);
    const auto config = [](const std::string& domains) {
      return R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"}], "dedup_domains": [)" + domains + "]}";
    };
    test::Broker broker(config(""));
    const auto send = [&](unsigned from) {
      for (unsigned n = from; n < from + 50; ++n) {
        broker.send("in1", numbered(c.first, n));
        broker.send("in2", numbered(c.second, n));
      }
      broker.run();
    };
    DedupSurvey survey(1);
    DedupSurveyor surveyor(survey);
    broker.floor.surveyor = &surveyor;
    send(0);
    broker.floor.surveyor = nullptr;
    const auto advice = compile::advise_dedup(broker.compiled.plan, *broker.compiled.snapshot, {&surveyor, 1}, 1, kSecond);
    REQUIRE(advice.proposals_size() == 1);
    const auto& proposal = advice.proposals(0);
    v1::DedupDomain domain;
    domain.set_name("proposed");
    domain.mutable_ports()->CopyFrom(proposal.ports());
    domain.mutable_ignore()->CopyFrom(proposal.ignore());
    domain.set_window(proposal.window());
    domain.set_start(proposal.start());
    broker.apply(config(config::to_json(domain)));
    send(1000);
    uint64_t duplicates = 0;
    const auto ledger = broker.ledger();
    for (const auto& port : ledger.ports()) duplicates += port.received().duplicates().packets();
    CHECK(duplicates == 50);
  }
}
