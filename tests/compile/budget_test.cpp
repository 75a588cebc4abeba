#include "compile/budget.h"

#include <doctest/doctest.h>

#include "engine/tool_queue.h"
#include "packet/frame.h"

using namespace sluice;
using compile::PortPlan;

namespace {

compile::Plan plan_of(unsigned receiving, unsigned sending, uint32_t mtu = 1500) {
  compile::Plan plan;
  for (unsigned i = 0; i < receiving; ++i) plan.ports.push_back({.role = v1::PortRole::NETWORK, .mtu = mtu});
  for (unsigned i = 0; i < sending; ++i) plan.ports.push_back({.role = v1::PortRole::TOOL, .mtu = mtu});
  return plan;
}

}  // namespace

TEST_CASE("budget: whatever is granted fits into the frames, and nothing below the least is granted") {
  for (unsigned receiving = 0; receiving < 40; ++receiving)
    for (unsigned sending = 0; sending < 64; ++sending)
      for (const uint32_t frames : {4096U, 16384U, 65536U, 262144U}) {
        CAPTURE(receiving);
        CAPTURE(sending);
        CAPTURE(frames);
        const uint32_t workers = 1 + (receiving + sending) % 8;
        const uint64_t queues = uint64_t{sending} * workers;
        const auto shares = compile::share_out(plan_of(receiving, sending), frames, workers);
        const uint64_t least = kBurst + uint64_t{receiving} * compile::kMinFillReserve + queues * compile::kMinQuota;
        REQUIRE(static_cast<bool>(shares) == (receiving + sending == 0 || least <= frames));
        if (!shares) continue;
        const auto& share = shares->single_buffer;
        if (receiving > 0) CHECK((share.fill >= compile::kMinFillReserve && share.fill <= compile::kFillRing));
        if (sending > 0) CHECK((share.queue >= compile::kMinQuota && share.queue <= kToolQueue));
        if (receiving > 0 || sending > 0)
          CHECK(kBurst + uint64_t{receiving} * share.fill * (receiving > 0) + queues * share.queue <= frames);
      }
}

TEST_CASE("budget: what exceeds the frames is refused with the sum and the remedy") {
  const auto refused = compile::share_out(plan_of(30, 10), 65536, 2);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kExhausted);
  CHECK(refused.error().field_path == "ports");
  CHECK(refused.error().message.find("need 66624 frames a worker") != std::string::npos);  // 64 + 30 * 2048 + 10 * 2 * 256
  CHECK(refused.error().message.find("--frames") != std::string::npos);
}

TEST_CASE("budget: ports with a large MTU have memory of their own") {
  auto plan = plan_of(20, 10);
  for (const auto& port : plan_of(20, 10, 9000).ports) plan.ports.push_back(port);
  CHECK(compile::share_out(plan, 65536, 1));
}

TEST_CASE("budget: a port that is given a buffer has it in every worker, the others share what is left, and too many buffers are refused with the sum") {
  auto plan = plan_of(2, 3);
  for (std::size_t i = 0; i < plan.ports.size(); ++i) plan.ports[i].slot = static_cast<PortSlot>(i);
  plan.ports[2].buffer = 10'000;
  const auto shares = compile::share_out(plan, 32768, 2);
  REQUIRE(shares);
  CHECK(shares->of(plan.ports[2]).queue == 10'000);
  const uint32_t others = shares->of(plan.ports[3]).queue;
  CHECK(others >= compile::kMinQuota);
  CHECK(kBurst + 2 * shares->of(plan.ports[0]).fill + 2 * 10'000 + 4 * others <= 32768);
  plan.ports[2].buffer = 20'000;
  const auto refused = compile::share_out(plan, 32768, 2);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("40000 for buffers") != std::string::npos);
  CHECK(refused.error().message.find("need 45184 frames a worker") != std::string::npos);  // 64 + 2 * 2048 + 40000 + 4 * 256
}
