#include "compile/report.h"

namespace sluice::compile {
namespace {

std::string describe(const Parsed& p, uint32_t length) {
  static constexpr const char* kL3[] = {"no network layer that is known", "IPv4", "IPv6", "ARP"};
  static constexpr const char* kL4[] = {"", "TCP", "UDP", "ICMP", "ICMPv6"};
  std::string text = std::to_string(length) + " bytes: Ethernet";
  for (unsigned i = 0; i < p.vlan_count; ++i) text += ", VLAN " + std::to_string(p.vlan_tci[i] & 0x0FFFU);
  text += std::string(", ") + kL3[static_cast<unsigned>(p.l3)];
  if (p.l4 != L4::kNone) text += std::string(", ") + kL4[static_cast<unsigned>(p.l4)];
  else if (p.is_ip() && p.protocol_known) text += ", protocol " + std::to_string(p.ip_protocol);
  if (p.has(parse_flag::kHasPorts)) text += " from port " + std::to_string(p.src_port) + " to " + std::to_string(p.dst_port);
  if (p.fragment == Fragment::kFirst) text += ", the first fragment of a datagram";
  if (p.fragment == Fragment::kLater) text += ", a later fragment of a datagram: its ports are not in it";
  if (p.has(parse_flag::kTruncated)) text += "; cut short inside a header or before its stated end";
  if (p.has(parse_flag::kMalformed)) text += "; a header contradicts itself";
  if (p.has(parse_flag::kTooDeep)) text += "; more headers than are followed";
  return text;
}

}  // namespace

v1::Explanation report_trace(const Plan& plan, std::span<const TraceStep> steps) {
  using Kind = TraceStep::Kind;
  v1::Explanation out;
  const auto port_name = [&](PortSlot slot) { return plan.port(slot) ? plan.port(slot)->name : std::string(); };
  for (const auto& step : steps) {
    auto* line = out.add_steps();
    const bool has_map = step.kind != Kind::kParsed && step.kind != Kind::kPacketDropped && step.kind != Kind::kUnmatched;
    const MapPlan* map = has_map && step.map < plan.maps.size() ? &plan.maps[step.map] : nullptr;
    if (map) line->set_map(map->name);
    if (step.port != kNoPort) line->set_port(port_name(step.port));
    const auto say = [line](const char* stage, std::string text) {
      line->set_stage(stage);
      line->set_text(std::move(text));
    };
    const auto rule_text = [&](const char* verb) {
      std::size_t position = 0;
      // Disabled rules are in the plan and not in the snapshot: the id decides, not the position.
      for (; position < map->rules.size(); ++position)
        if (map->rules[position].slot == step.rule_slot) break;
      if (position < map->rules.size()) line->set_rule(map->rules[position].id);
      return "rule " + std::to_string(position + 1) + " is the first that matches: " + verb;
    };
    switch (step.kind) {
      case Kind::kParsed:
        out.set_port(port_name(step.port));
        say("parse", describe(step.parsed, step.length));
        break;
      case Kind::kPacketDropped:
        line->set_reason(step.reason->name);
        say("ingress", step.reason->text);
        break;
      case Kind::kRulePassed: say("classify", rule_text("PASS")); break;
      case Kind::kRuleDropped: say("classify", rule_text("DROP")); break;
      case Kind::kDefaultPassed: say("classify", "no rule matches; the map's default passes it"); break;
      case Kind::kHidden: say("select", "hidden: an earlier map that consumes has taken it"); break;
      case Kind::kUnmatched: say("select", "no map passes it: unmatched"); break;
      case Kind::kDistributed:
        say("distribute", step.port == kNoPort ? "tool group " + plan.groups[step.group].name + " has no member to send to"
                                               : "tool group " + plan.groups[step.group].name + " picks this member by the flow's hash");
        break;
      case Kind::kMerged: say("merge", "the tool has a copy of this packet already"); break;
      case Kind::kCopyDropped:
        line->set_reason(step.reason->name);
        say("send", step.reason->text);
        break;
      case Kind::kQueued:
        say("send", "a copy goes out of this port");
        out.add_delivered_to(port_name(step.port));
        break;
    }
  }
  return out;
}

}  // namespace sluice::compile
