// A whole broker in memory for tests: a configuration as JSON, memory ports, the pipeline.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
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

  explicit Broker(const std::string& config_json, Observer observer = {}) : pipeline(floor, std::move(observer)) { apply(config_json); }

  /// A new revision; ports that it adds are opened.
  void apply(const std::string& config_json) {
    auto result = compiler.compile(make_config(config_json), ++revision_);
    REQUIRE_MESSAGE(result, result.error().field_path, ": ", result.error().message);
    compiled = std::move(*result);
    for (const auto& plan : compiled.plan.ports) {
      auto& port = ports[plan.name];
      if (port) continue;
      port = std::make_unique<MemoryPort>(memory, plan.slot);
      if (plan.receives()) floor.inlets.push_back({plan.slot, port.get()});
      if (plan.sends()) {
        floor.outlets[plan.slot] = {port.get(), std::make_unique<ToolQueue>()};
        floor.open_outlets.push_back(plan.slot);
      }
    }
  }
  void send(const std::string& port, const Packet& packet) { ports.at(port)->arrive(packet.bytes()); }
  void run() {
    while (pipeline.run_once(*compiled.snapshot)) {
    }
  }
  [[nodiscard]] std::size_t got(const std::string& port) const { return ports.at(port)->sent().size(); }
  [[nodiscard]] v1::Ledger ledger() {
    return compile::report_ledger(compiled.plan, {}, {&floor.book, 1}, compiled.snapshot->used, {}, floor.pool.census().lost());
  }

  FrameMemory memory{kFrames, 11};
  Floor floor{0, kFrames};
  std::map<std::string, std::unique_ptr<MemoryPort>> ports;
  compile::Compiler compiler;
  compile::Compiled compiled;
  Pipeline<Observer> pipeline;

 private:
  uint64_t revision_ = 0;
};

}  // namespace sluice::test
