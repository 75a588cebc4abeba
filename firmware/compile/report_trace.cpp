#include "compile/report.h"

namespace sluice::compile {
namespace {

constexpr const char* kTunnels[] = {"", "GRE", "ERSPAN", "VXLAN", "GENEVE", "GTP-U", "IP in IP", "Teredo", "an MPLS pseudowire"};

std::string describe(const LayerSet& set, std::span<const uint16_t> vlan_ids, std::span<const uint32_t> mpls_labels) {
  static constexpr const char* kL3[] = {"no network layer that is known", "IPv4", "IPv6", "ARP"};
  static constexpr const char* kL4[] = {"", "TCP", "UDP", "SCTP", "ICMP", "ICMPv6"};
  std::string text;
  if (set.has(parse_flag::kHasEthernet)) text += "Ethernet, ";
  for (const uint16_t id : vlan_ids) text += "VLAN " + std::to_string(id) + ", ";
  if (set.has(parse_flag::kHasPppoe)) text += "PPPoE session " + std::to_string(set.pppoe_session) + ", ";
  for (const uint32_t label : mpls_labels) text += "MPLS label " + std::to_string(label) + ", ";
  text += kL3[static_cast<unsigned>(set.l3)];
  if (set.l4 != L4::kNone) text += std::string(", ") + kL4[static_cast<unsigned>(set.l4)];
  else if (set.has(parse_flag::kHasProtocol)) text += ", protocol " + std::to_string(set.ip_protocol);
  if (set.has(parse_flag::kHasPorts)) text += " from port " + std::to_string(set.src_port) + " to " + std::to_string(set.dst_port);
  if (set.fragment == Fragment::kFirst) text += ", the first fragment of a datagram";
  if (set.fragment == Fragment::kLater) text += ", a later fragment of a datagram: its ports are not in it";
  return text;
}

std::string describe_faults(uint16_t flags) {
  std::string text;
  if (flags & parse_flag::kTruncated) text += "; cut short inside a header or before its stated end";
  if (flags & parse_flag::kMalformed) text += "; a header contradicts itself";
  if (flags & parse_flag::kTooDeep) text += "; more headers than are followed";
  return text;
}

std::string describe(const TraceStep& step) {
  const Parsed& p = step.parsed;
  std::string text =
      std::to_string(step.length) + " bytes: " + describe(p.outer, step.vlan_ids[0], step.mpls_labels[0]) + describe_faults(p.outer.flags);
  if (p.tunnel == Tunnel::kNone) return text;
  text += std::string("; in it ") + kTunnels[static_cast<unsigned>(p.tunnel)];
  if (p.tunnel_flags & parse_flag::kHasTunnelId) text += " " + std::to_string(p.tunnel_id);
  text += describe_faults(p.tunnel_flags);
  if (p.has_inner) text += " with " + describe(p.inner, step.vlan_ids[1], step.mpls_labels[1]) + describe_faults(p.inner.flags);
  return text;
}

void report_layers(const TraceStep& step, bool inner, v1::Layers& out) {
  static constexpr const char* kL3[] = {"", "IPv4", "IPv6", "ARP"};
  const LayerSet& set = inner ? step.parsed.inner : step.parsed.outer;
  for (const uint16_t id : step.vlan_ids[inner]) out.add_vlan(id);
  for (const uint32_t label : step.mpls_labels[inner]) out.add_mpls(label);
  out.set_l3(kL3[static_cast<unsigned>(set.l3)]);
  if (const auto& addresses = step.addresses[inner]) {
    out.set_src(to_string(addresses->first));
    out.set_dst(to_string(addresses->second));
  }
  if (set.has(parse_flag::kHasProtocol)) out.set_protocol(set.ip_protocol);
  if (set.has(parse_flag::kHasPorts)) out.set_src_port(set.src_port), out.set_dst_port(set.dst_port);
  const unsigned faults = set.flags | (inner ? step.parsed.tunnel_flags : 0U);
  if (faults & parse_flag::kTruncated) out.add_faults("TRUNCATED");
  if (faults & parse_flag::kMalformed) out.add_faults("MALFORMED");
  if (faults & parse_flag::kTooDeep) out.add_faults("TOO_DEEP");
}

void report_parse(const TraceStep& step, v1::Step& out) {
  out.set_bytes(step.length);
  report_layers(step, false, *out.add_layers());
  if (step.parsed.tunnel == Tunnel::kNone) return;
  auto& inner = *out.add_layers();
  inner.set_tunnel(kTunnels[static_cast<unsigned>(step.parsed.tunnel)]);
  if (step.parsed.tunnel_flags & parse_flag::kHasTunnelId) inner.set_tunnel_id(step.parsed.tunnel_id);
  report_layers(step, true, inner);
}

}  // namespace

v1::Explanation report_trace(const Plan& plan, std::span<const TraceStep> steps) {
  using Kind = TraceStep::Kind;
  v1::Explanation out;
  uint32_t length = 0;  // of the packet
  const auto port_name = [&](PortSlot slot) { return plan.port(slot) ? plan.port(slot)->name : std::string(); };
  for (const auto& step : steps) {
    auto* line = out.add_steps();
    const bool has_map = step.kind != Kind::kParsed && step.kind != Kind::kPacketDropped && step.kind != Kind::kUnmatched;
    const MapPlan* map = has_map && step.map < plan.maps.size() ? &plan.maps[step.map] : nullptr;
    if (map) line->set_map(map->name);
    if (step.port != kNoPort) line->set_port(port_name(step.port));
    const auto say = [line](const char* stage, v1::Outcome::Value outcome, std::string text) {
      line->set_stage(stage);
      line->set_outcome(outcome);
      line->set_text(std::move(text));
    };
    const auto rule_text = [&](const char* verb) {
      std::size_t position = 0;
      // Disabled rules are in the plan and not in the snapshot: the id decides, not the position.
      for (; position < map->rules.size(); ++position)
        if (map->rules[position].slot == step.rule_slot) break;
      if (position < map->rules.size()) line->set_rule(map->rules[position].id);
      line->set_rule_number(static_cast<uint32_t>(position + 1));
      return "rule " + std::to_string(position + 1) + " is the first that matches: " + verb;
    };
    switch (step.kind) {
      case Kind::kParsed:
        out.set_port(port_name(step.port));
        say("parse", v1::Outcome::PARSED, describe(step));
        report_parse(step, *line);
        length = step.length;
        break;
      case Kind::kPacketDropped:
        line->set_reason(step.reason->name);
        say("ingress", v1::Outcome::DROPPED, step.reason->text);
        break;
      case Kind::kRulePassed: say("classify", v1::Outcome::PASSED_BY_RULE, rule_text("PASS")); break;
      case Kind::kRuleDropped: say("classify", v1::Outcome::DROPPED_BY_RULE, rule_text("DROP")); break;
      case Kind::kDefaultPassed: say("classify", v1::Outcome::PASSED_BY_DEFAULT, "no rule matches; the map's default passes it"); break;
      case Kind::kHidden: say("select", v1::Outcome::HIDDEN, "hidden: an earlier map that consumes has taken it"); break;
      case Kind::kUnmatched: say("select", v1::Outcome::UNMATCHED, "no map passes it: unmatched"); break;
      case Kind::kDistributed:
        line->set_tool_group(plan.groups[step.group].name);
        say("distribute", v1::Outcome::PICKED,
            step.port == kNoPort ? "tool group " + plan.groups[step.group].name + " has no member to send to"
                                 : "tool group " + plan.groups[step.group].name + " picks this member by the flow's hash");
        break;
      case Kind::kMerged: say("merge", v1::Outcome::MERGED, "the tool has a copy of this packet already"); break;
      case Kind::kCopyDropped:
        line->set_reason(step.reason->name);
        say("send", v1::Outcome::DROPPED, step.reason->text);
        break;
      case Kind::kQueued:
        line->set_bytes(step.length);
        say("send", v1::Outcome::SENT,
            step.length < length ? "a copy goes out of this port, sliced to " + std::to_string(step.length) + " bytes"
                                 : "a copy goes out of this port");
        out.add_delivered_to(port_name(step.port));
        break;
    }
  }
  return out;
}

}  // namespace sluice::compile
