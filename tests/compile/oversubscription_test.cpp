#include "compile/oversubscription.h"

#include <doctest/doctest.h>

#include "tests/builders/broker.h"

using namespace sluice;

namespace {

constexpr uint64_t kGigabit = 1'000'000'000;

/// Warnings, where every port's link carries 10 Gb/s but for those named slow (1 Gb/s) and dark (not known).
std::vector<std::string> warnings(const std::string& tool, const std::string& maps, const std::string& groups = "") {
  compile::Compiler compiler;
  const auto compiled = compiler.compile(
      test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"}, {"name": "dark", "role": "NETWORK"},
        {"name": "t1", "role": "TOOL")" +
                        tool + R"(}, {"name": "slow", "role": "TOOL"}], "tool_groups": [)" + groups + R"(], "maps": [)" + maps + "]}"),
      1);
  REQUIRE_MESSAGE(compiled, compiled.error().message);
  return compile::oversubscriptions(
      *compiled, [](const compile::PortPlan& port) { return port.name == "dark" ? 0 : port.name == "slow" ? kGigabit : 10 * kGigabit; });
}

std::string map(const std::string& name, const std::string& sources, const std::string& destinations) {
  return R"({"name": ")" + name + R"(", "sources": {"ports": [)" + sources + R"(]}, "default_action": "PASS", "destinations": [)" + destinations + "]}";
}

}  // namespace

TEST_CASE("oversubscription: a tool port that its sources together can overrun is named with both figures") {
  CHECK(warnings("", map("m", R"("in1", "dark")", R"({"port": "t1"})")).empty());
  CHECK(warnings("", map("m", R"("in1", "in2")", R"({"port": "t1"})")) ==
        std::vector<std::string>{"ports/t1 may be sent 20 Gb/s by in1 and in2, and takes 10 Gb/s: what its buffer does not hold is dropped then"});
  // Sources of several maps count once: a tool gets one copy.
  CHECK(warnings("", map("m", R"("in1")", R"({"port": "t1"})") + "," + map("n", R"("in1")", R"({"port": "t1"})")).empty());
  CHECK(warnings("", map("m", R"("in1")", R"({"port": "t1"})") + "," + map("n", R"("in2")", R"({"port": "t1"})")).size() == 1);
}

TEST_CASE("oversubscription: rate limits count, the port's as what it takes and a destination's as what it is sent") {
  CHECK(warnings(R"(, "egress": {"rate_limit": "2500000000"})", map("m", R"("in1")", R"({"port": "t1"})")) ==
        std::vector<std::string>{"ports/t1 may be sent 10 Gb/s by in1, and takes 2.5 Gb/s: what its buffer does not hold is dropped then"});
  const std::string limited = R"({"port": "slow", "operations": {"rate_limit": "600000000"}})";
  CHECK(warnings("", map("m", R"("in1")", limited)).empty());
  CHECK(warnings("", map("m", R"("in1")", limited) + "," + map("n", R"("in2")", limited)) ==
        std::vector<std::string>{
            "ports/slow may be sent 1.2 Gb/s by destinations with a rate limit, and takes 1 Gb/s: what its buffer does not hold is dropped then"});
}

TEST_CASE("oversubscription: a tool group takes what its members take together") {
  const std::string group = R"({"name": "g", "members": [{"port": "t1"}, {"port": "slow"}]})";
  CHECK(warnings("", map("m", R"("in1")", R"({"tool_group": "g"})"), group).empty());
  CHECK(warnings("", map("m", R"("in1", "in2")", R"({"tool_group": "g"})"), group) ==
        std::vector<std::string>{"tool_groups/g may be sent 20 Gb/s by in1 and in2, and takes 11 Gb/s: what its buffer does not hold is dropped then"});
}

TEST_CASE("oversubscription: a queue of which bursts needed half is told, with how much that was") {
  CHECK(compile::burst_warning(49).empty());
  CHECK(compile::burst_warning(50).find("filled a queue of it to 50 %") != std::string::npos);
}
