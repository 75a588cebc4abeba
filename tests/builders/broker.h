// A whole broker in memory for tests: a configuration as JSON, memory ports, the pipeline.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "compile/compile.h"
#include "compile/report.h"
#include "config/proto_json.h"
#include "config/resources.h"
#include "config/validate.h"
#include "engine/pipeline.h"
#include "port/memory_port.h"
#include "tests/builders/packet_builder.h"

namespace sluice::test {

/// A Config from JSON, completed and validated, with ids t-1, t-2 ... Fails the test if it is refused.
inline v1::Config make_config(const std::string& json) {
  v1::Config config;
  const auto parsed = config::from_json(json, config);
  REQUIRE_MESSAGE(parsed, parsed.error().field_path, ": ", parsed.error().message);
  uint64_t next = 0;
  const auto completed = config::complete(config, {}, [&next] { return "t-" + std::to_string(++next); });
  REQUIRE_MESSAGE(completed, completed.error().field_path, ": ", completed.error().message);
  const auto valid = config::validate(config);
  REQUIRE_MESSAGE(valid, valid.error().field_path, ": ", valid.error().message);
  return config;
}

template <class Observer = Unwatched>
class Broker {
 public:
  static constexpr uint32_t kFrames = 4096;
  static constexpr std::size_t kDedupMemory = std::size_t{1} << 20;  ///< bytes of each domain

  explicit Broker(const std::string& config_json, Observer observer = {}) : pipeline(floor, std::move(observer)) {
    floor.pool.add(MemoryClass::kCopy);
    floor.replay_ns = 0;  // time passes when the test says so
    apply(config_json);
  }

  /// A new revision; ports that it adds are opened.
  void apply(const std::string& config_json) {
    auto result = compiler.compile(make_config(config_json), ++revision_);
    REQUIRE_MESSAGE(result, result.error().field_path, ": ", result.error().message);
    const std::vector<std::size_t> bytes(result->plan.domains.size(), kDedupMemory);
    REQUIRE(compile::give_dedup_memory(*result->snapshot, result->plan.domains, bytes, false,
                                       compiled.snapshot ? compiled.snapshot->domains : std::vector<DedupDomain>(), compiled.plan.domains));
    compiled = std::move(*result);
    for (const auto& plan : compiled.plan.ports) {
      auto& port = ports[plan.name];
      if (port) continue;
      port = std::make_unique<MemoryPort>(memory);
      plug_in(plan, *port);
    }
  }
  /// Puts a queue of any kind where a port is: a FakePort in the place of the memory port.
  void plug_in(const compile::PortPlan& plan, PortQueue& queue) {
    std::erase_if(floor.inlets, [&](const Inlet& inlet) { return inlet.port == plan.slot; });
    std::erase(floor.open_outlets, plan.slot);
    if (plan.receives()) floor.inlets.push_back({.port = plan.slot, .queue = &queue});
    if (!plan.sends()) return;
    const uint32_t buffer = plan.buffer > 0 ? plan.buffer : kToolQueue;
    floor.outlets[plan.slot] = {.open = true,
                                .queue = &queue,
                                .copies = std::make_unique<ToolQueue>(buffer),
                                .max_length = plan.mtu + compile::kLinkHeader,
                                .quota = buffer};
    floor.open_outlets.push_back(plan.slot);
  }
  [[nodiscard]] const compile::PortPlan& plan(const std::string& port) const {
    for (const auto& p : compiled.plan.ports)
      if (p.name == port) return p;
    throw std::out_of_range(port);
  }
  void send(const std::string& port, const Packet& packet) { ports.at(port)->arrive(packet.bytes()); }
  /// All that can be done at once.
  void work() {
    while (pipeline.run_once(*compiled.snapshot)) {
    }
  }
  void pass_time(uint64_t nanoseconds) { *floor.replay_ns += nanoseconds; }
  /// Until nothing is left to do, however long that takes.
  void run() {
    work();
    while (!floor.fragments.waiting().empty()) {
      pass_time(Fragments::kLongestWait);
      work();
    }
  }
  [[nodiscard]] std::size_t got(const std::string& port) const { return ports.at(port)->sent().size(); }
  [[nodiscard]] v1::Ledger ledger() {
    return compile::report_ledger(compiled.plan, {}, {&floor.book, 1}, compiled.snapshot->used, {}, floor.pool.census().lost());
  }

  FrameLayout layout{.workers = 1, .frames_per_worker = kFrames};
  FrameMemory memory{kFrames, 11};
  Floor floor{layout, 0};
  std::map<std::string, std::unique_ptr<MemoryPort>> ports;
  compile::Compiler compiler;
  compile::Compiled compiled;
  Pipeline<Observer> pipeline;

 private:
  uint64_t revision_ = 0;
};

}  // namespace sluice::test
