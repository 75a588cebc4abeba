// Slots of what is no longer configured.
#include "compile/compile.h"

namespace sluice::compile {

std::vector<Compiler::Retired> Compiler::retired(const Plan& in_force) const {
  std::vector<bool> ports(ports_.used()), legs(legs_.used()), maps(maps_.used()), rules(rules_.used());
  for (const auto& port : in_force.ports) ports[port.slot] = true;
  for (const auto& map : in_force.maps) {
    maps[map.slot] = true;
    for (const auto& rule : map.rules) rules[rule.slot] = true;
    for (const auto& destination : map.destinations)
      for (const auto& leg : destination.legs) legs[leg.slot] = true;
  }
  std::vector<Retired> out;
  for (const auto& [key, slot] : legs_.not_in(legs)) {
    const PortSlot port = leg_ports_[slot];
    out.push_back({Retired::Kind::kLeg, key, slot, port == kNoPort ? kRetiredWithoutPort : port});
  }
  // Legs before ports: a removed port's retired legs move on once nothing of its own is left.
  for (const auto& [key, slot] : ports_.not_in(ports)) out.push_back({Retired::Kind::kPort, key, slot, kRetiredPort});
  for (const auto& [key, slot] : maps_.not_in(maps)) out.push_back({Retired::Kind::kMap, key, slot, 0});
  for (const auto& [key, slot] : rules_.not_in(rules)) out.push_back({Retired::Kind::kRule, key, slot, 0});
  return out;
}

void Compiler::release(const Retired& r) {
  switch (r.kind) {
    case Retired::Kind::kLeg: return legs_.release(r.key);
    case Retired::Kind::kPort: return ports_.release(r.key);
    case Retired::Kind::kMap: return maps_.release(r.key);
    case Retired::Kind::kRule: return rules_.release(r.key);
  }
}

}  // namespace sluice::compile
