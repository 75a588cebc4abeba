// Domains in the configuration: what is refused and why, and the memory that each gets.
#include "compile/dedup.h"

#include <doctest/doctest.h>

#include "tests/builders/broker.h"

using namespace sluice;

namespace {

std::string refusal(const std::string& domains) {
  compile::Compiler compiler;
  const auto compiled = compiler.compile(
      test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}],
        "dedup_domains": [)" + domains + "]}"),
      1);
  return compiled ? "" : compiled.error().field_path + ": " + compiled.error().message;
}

constexpr std::size_t kMebibyte = std::size_t{1} << 20;
constexpr uint64_t kMs = 1'000'000;

}  // namespace

TEST_CASE("dedup domains: what can't be is refused with the field and the reason") {
  CHECK(refusal(R"({"name": "d", "ports": ["in1", "in2"]}, {"name": "e", "ports": []})").empty());
  CHECK(refusal(R"({"name": "d", "ports": ["in1"]}, {"name": "e", "ports": ["in2", "in1"]})") ==
        R"(dedup_domains[1].ports[1]: "in1" is in the domain "d" already)");
  CHECK(refusal(R"({"name": "d", "ports": ["in1", "in1"]})") == R"(dedup_domains[0].ports[1]: "in1" is in this domain already)");
  CHECK(refusal(R"({"name": "d", "ports": ["t1"]})").starts_with("dedup_domains[0].ports[0]: \"t1\" is a tool port"));
  CHECK(refusal(R"({"name": "d", "ignore": ["NONE", "VLAN"]})") == "dedup_domains[0].ignore: NONE stands alone: with it nothing is ignored");
}

TEST_CASE("dedup domains: without a word VLAN and TTL are ignored; NONE ignores nothing; what stands twice is refused") {
  const auto config = test::make_config(R"({"dedup_domains": [{"name": "d"}, {"name": "e", "ignore": ["NONE"]}]})");
  CHECK(config.dedup_domains(0).ignore_size() == 2);
  CHECK(*compile::comparison_of(config.dedup_domains(0), "") == Comparison());
  CHECK(*compile::comparison_of(config.dedup_domains(1), "") == Comparison(DedupStart::kL3, 0));
  v1::Config twice;
  REQUIRE(config::from_json(R"({"dedup_domains": [{"name": "d", "ignore": ["VLAN", "VLAN"]}]})", twice));
  REQUIRE(config::complete(twice, {}, [] { return "id"; }));
  const auto valid = config::validate(twice);
  REQUIRE_FALSE(valid);
  CHECK(valid.error().field_path == "dedup_domains[0].ignore[1]");
}

TEST_CASE("dedup memory: a domain gets what its ports and window need, or its part of what there is") {
  const std::vector<compile::DomainPlan> one{{"1", "d", 1, 50 * kMs}};
  const std::vector<compile::DomainPlan> three{{"1", "d", 1, 50 * kMs}, {"2", "e", 4, 50 * kMs}, {"3", "f", 1, 10'000}};
  const auto full = compile::share_dedup_memory(one, 1024 * kMebibyte);
  REQUIRE(full);
  CHECK(*full == std::vector<std::size_t>{128 * kMebibyte});
  const auto shared = compile::share_dedup_memory(three, 1024 * kMebibyte);
  REQUIRE(shared);
  CHECK(*shared == std::vector<std::size_t>{128 * kMebibyte, 512 * kMebibyte, 16 * kMebibyte});
  const auto tight = compile::share_dedup_memory(three, 64 * kMebibyte);
  REQUIRE(tight);
  CHECK((*tight)[0] + (*tight)[1] + (*tight)[2] <= 64 * kMebibyte);
  CHECK((*tight)[1] == 4 * (*tight)[0]);
  const auto none = compile::share_dedup_memory(three, 100'000);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ErrorCode::kExhausted);
  CHECK(none.error().message == "3 domains need 196608 bytes at least, and there are 100000; start sluiced with a larger --dedup-memory");
}

TEST_CASE("dedup memory: at the rate that the cost states, one packet in a thousand makes the table forget another") {
  const std::vector<compile::DomainPlan> plan{{"1", "d", 1, 50 * kMs}};
  v1::Cost cost;
  compile::report_cost(plan, {kMebibyte}, 2 * kMebibyte, cost);
  REQUIRE(cost.dedup_size() == 1);
  CHECK(cost.dedup(0).domain() == "d");
  CHECK(cost.dedup(0).bytes() == kMebibyte);
  auto table = DedupTable::make(kMebibyte, false);
  REQUIRE(table);
  const uint64_t gap = 1'000'000'000 / cost.dedup(0).packets_per_second();
  uint64_t forgotten = 0, fingerprint = 1;
  constexpr uint64_t kPackets = 400'000;
  for (uint64_t n = 0; n < kPackets; ++n) {
    fingerprint = (fingerprint ^ fingerprint >> 31) * 0x9E3779B97F4A7C15U + n;
    forgotten += table->look_up(fingerprint | 1, 1'000'000'000 + n * gap, 50 * kMs) == DedupTable::Answer::kFirstEvicted;
  }
  CHECK(forgotten > kPackets / 1000 * 6 / 10);
  CHECK(forgotten < kPackets / 1000 * 14 / 10);
}
