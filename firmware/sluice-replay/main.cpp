// The offline twin: the same engine, on capture files, single-threaded and on the captures' own time.
#include <sodium.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "compile/compile.h"
#include "compile/report.h"
#include "config/proto_json.h"
#include "config/resources.h"
#include "config/validate.h"
#include "engine/pipeline.h"
#include "port/capture_port.h"

namespace {

using namespace sluice;

/// Enough for a burst in hand and every copy of it; a sink sends at once.
constexpr uint32_t kFrames = 1024;

/// Bytes for all deduplication domains together.
constexpr std::size_t kDedupMemory = std::size_t{256} << 20;

struct Options {
  std::string config;
  std::vector<std::string> in;
  std::string out;
  std::string ledger;
  bool explain = false;
};

[[noreturn]] void fail(const Error& error) {
  std::cerr << "sluice-replay: " << (error.field_path.empty() ? "" : error.field_path + ": ") << error.message << "\n";
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result) fail(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

v1::Config load_config(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail({ErrorCode::kInvalid, path, "cannot be read"});
  std::stringstream text;
  text << file.rdbuf();
  v1::Config config;
  must(config::from_json(text.str(), config));
  // Whatever ids the file has are those of another broker: here names alone count.
  for (const auto* collection : config::collections())
    for (int i = 0; i < config::count(config, collection); ++i) {
      auto& m = config::mutable_resource(config, collection, i);
      m.GetReflection()->ClearField(&m, m.GetDescriptor()->FindFieldByName("id"));
    }
  uint64_t next = 0;
  must(config::complete(config, {}, [&next] { return "replay-" + std::to_string(++next); }));
  must(config::validate(config));
  return config;
}

/// The front panel: a capture to read for each --in, a capture to write for each port that sends.
struct Panel {
  explicit Panel(const FrameMemory& memory) : timeline(memory) {}
  CaptureTimeline timeline;
  std::map<std::string, std::unique_ptr<CaptureSource>> sources;
  std::map<std::string, std::unique_ptr<CaptureSink>> sinks;
};

void plug_in(const Options& options, const compile::Plan& plan, const FrameMemory& memory, Floor& floor, Panel& panel) {
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  if (error) fail({ErrorCode::kInvalid, "--out " + options.out, "cannot be made: " + error.message()});
  std::map<std::string, std::string> files;
  for (const auto& in : options.in) {
    const auto equals = in.find('=');
    if (equals == std::string::npos) fail({ErrorCode::kInvalid, "--in " + in, "must be PORT=FILE"});
    if (!files.emplace(in.substr(0, equals), in.substr(equals + 1)).second)
      fail({ErrorCode::kInvalid, "--in " + in, "the port has a file already; join them with mergecap first"});
  }
  for (const auto& port : plan.ports) {
    if (const auto file = files.find(port.name); file != files.end()) {
      if (!port.receives()) fail({ErrorCode::kInvalid, "--in " + port.name, "the port receives nothing: it is a tool port or disabled"});
      auto& source = panel.sources[port.name];
      source = must(CaptureSource::open(file->second, memory, panel.timeline));
      floor.inlets.push_back({.port = port.slot, .queue = source.get()});
      files.erase(file);
    }
    if (port.sends()) {
      auto& sink = panel.sinks[port.name];
      sink = must(CaptureSink::create(options.out + "/" + port.name + ".pcap", panel.timeline));
      // What a capture holds was on a wire once: no MTU stands in its way here.
      floor.outlets[port.slot] = {.open = true, .queue = sink.get(), .copies = std::make_unique<ToolQueue>()};
      floor.open_outlets.push_back(port.slot);
    }
  }
  if (!files.empty()) fail({ErrorCode::kInvalid, "--in " + files.begin()->first, "the configuration has no such port"});
}

template <class Observer>
void replay(const Snapshot& snapshot, Floor& floor, const Panel& panel, auto&& after_burst) {
  Pipeline<Observer> pipeline(floor);
  while (!panel.timeline.at_end()) {
    floor.replay_ns = UINT64_MAX;
    for (const auto& [port, source] : panel.sources)
      if (!source->at_end()) floor.replay_ns = std::min(*floor.replay_ns, source->next_ns());
    pipeline.run_once(snapshot);
    after_burst(pipeline.observer());
  }
  // Fragments whose first one is not in the captures have waited for it.
  for (const auto& fragment : floor.fragments.waiting()) floor.replay_ns = std::max(floor.replay_ns.value_or(0), fragment.until_ns);
  while (pipeline.run_once(snapshot) || !floor.fragments.waiting().empty()) after_burst(pipeline.observer());
}

void print_explanations(const compile::Plan& plan, Tracer& tracer, uint64_t& number) {
  for (const auto& steps : tracer.packets) {
    const auto explanation = compile::report_trace(plan, steps);
    std::cout << "packet " << ++number << " on " << explanation.port() << "\n";
    for (const auto& step : explanation.steps()) {
      std::cout << "  " << step.stage() << ": ";
      if (!step.map().empty()) std::cout << "map " << step.map() << ": ";
      if (!step.port().empty() && step.stage() != "parse") std::cout << step.port() << ": ";
      std::cout << step.text() << "\n";
    }
  }
  tracer.packets.clear();
}

int run(const Options& options) {
  const v1::Config config = load_config(options.config);
  compile::Compiler compiler;
  const compile::Compiled compiled = must(compiler.compile(config, 1));
  // A capture takes packets as fast as they come; what destinations are limited to is kept, on the captures' own time.
  compiled.snapshot->shapers.fill(nullptr);
  const auto dedup_bytes = must(compile::share_dedup_memory(compiled.plan.domains, kDedupMemory));
  must(compile::give_dedup_memory(*compiled.snapshot, compiled.plan.domains, dedup_bytes, false));
  const FrameLayout layout{.workers = 1, .frames_per_worker = kFrames};
  const FrameMemory memory(layout.total(), kCaptureChunkShift);
  Floor floor(layout, 0);
  floor.pool.add(MemoryClass::kCopy);
  Panel panel(memory);
  plug_in(options, compiled.plan, memory, floor, panel);

  if (options.explain) {
    uint64_t number = 0;
    replay<Tracer>(*compiled.snapshot, floor, panel, [&](Tracer& t) { print_explanations(compiled.plan, t, number); });
  } else {
    replay<Unwatched>(*compiled.snapshot, floor, panel, [](auto&) {});
  }

  for (auto& [name, sink] : panel.sinks) must(sink->finish());
  const auto ledger = compile::report_ledger(compiled.plan, {}, {&floor.book, 1}, compiled.snapshot->used, {}, floor.pool.census().lost());
  if (!options.ledger.empty()) {
    std::ofstream file(options.ledger);
    file << config::to_json_pretty(ledger);
    if (!file.flush()) fail({ErrorCode::kInternal, options.ledger, "cannot be written"});
  }
  int code = 0;
  for (const auto& [name, source] : panel.sources)
    if (!source->damage().empty()) {
      std::cerr << "sluice-replay: " << source->damage() << "; the packets before it were replayed\n";
      code = 2;
    }
  if (ledger.unaccounted() != 0) {
    std::cerr << "sluice-replay: the ledger does not balance: " << ledger.unaccounted() << " unaccounted\n";
    code = 3;
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  if (sodium_init() < 0) return 1;
  Options options;
  CLI::App app{
      "Runs captures through a Sluice configuration, as the broker would. Writes DIR/PORT.pcap for every tool port.\n"
      "Exit status: 0, or 1: nothing was replayed, 2: a capture is damaged, 3: the ledger does not balance."};
  app.add_option("--config", options.config, "the configuration, as GET /api/v1/config gives it")->required();
  app.add_option("--in", options.in, "PORT=FILE: what the port receives (pcap or pcapng); again for more ports")->required();
  app.add_option("--out", options.out, "folder for the tool ports' captures")->required();
  app.add_option("--ledger", options.ledger, "write the ledger here, as JSON");
  app.add_flag("--explain", options.explain, "say for every packet what happened to it and why");
  CLI11_PARSE(app, argc, argv);
  return run(options);
}
