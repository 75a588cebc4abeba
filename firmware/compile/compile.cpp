#include "compile/compile.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <future>
#include <map>
#include <set>

#include "compile/availability.h"
#include "compile/budget.h"
#include "compile/match.h"
#include "compile/matches.h"

namespace sluice::compile {
namespace {

std::string indexed(const std::string& field, int i) { return field + "[" + std::to_string(i) + "]"; }

Error invalid(std::string path, std::string message) { return {ErrorCode::kInvalid, std::move(path), std::move(message)}; }

enum class MapTurn { kNormal, kCollector, kDisabled };

MapTurn turn_of(const v1::Map& map) {
  if (map.has_enabled() && !map.enabled()) return MapTurn::kDisabled;
  return map.kind() == v1::MapKind::COLLECTOR ? MapTurn::kCollector : MapTurn::kNormal;
}

bool has_remainder(const RuleMatch& match) {
  return std::any_of(match.alternatives.begin(), match.alternatives.end(), [](const Alternative& one) { return one.remainder != nullptr; });
}

/// One compilation. Members fill in the snapshot and the plan, collection by collection.
class Compilation {
 public:
  Compilation(const v1::Config& config, Slots& ports, Slots& legs, Slots& maps, Slots& rules, std::vector<PortSlot>& leg_ports,
              RateLimits& rate_limits, std::shared_ptr<const PayloadScanner>& scanner, const KnownRules& before, KnownRules& known_rules)
      : config_(config),
        port_slots_(ports),
        leg_slots_(legs),
        map_slots_(maps),
        rule_slots_(rules),
        leg_ports_(leg_ports),
        rate_limits_(rate_limits),
        scanner_(scanner),
        before_(before),
        known_rules_(known_rules),
        matches_(config) {}

  Result<Compiled> run(uint64_t revision) {
    out_.snapshot = std::make_unique<Snapshot>();
    out_.snapshot->revision = revision;
    if (auto r = check_available(config_); !r) return r.error();
    if (auto r = ports(); !r) return r.error();
    if (auto r = sources(); !r) return r.error();
    if (auto r = matches_.read_sets(known_rules_.sets_from(before_)); !r) return r.error();
    known_rules_.keep_sets(matches_.sets());
    if (auto r = groups(); !r) return r.error();
    if (auto r = tunnels(); !r) return r.error();
    if (auto r = domains(); !r) return r.error();
    // The operator's order, collectors behind all others, disabled maps (in the plan for their counters alone) last.
    for (const MapTurn turn : {MapTurn::kNormal, MapTurn::kCollector, MapTurn::kDisabled})
      for (int i = 0; i < config_.maps_size(); ++i)
        if (turn_of(config_.maps(i)) == turn)
          if (auto r = map(i); !r) return r.error();
    if (auto r = port_filters(); !r) return r.error();
    if (auto r = matches_.scanner()->compile(scanner_.get()); !r) return r.error();
    scanner_ = matches_.scanner();
    const auto classified = std::make_shared<const std::vector<ClassifierMap>>(std::move(classifier_maps_));
    known_rules_.keep(classified);
    // Two halves of the time that many rules take, and neither needs the other.
    auto shadows = std::async(std::launch::async | std::launch::deferred, [&] { return find_shadows(classified, counted_, before_.shadows()); });
    auto classifier = Classifier::make(classified, {.trees = before_.trees()});
    known_rules_.keep(shadows.get());
    out_.warnings = shadow_warnings(known_rules_.shadows(), counted_);
    if (!classifier) return classifier.error();
    known_rules_.keep(classifier->trees());
    out_.snapshot->classifier = std::move(*classifier);
    for (auto [maps, filters] : {std::pair(&ingress_maps_, &out_.snapshot->ingress), std::pair(&egress_maps_, &out_.snapshot->egress)}) {
      auto made = Classifier::make(std::move(*maps));
      if (!made) return made.error();
      filters->classifier = std::move(*made);
    }
    out_.snapshot->used = {.ports = kMaxPorts, .legs = leg_slots_.used(), .maps = map_slots_.used(), .rules = rule_slots_.used()};
    return std::move(out_);
  }

 private:
  Result<void> ports() {
    std::map<std::string, std::string> device_of;
    for (int i = 0; i < config_.ports_size(); ++i) {
      const auto& port = config_.ports(i);
      const std::string path = indexed("ports", i);
      if (port.role() == v1::PortRole::UNSPECIFIED) return invalid(path + ".role", "must be NETWORK, TOOL or HYBRID");
      if (!port.device().empty()) {
        const auto [other, is_new] = device_of.emplace(port.device(), port.name());
        if (!is_new)
          return Error{ErrorCode::kConflict, path + ".device",
                       "\"" + port.device() + "\" is the device of port \"" + other->second + "\" already"};
      }
      const auto slot = port_slots_.of(port.id());
      if (!slot) return Error{ErrorCode::kExhausted, path, "no more than " + std::to_string(kRetiredPort) + " ports"};
      PortPlan plan{port.id(),
                    port.name(),
                    static_cast<PortSlot>(*slot),
                    port.role(),
                    port.device(),
                    !port.has_enabled() || port.enabled(),
                    port.has_mtu() ? port.mtu() : 1500,
                    port.busy_poll()};
      const auto buffer = buffer_of(port, path + ".egress");
      if (!buffer) return buffer.error();
      plan.buffer = *buffer;
      out_.snapshot->shapers[plan.slot] = rate_limits_.of(port.id(), port.egress().rate_limit(), kShaperBurst);
      out_.snapshot->receiving.set(plan.slot, plan.receives());
      out_.snapshot->sending.set(plan.slot, plan.sends());
      ports_.emplace(port.id(), plan);
      out_.plan.ports.push_back(std::move(plan));
    }
    return {};
  }

  /// A port that may be a source, by reference at `path`.
  Result<PortSlot> source(const std::string& id, const std::string& path) {
    const auto found = ports_.find(id);
    if (found == ports_.end()) return invalid(path, "there is no port \"" + id + "\"");
    if (found->second.role == v1::PortRole::TOOL)
      return invalid(path, "\"" + found->second.name + "\" is a tool port; a source must be a NETWORK or HYBRID port");
    return found->second.slot;
  }
  /// A port that may be sent to.
  Result<PortSlot> tool(const std::string& id, const std::string& path) {
    const auto found = ports_.find(id);
    if (found == ports_.end()) return invalid(path, "there is no port \"" + id + "\"");
    if (found->second.role == v1::PortRole::NETWORK)
      return invalid(path,
                     "\"" + found->second.name + "\" is a network port, which never sends; a destination must be a TOOL or HYBRID port");
    return found->second.slot;
  }

  /// Port groups become the sets of their ports, TAP pairs their two sides.
  Result<void> sources() {
    for (int i = 0; i < config_.port_groups_size(); ++i) {
      const auto& group = config_.port_groups(i);
      auto& of_group = port_groups_[group.id()];
      for (int p = 0; p < group.ports_size(); ++p) {
        const auto slot = source(group.ports(p), indexed(indexed("port_groups", i) + ".ports", p));
        if (!slot) return slot.error();
        of_group.set(*slot);
      }
    }
    for (int i = 0; i < config_.tap_pairs_size(); ++i) {
      const auto& pair = config_.tap_pairs(i);
      const std::string path = indexed("tap_pairs", i);
      const auto a = source(pair.a(), path + ".a");
      if (!a) return a.error();
      const auto b = source(pair.b(), path + ".b");
      if (!b) return b.error();
      if (*a == *b) return invalid(path + ".b", "is the same port as a; a TAP pair is two ports");
      sides_[pair.id()] = {*a, *b};
    }
    return {};
  }

  /// What ports themselves pass: each one's filter is a map with one rule.
  Result<void> port_filters() {
    matches_.begin_map({}, {});
    for (int i = 0; i < config_.ports_size(); ++i) {
      const auto& port = config_.ports(i);
      const PortPlan& plan = ports_.at(port.id());
      const std::string path = indexed("ports", i);
      if (!port.ingress().filter().empty()) {
        if (port.role() == v1::PortRole::TOOL)
          return invalid(path + ".ingress.filter", "a TOOL port receives nothing that could be filtered");
        std::bitset<kMaxPorts> own;
        own.set(plan.slot);
        if (auto r = port_filter(port.ingress().filter(), path + ".ingress.filter", plan.slot, own, ingress_maps_); !r) return r;
        out_.snapshot->ingress.filtered.set(plan.slot);
      }
      if (!port.egress().filter().empty()) {
        if (port.role() == v1::PortRole::NETWORK)
          return invalid(path + ".egress.filter", "a NETWORK port sends nothing that could be filtered");
        if (auto r = port_filter(port.egress().filter(), path + ".egress.filter", plan.slot, out_.snapshot->receiving, egress_maps_); !r)
          return r;
        out_.snapshot->egress.filtered.set(plan.slot);
      }
    }
    return {};
  }

  Result<void> port_filter(const std::string& id, const std::string& path, PortSlot port, const std::bitset<kMaxPorts>& sources,
                           std::vector<ClassifierMap>& out) {
    auto asked = matches_.of_filter(id, path);
    if (!asked) return asked.error();
    ClassifierMap map;
    map.map = port;
    map.ports = sources;
    map.rules.emplace_back(std::move(*asked), 0, true);
    out.push_back(std::move(map));
    return {};
  }

  /// Nothing uses them yet; what a later version would refuse is refused now.
  Result<void> tunnels() {
    for (int i = 0; i < config_.tunnels_size(); ++i) {
      const auto found = ports_.find(config_.tunnels(i).port());
      const std::string path = indexed("tunnels", i) + ".port";
      if (found == ports_.end()) return invalid(path, "there is no port \"" + config_.tunnels(i).port() + "\"");
      if (found->second.role != v1::PortRole::HYBRID)
        return invalid(path, "\"" + found->second.name + "\" has no addresses; a tunnel ends at a HYBRID port");
    }
    return {};
  }

  Result<void> domains() {
    for (int i = 0; i < config_.dedup_domains_size(); ++i) {
      const auto& domain = config_.dedup_domains(i);
      const std::string path = indexed("dedup_domains", i);
      const auto comparison = comparison_of(domain, path);
      if (!comparison) return comparison.error();
      const uint64_t window_ns = uint64_t{domain.has_window() ? domain.window() : 50'000} * 1000;
      const auto position = static_cast<uint8_t>(out_.snapshot->domains.size());
      for (int p = 0; p < domain.ports_size(); ++p) {
        const std::string here = indexed(path + ".ports", p);
        const auto slot = source(domain.ports(p), here);
        if (!slot) return slot.error();
        if (auto& of_port = out_.snapshot->domain_of[*slot]; of_port == kNoDomain) of_port = position;
        else
          return Error{ErrorCode::kConflict, here,
                       "\"" + ports_.at(domain.ports(p)).name + "\" is in " +
                           (of_port == position ? "this domain already" : "the domain \"" + out_.plan.domains[of_port].name + "\" already")};
      }
      if (domain.ports().empty()) continue;  // nothing to compare, and no memory for it
      out_.snapshot->domains.push_back({.comparison = *comparison, .window_ns = window_ns, .memory = nullptr});
      out_.plan.domains.push_back({domain.id(), domain.name(), static_cast<uint32_t>(domain.ports_size()), window_ns});
    }
    return {};
  }

  Result<void> groups() {
    for (int i = 0; i < config_.tool_groups_size(); ++i) {
      auto compiled = compile_tool_group(config_.tool_groups(i), indexed("tool_groups", i),
                                         [this](const std::string& id, const std::string& path) { return tool(id, path); });
      if (!compiled) return compiled.error();
      out_.snapshot->balances_by_ports |= compiled->uses_ports;
      group_index_.emplace(compiled->plan.id, out_.snapshot->groups.size());
      out_.snapshot->groups.push_back(std::move(compiled->group));
      out_.plan.groups.push_back(std::move(compiled->plan));
    }
    return {};
  }

  Result<void> map(int place) {
    const v1::Map& map = config_.maps(place);
    const std::string path = indexed("maps", place);
    const bool collector = map.kind() == v1::MapKind::COLLECTOR;
    const auto slot = map_slots_.of(map.id());
    if (!slot) return Error{ErrorCode::kExhausted, path, "no more than " + std::to_string(kMaxSlots.maps) + " maps"};
    MapPlan plan{map.id(), map.name(), *slot, {}, {}};
    SnapshotMap compiled{.slot = *slot, .consume = map.consume(), .collector = collector, .destinations = {}};
    ClassifierMap classified;
    classified.map = static_cast<uint32_t>(out_.snapshot->maps.size());
    classified.default_pass = collector || map.default_action() == v1::Action::PASS;
    if (collector && map.rules_size() > 0) return invalid(path + ".rules", "a COLLECTOR has no rules; it gets what no other map took");
    if (collector && map.consume()) return invalid(path + ".consume", "a COLLECTOR comes last and has nothing to hide from anybody");
    if (auto r = map_sources(map.sources(), path + ".sources", classified); !r) return r;
    if (auto r = rules(map, place, plan, classified); !r) return r;
    for (int d = 0; d < map.destinations_size(); ++d)
      if (auto r = destination(map.destinations(d), indexed(path + ".destinations", d), plan, compiled); !r) return r;
    if (turn_of(map) != MapTurn::kDisabled) {
      classifier_maps_.push_back(std::move(classified));
      out_.snapshot->maps.push_back(std::move(compiled));
    }
    out_.plan.maps.push_back(std::move(plan));
    return {};
  }

  Result<void> map_sources(const v1::Sources& sources, const std::string& path, ClassifierMap& out) {
    for (int i = 0; i < sources.ports_size(); ++i) {
      const auto slot = source(sources.ports(i), indexed(path + ".ports", i));
      if (!slot) return slot.error();
      out.ports.set(*slot);
    }
    for (int i = 0; i < sources.port_groups_size(); ++i) {
      const auto group = port_groups_.find(sources.port_groups(i));
      if (group == port_groups_.end())
        return invalid(indexed(path + ".port_groups", i), "there is no port group \"" + sources.port_groups(i) + "\"");
      out.ports |= group->second;
    }
    for (int i = 0; i < sources.tap_pairs_size(); ++i) {
      const auto pair = sides_.find(sources.tap_pairs(i));
      if (pair == sides_.end()) return invalid(indexed(path + ".tap_pairs", i), "there is no TAP pair \"" + sources.tap_pairs(i) + "\"");
      out.ports.set(pair->second.first).set(pair->second.second);
    }
    return compile_vlans(sources, path, out);
  }

  Result<void> rules(const v1::Map& map, int map_place, MapPlan& plan, ClassifierMap& out) {
    CountedRules counted{map.name(), {}};
    std::vector<KnownRules::Made> made;
    made.reserve(static_cast<std::size_t>(map.rules_size()));
    plan.rules.reserve(made.capacity()), out.rules.reserve(made.capacity());
    KnownRules::Side a, b;
    for (const auto& pair : map.sources().tap_pairs()) a.set(sides_.at(pair).first), b.set(sides_.at(pair).second);
    matches_.begin_map(a, b);
    for (int i = 0; i < map.rules_size(); ++i) {
      const Place place = [map_place, i] { return indexed(indexed("maps", map_place) + ".rules", i); };
      auto known = known_rules_.from(before_, map_place, i, a, b);
      const bool is_known = known.match != nullptr;
      bool enabled = true;  // a known one is
      v1::Rule left;
      if (!is_known) {
        const v1::Rule& rule = known_rules_.was_left(map_place, i) ? left = known_rules_.read_rule(map_place, i) : map.rules(i);
        if (rule.action() == v1::Action::UNSPECIFIED) return invalid(place() + ".action", "must be PASS or DROP");
        auto asked = matches_.of_rule(rule, place);
        if (!asked) return asked.error();
        known = {std::move(*asked), {}, 0, rule.id(), rule.action() == v1::Action::PASS};
        known.size = matches_.size_of(*known.match);
        enabled = !rule.has_enabled() || rule.enabled();
      }
      if (auto r = matches_.within_bounds(known.size, place); !r) return r;
      std::string id(known.id);
      const auto slot = is_known ? rule_slots_.of(id, known.slot) : rule_slots_.of(id);
      if (!slot)
        return Error{ErrorCode::kExhausted, place(), "no more than " + std::to_string(kMaxSlots.rules) + " rules in all maps together"};
      plan.rules.push_back({std::move(id), *slot, known.pass});
      made.push_back({kNoRule, *slot, known.size, known.pass, enabled && (is_known || !has_remainder(*known.match))});
      if (!enabled) continue;
      made.back().place = static_cast<uint32_t>(out.rules.size());
      out.rules.emplace_back(std::move(known.match), static_cast<uint32_t>(out_.snapshot->rule_slots.size()), known.pass);
      out_.snapshot->rule_slots.push_back(*slot);
      counted.numbers.push_back(i + 1);
    }
    if (turn_of(map) == MapTurn::kDisabled) return {};
    counted_.push_back(std::move(counted));
    known_rules_.made(map_place, static_cast<uint32_t>(classifier_maps_.size()), a, b, std::move(made));
    return {};
  }

  static Slice slice(const v1::Slice& slice) {
    Slice out{.length = slice.length()};
    switch (slice.after()) {
      case v1::Anchor::L3: out.after = Anchor::kL3; break;
      case v1::Anchor::L4: out.after = Anchor::kL4; break;
      case v1::Anchor::PAYLOAD: out.after = Anchor::kPayload; break;
      default: out.after = Anchor::kFrame; break;
    }
    return out;
  }

  static Priority priority(v1::Priority::Value priority) {
    if (priority == v1::Priority::HIGH) return Priority::kHigh;
    return priority == v1::Priority::LOW ? Priority::kLow : Priority::kNormal;
  }

  Result<void> destination(const v1::Destination& destination, const std::string& path, MapPlan& plan, SnapshotMap& out) {
    DestinationPlan named;
    SnapshotDestination compiled;
    std::vector<std::pair<std::string, PortSlot>> ways;  // key of the leg, port
    if (destination.has_port()) {
      const auto slot = tool(destination.port(), path + ".port");
      if (!slot) return slot.error();
      compiled.port = *slot;
      named.target = ports_.at(destination.port()).name;
      ways.emplace_back(destination.port(), *slot);
    } else if (destination.has_tool_group()) {
      const auto group = group_index_.find(destination.tool_group());
      if (group == group_index_.end()) return invalid(path + ".tool_group", "there is no tool group \"" + destination.tool_group() + "\"");
      compiled.group = static_cast<uint32_t>(group->second);
      named.target = out_.plan.groups[group->second].name;
      named.group_id = destination.tool_group();
      for (const PortSlot member : out_.plan.groups[group->second].members)
        ways.emplace_back(destination.tool_group() + "/" + out_.plan.port(member)->id, member);
      ways.emplace_back(destination.tool_group() + "/", kNoPort);
    } else {
      return invalid(path, "must name a port or a tool_group");
    }
    compiled.slice = slice(destination.operations().slice());
    compiled.priority = priority(destination.priority());
    rate_limits_.limit(compiled, plan.id + "/" + (destination.has_port() ? destination.port() : destination.tool_group()), destination.operations());
    compiled.keeps_duplicates = destination.duplicates() == v1::Duplicates::KEEP;
    if (!targets_.emplace(plan.id, destination.has_port() ? destination.port() : destination.tool_group()).second)
      return Error{ErrorCode::kConflict, path, "\"" + named.target + "\" is a destination of this map already"};
    for (const auto& [key, port] : ways) {
      const auto leg = leg_slots_.of(plan.id + "/" + key);
      if (!leg)
        return Error{ErrorCode::kExhausted, path,
                     "no more than " + std::to_string(kMaxSlots.legs - kReservedLegs) + " ways from maps to tools"};
      leg_ports_.resize(std::max<std::size_t>(leg_ports_.size(), *leg + 1), kNoPort);
      leg_ports_[*leg] = port;
      compiled.legs.push_back(*leg);
      named.legs.push_back({*leg, port});
    }
    plan.destinations.push_back(std::move(named));
    out.destinations.push_back(std::move(compiled));
    return {};
  }

  const v1::Config& config_;
  Slots& port_slots_;
  Slots& leg_slots_;
  Slots& map_slots_;
  Slots& rule_slots_;
  std::vector<PortSlot>& leg_ports_;
  RateLimits& rate_limits_;
  std::shared_ptr<const PayloadScanner>& scanner_;  ///< of the configuration compiled before, then of this one
  Compiled out_;
  std::vector<ClassifierMap> classifier_maps_, ingress_maps_, egress_maps_;
  std::map<std::string, PortPlan> ports_;
  std::map<std::string, std::bitset<128>> port_groups_;
  std::map<std::string, std::pair<PortSlot, PortSlot>> sides_;  ///< A and B, by TAP pair
  const KnownRules& before_;
  KnownRules& known_rules_;  ///< of this configuration
  Matches matches_;
  std::vector<CountedRules> counted_;  ///< of the classifier's maps
  std::map<std::string, std::size_t> group_index_;
  std::set<std::pair<std::string, std::string>> targets_;
};

}  // namespace

const PortPlan* Plan::port(PortSlot slot) const {
  const auto found = std::find_if(ports.begin(), ports.end(), [slot](const PortPlan& p) { return p.slot == slot; });
  return found == ports.end() ? nullptr : &*found;
}

Result<Compiled> Compiler::compile(const v1::Config& config, uint64_t revision) {
  KnownRules nothing;
  return compile(config, revision, nothing);
}

Result<Compiled> Compiler::compile(std::string_view bytes, uint64_t revision, bool is_trial) {
  google::protobuf::Arena arena;  // a configuration is hundreds of thousands of small parts, and gone after this
  auto& config = *google::protobuf::Arena::CreateMessage<v1::Config>(&arena);
  KnownRules known(bytes, known_rules_);
  if (!known.read(config)) return Error{ErrorCode::kInternal, "", "the configuration cannot be read"};
  auto compiled = compile(config, revision, known);
  if (compiled && !is_trial) known_rules_ = std::move(known);
  return compiled;
}

Result<Compiled> Compiler::compile(const v1::Config& config, uint64_t revision, KnownRules& known) {
  rate_limits_.forget_unused();
  return Compilation(config, ports_, legs_, maps_, rules_, leg_ports_, rate_limits_, scanner_, known_rules_, known).run(revision);
}

}  // namespace sluice::compile
