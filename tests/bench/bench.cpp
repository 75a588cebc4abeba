// Figures of the packet path, in memory and on one core, each beside what it is compared with in the same run. Prints one JSON object a
// line; see tests/bench/run.
//
//   bench [SEED]                  nanoseconds a packet of every stage
//   bench --stage NAME LOOPS      runs one stage so often, for whoever counts instructions; prints how many packets that were
//   bench --list                  the stages' names
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "base/clock.h"
#include "tests/bench/stages.h"

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
    while (monotonic_ns() - begin < 20'000'000);
    times.push_back(static_cast<double>(monotonic_ns() - begin) / static_cast<double>(items));
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

void report(const std::string& name, double value, const std::string& versus = "", double other = 0) {
  std::printf(R"({"bench": "%s", "case": "%s", "value": %.2f, "unit": "ns/packet")", name.substr(0, name.find('/')).c_str(), name.c_str(),
              value);
  if (!versus.empty()) std::printf(R"(, "versus": "%s", "versus_value": %.2f, "ratio": %.3f)", versus.c_str(), other, other / value);
  std::printf("}\n");
  std::fflush(stdout);
}

/// So many copies of a packet by memcpy, out of and into as much memory as the frames have.
double copying_ns(uint32_t length, unsigned copies) {
  constexpr uint32_t kFrames = 4096;
  const FrameMemory from(kFrames, 11), to(kFrames, 11);
  for (uint32_t f = 0; f < kFrames; ++f) std::memset(from.chunk(f), 1, from.chunk_size());
  uint32_t source = 0, target = 0;
  return median_ns([&] {
    for (unsigned i = 0; i < kBurst; ++i, source = (source + 1) % kFrames)
      for (unsigned t = 0; t < copies; ++t, target = (target + 1) % kFrames) std::memcpy(to.chunk(target), from.chunk(source), length);
    return uint64_t{kBurst};
  });
}

/// A random cache line fetched ahead, read and written, and nothing else: what a table of that size costs whatever it does.
double line_ns(std::size_t bytes) {
  constexpr std::size_t kLine = 64, kHugePage = std::size_t{2} << 20;
  const std::unique_ptr<std::byte, decltype(&std::free)> memory(static_cast<std::byte*>(std::aligned_alloc(kHugePage, bytes)), &std::free);
  madvise(memory.get(), bytes, MADV_HUGEPAGE);
  std::memset(memory.get(), 1, bytes);
  std::mt19937_64 random(1);
  std::vector<std::size_t> at(std::size_t{1} << 20);
  for (auto& a : at) a = random() % (bytes / kLine) * kLine;
  std::size_t n = 0;
  constexpr std::size_t kAhead = 16;
  return median_ns([&] {
    for (unsigned i = 0; i < kBurst; ++i, ++n) {
      asm volatile("prefetchw %0" : : "m"(memory.get()[at[(n + kAhead) % at.size()]]));
      std::byte& line = memory.get()[at[n % at.size()]];
      line = static_cast<std::byte>(std::to_integer<unsigned>(line) + 1);
    }
    return uint64_t{kBurst};
  });
}

void measure(unsigned seed) {
  std::map<std::string, double> values;
  for (const auto& stage : bench::stages(seed)) {
    const double ns = values[stage.name] = median_ns(stage.make());
    unsigned tools = 0, length = 0;
    if (std::sscanf(stage.name.c_str(), "fanout/%u/%uB", &tools, &length) == 2)
      report(stage.name, ns, "memcpy alone", copying_ns(length, tools));
    else if (stage.name == "handover/two-workers/64B") report(stage.name, ns, "one worker", values["handover/one-worker/64B"]);
    else if (stage.name.starts_with("dedup/")) report(stage.name, ns, "a line of such a table fetched and written alone", line_ns(std::size_t{128} << 20));
    else if (stage.name.starts_with("pipeline/full16384/"))
      report(stage.name, ns, "writing its packets alone", values["pipeline/trace/" + stage.name.substr(stage.name.rfind('/') + 1)]);
    else report(stage.name, ns);
  }
  for (const unsigned length : {64U, 1518U}) {
    const std::string suffix = "/" + std::to_string(length) + "B";
    report("output-more" + suffix, (values["fanout/8" + suffix] - values["fanout/1" + suffix]) / 7, "memcpy alone", copying_ns(length, 1));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string word = argc > 1 ? argv[1] : "";
  constexpr unsigned kFixedSeed = 1;
  if (word == "--list" || (word == "--stage" && argc == 4)) {
    for (const auto& stage : bench::stages(kFixedSeed)) {
      if (word == "--list") std::printf("%s\n", stage.name.c_str());
      if (word == "--list" || stage.name != argv[2]) continue;
      const auto once = stage.make();
      uint64_t packets = 0;
      for (int i = std::stoi(argv[3]); i > 0; --i) packets += once();
      std::printf("%lu\n", packets);
      return 0;
    }
    return word == "--list" ? 0 : 1;
  }
  const unsigned seed = argc > 1 ? static_cast<unsigned>(std::stoul(word)) : std::random_device()();
  std::fprintf(stderr, "seed %u\n", seed);
  measure(seed);
  return 0;
}
