// Figures of the packet path, in memory and on one core: parse, classify, fan-out, each beside what it is compared with in the same run.
// Prints one JSON object a line; see tests/bench/run.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "compile/compile.h"
#include "config/proto_json.h"
#include "config/resources.h"
#include "engine/pipeline.h"
#include "port/frame_memory.h"
#include "tests/builders/compiled.h"
#include "tests/builders/packet_builder.h"

namespace {

using namespace sluice;

/// Nanoseconds an item: the median of `runs`, each long enough for the clock not to matter.
double median_ns(const std::function<uint64_t()>& work, unsigned runs = 9) {
  std::vector<double> times;
  work();  // warm
  for (unsigned r = 0; r < runs; ++r) {
    uint64_t items = 0;
    const uint64_t begin = monotonic_ns();
    do items += work();
    while (monotonic_ns() - begin < 30'000'000);
    times.push_back(static_cast<double>(monotonic_ns() - begin) / static_cast<double>(items));
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

void report(const std::string& bench, const std::string& name, double value, const std::string& versus = "", double other = 0) {
  std::printf(R"({"bench": "%s", "case": "%s", "value": %.2f, "unit": "ns/packet")", bench.c_str(), name.c_str(), value);
  if (!versus.empty()) std::printf(R"(, "versus": "%s", "versus_value": %.2f, "ratio": %.3f)", versus.c_str(), other, other / value);
  std::printf("}\n");
  std::fflush(stdout);
}

std::vector<std::byte> packet(std::mt19937& random, std::size_t size, bool v6) {
  const auto port = [&] { return static_cast<uint16_t>(random()); };
  const auto octet = [&] { return std::to_string(random() % 256); };
  test::Packet p;
  p.ethernet();
  if (v6) p.ipv6("2001:db8::" + std::to_string(random() % 9999), "2001:db8::" + std::to_string(random() % 9999));
  else p.ipv4("10." + octet() + "." + octet() + "." + octet(), "192.168." + octet() + "." + octet());
  return p.tcp(port(), port()).pad_to(size).bytes();
}

/// A port that receives the same frames for ever and sends into nothing: what remains is the pipeline.
class EndlessPort final : public PortQueue {
 public:
  EndlessPort(const FrameMemory& memory, uint32_t length) : memory_(memory), length_(length) {}
  void rx_burst(Burst& burst, FramePool& pool) override {
    burst.clear();
    while (burst.size < kBurst && pool.free(MemoryClass::kCopy) > 0) {
      const uint32_t index = pool.lend(MemoryClass::kCopy, 0);
      pool.received(index);
      burst.add({memory_.chunk(index), length_, index}, 0);
    }
  }
  void refill(FramePool&) override {}
  unsigned tx_burst(std::span<const Frame> frames) override {
    const auto n = std::min(frames.size(), done_.size() - posted_);
    for (std::size_t i = 0; i < n; ++i) done_[posted_ + i] = frames[i].index;
    posted_ += n;
    return static_cast<unsigned>(n);
  }
  bool tx_chain(std::span<const Frame>) override { return false; }
  unsigned reap(std::span<uint32_t> done) override {
    const auto n = std::min(done.size(), posted_ - reaped_);
    std::copy_n(done_.begin() + static_cast<std::ptrdiff_t>(reaped_), n, done.begin());
    reaped_ += n;
    if (reaped_ == posted_) reaped_ = posted_ = 0;
    return static_cast<unsigned>(n);
  }
  void kick() override {}
  [[nodiscard]] int wait_fd() const override { return -1; }

 private:
  const FrameMemory& memory_;
  uint32_t length_;
  std::array<uint32_t, 2048> done_{};
  std::size_t posted_ = 0, reaped_ = 0;
};

void bench_parse(unsigned seed) {
  for (const std::size_t size : {64U, 1518U})
    for (const bool v6 : {false, true}) {
      if (v6 && size == 64) continue;  // Ethernet, IPv6 and TCP are 74 bytes
      std::mt19937 random(seed);
      static Burst bursts[16];
      std::vector<std::vector<std::byte>> packets;
      for (auto& burst : bursts) {
        burst.size = kBurst;
        for (unsigned i = 0; i < kBurst; ++i) {
          packets.push_back(packet(random, size, v6));
          burst.frames[i] = {packets.back().data(), static_cast<uint32_t>(packets.back().size()), 0};
        }
      }
      const double ns = median_ns([] {
        for (auto& burst : bursts) parse_burst(burst);
        return uint64_t{16} * kBurst;
      });
      report("parse", std::string("parse/") + (v6 ? "ipv6-tcp/" : "ipv4-tcp/") + std::to_string(size) + "B", ns);
    }
}

void bench_classify(unsigned seed) {
  for (const unsigned rules : {10U, 1000U})
    for (const bool hit : {true, false}) {
      std::mt19937 random(seed);
      std::string list;
      for (unsigned r = 0; r < rules; ++r)
        list += std::string(r ? "," : "") + R"({"match": {"ip": {"src": ["10.)" + std::to_string(r % 256) + "." + std::to_string(r / 256) +
                R"(.0/24"], "protocol": ["tcp"]}, "l4": {"dst_port": [")" + std::to_string(r) + R"("]}}, "action": "PASS"})";
      const auto compiled = test::compile_json(
          R"({"ports": [{"name": "in1", "role": "NETWORK"}], "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "rules": [)" + list +
          "]}]}");
      Burst burst;
      std::vector<std::vector<std::byte>> packets;
      burst.size = kBurst;
      for (unsigned i = 0; i < kBurst; ++i) {
        const auto r = static_cast<unsigned>(random() % rules);
        const std::string source = hit ? "10." + std::to_string(r % 256) + "." + std::to_string(r / 256) + ".9" : "172.16.0.1";
        packets.push_back(test::Packet().ethernet().ipv4(source, "192.0.2.1").tcp(1025, static_cast<uint16_t>(r)).pad_to(64).bytes());
        burst.frames[i] = {packets.back().data(), 64, 0};
      }
      parse_burst(burst);
      VerdictBuffer verdicts(1);
      const double ns = median_ns([&] {
        compiled.snapshot->classifier.classify(burst, compiled.plan.ports[0].slot, verdicts);
        return uint64_t{kBurst};
      });
      report("classify", "classify/" + std::to_string(rules) + (hit ? "/hit" : "/miss"), ns);
    }
}

/// The whole pipeline of one map that passes everything to n tools, beside a memcpy of the packet for each of them.
void bench_fanout(unsigned seed) {
  constexpr uint32_t kFrames = 4096;
  for (const uint32_t size : {64U, 1518U})
    for (const unsigned tools : {1U, 2U, 4U, 8U}) {
      std::mt19937 random(seed);
      std::string ports = R"({"name": "in1", "role": "NETWORK"})", destinations;
      for (unsigned t = 1; t <= tools; ++t) {
        ports += R"(,{"name": "t)" + std::to_string(t) + R"(", "role": "TOOL"})";
        destinations += std::string(t == 1 ? "" : ",") + R"({"port": "t)" + std::to_string(t) + R"("})";
      }
      const auto compiled =
          test::compile_json(R"({"ports": [)" + ports +
                       R"(], "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [)" +
                       destinations + "]}]}");
      const FrameMemory memory(kFrames, 11);
      for (uint32_t f = 0; f < kFrames; ++f) {
        const auto bytes = packet(random, size, false);
        std::copy(bytes.begin(), bytes.end(), memory.chunk(f));
      }
      Floor floor({.workers = 1, .frames_per_worker = kFrames}, 0);
      floor.pool.add(MemoryClass::kCopy);
      std::vector<std::unique_ptr<EndlessPort>> queues;
      for (const auto& port : compiled.plan.ports) {
        queues.push_back(std::make_unique<EndlessPort>(memory, size));
        if (port.receives()) floor.inlets.push_back({.port = port.slot, .queue = queues.back().get()});
        if (port.sends()) {
          floor.outlets[port.slot] = {.open = true, .queue = queues.back().get(), .copies = std::make_unique<ToolQueue>()};
          floor.open_outlets.push_back(port.slot);
        }
      }
      Pipeline<Unwatched> pipeline(floor);
      const double ns = median_ns([&] {
        for (int i = 0; i < 32; ++i) pipeline.run_once(*compiled.snapshot);
        return uint64_t{32} * kBurst;
      });
      // The same number of copies by memcpy, out of and into as much memory as the frames have.
      const FrameMemory copies(kFrames, 11);
      uint32_t from = 0, to = 0;
      const double copying = median_ns([&] {
        for (unsigned i = 0; i < kBurst; ++i, from = (from + 1) % kFrames)
          for (unsigned t = 0; t < tools; ++t, to = (to + 1) % kFrames) std::memcpy(copies.chunk(to), memory.chunk(from), size);
        return uint64_t{kBurst};
      });
      if (compiled.snapshot->revision == 0 || floor.book.port(compiled.plan.ports[0].slot).unaccounted() != 0) std::abort();
      report("fanout", "fanout/" + std::to_string(tools) + "/" + std::to_string(size) + "B", ns, "memcpy alone", copying);
    }
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = argc > 1 ? static_cast<unsigned>(std::stoul(argv[1])) : std::random_device()();
  std::fprintf(stderr, "seed %u\n", seed);
  bench_parse(seed);
  bench_classify(seed);
  bench_fanout(seed);
  return 0;
}
