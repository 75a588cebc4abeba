#include "compile/oversubscription.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdio>
#include <map>

namespace sluice::compile {
namespace {

/// "10 Gb/s", "2.5 Gb/s", "800 Mb/s".
std::string text_of(uint64_t bits_per_second) {
  static constexpr std::array kUnits = {"b/s", "kb/s", "Mb/s", "Gb/s", "Tb/s"};
  auto value = static_cast<double>(bits_per_second);
  unsigned unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g %s", value, kUnits[unit]);
  return text.data();
}

/// "in1, in2 and 5 more".
std::string names_of(const std::vector<std::string>& names) {
  constexpr std::size_t kNamed = 3;
  std::string out = names.front();
  const std::size_t named = std::min(names.size(), kNamed);
  for (std::size_t i = 1; i < named; ++i) out += (i + 1 == names.size() ? " and " : ", ") + names[i];
  return names.size() > named ? out + " and " + std::to_string(names.size() - named) + " more" : out;
}

/// What one tool port or group may be sent.
struct Demand {
  std::bitset<kMaxPorts> sources;  ///< of destinations without a limit: what all of them send, a tool gets once
  uint64_t limited = 0;            ///< bits per second that limits of destinations let through
};

}  // namespace

std::vector<std::string> oversubscriptions(const Compiled& compiled, const LinkSpeed& speed_of) {
  const Snapshot& snapshot = *compiled.snapshot;
  std::array<uint64_t, kMaxPorts> speeds{};
  for (const auto& port : compiled.plan.ports)
    if (port.enabled) speeds[port.slot] = speed_of(port);
  const auto sum = [&](const std::bitset<kMaxPorts>& ports) {
    uint64_t out = 0;
    for (PortSlot p = 0; p < kMaxPorts; ++p) out += ports[p] ? speeds[p] : 0;
    return out;
  };
  /// 0: not known.
  const auto capacity = [&](PortSlot port) {
    const uint64_t limit = snapshot.shapers[port] ? snapshot.shapers[port]->rate() : 0;
    return limit > 0 && speeds[port] > 0 ? std::min(limit, speeds[port]) : std::max(limit, speeds[port]);
  };

  std::map<PortSlot, Demand> of_port;
  std::map<uint32_t, Demand> of_group;
  for (std::size_t m = 0; m < snapshot.maps.size(); ++m) {
    const auto& sources = snapshot.classifier.maps()[m].ports;
    for (const auto& destination : snapshot.maps[m].destinations) {
      Demand& demand = destination.port != kNoPort ? of_port[destination.port] : of_group[destination.group];
      if (destination.limit) demand.limited += std::min(destination.limit->rate(), sum(sources));
      else demand.sources |= sources;
    }
  }

  std::vector<std::string> out;
  const auto compare = [&](const std::string& what, const Demand& demand, uint64_t takes) {
    const uint64_t sent = sum(demand.sources) + demand.limited;
    if (takes == 0 || sent <= takes) return;
    std::vector<std::string> names;
    for (const auto& port : compiled.plan.ports)
      if (demand.sources[port.slot]) names.push_back(port.name);
    if (demand.limited > 0) names.emplace_back("destinations with a rate limit");
    out.push_back(what + " may be sent " + text_of(sent) + " by " + names_of(names) + ", and takes " + text_of(takes) +
                  ": what its buffer does not hold is dropped then");
  };
  for (const auto& [port, demand] : of_port) compare("ports/" + compiled.plan.port(port)->name, demand, capacity(port));
  for (const auto& [group, demand] : of_group) {
    uint64_t takes = 0;
    for (const PortSlot member : snapshot.groups[group].members) takes += capacity(member);
    compare("tool_groups/" + compiled.plan.groups[group].name, demand, takes);
  }
  return out;
}

std::string burst_warning(unsigned fullest) {
  if (fullest < 50) return "";
  return "bursts of the last ten minutes filled a queue of it to " + std::to_string(fullest) +
         " %: what does not fit is dropped. Give the port a larger buffer, or send it less";
}

}  // namespace sluice::compile
