#include <algorithm>

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

/// A field as a rule's match calls it.
std::string field_name(const Mismatch& mismatch) {
  switch (mismatch.kind) {
    case Mismatch::Kind::kBytes: return "bytes";
    case Mismatch::Kind::kRegex: return "regex";
    case Mismatch::Kind::kFilter: return "filter";
    case Mismatch::Kind::kNothing: return "";
    case Mismatch::Kind::kField: break;
  }
  const std::string tag = mismatch.where.level == 0 ? "" : " of tag " + std::to_string(mismatch.where.level + 1);
  switch (mismatch.where.field) {
    case Field::kPort: return "direction";
    case Field::kSourceVlan: return "sources.vlans";
    case Field::kEtherSrc: return "ethernet.src";
    case Field::kEtherDst: return "ethernet.dst";
    case Field::kEtherType: return "ethernet.ethertype";
    case Field::kVlanId: return "vlan.id" + tag;
    case Field::kVlanPcp: return "vlan.pcp" + tag;
    case Field::kMplsLabel: return "mpls.label";
    case Field::kIpVersion: return "ip.version";
    case Field::kSrc: return "ip.src";
    case Field::kDst: return "ip.dst";
    case Field::kProtocol: return "ip.protocol";
    case Field::kDscp: return "ip.dscp";
    case Field::kEcn: return "ip.ecn";
    case Field::kTtl: return "ip.ttl";
    case Field::kFragment: return "ip.fragment";
    case Field::kLength: return "ip.length";
    case Field::kSrcPort: return "l4.src_port";
    case Field::kDstPort: return "l4.dst_port";
    case Field::kTcpFlags: return "l4.tcp_flags";
    case Field::kIcmpType: return "icmp.type";
    case Field::kIcmpCode: return "icmp.code";
    case Field::kTunnelKind: return "tunnel.kind";
    case Field::kVni: return "tunnel.vni";
    case Field::kGreKey: return "tunnel.gre_key";
    case Field::kErspanSession: return "tunnel.erspan_session";
    case Field::kTeid: return "tunnel.gtp_teid";
    case Field::kPresence: return "present";
  }
  return "";
}

std::string flag_names(unsigned flags) {
  static constexpr const char* kFlags[] = {"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};
  std::string out;
  for (unsigned i = 0; i < std::size(kFlags); ++i)
    if (flags >> i & 1) out += (out.empty() ? "" : ",") + std::string(kFlags[i]);
  return out.empty() ? "none" : out;
}

/// What the packet has there, as people write it.
std::string value_text(const Where& where, const Value& value) {
  const auto big_endian = [&](auto& bytes, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(value.key >> 8 * (size - 1 - i));
  };
  const auto number = static_cast<uint64_t>(value.key);
  static constexpr const char* kFragments[] = {"", "WHOLE", "FIRST", "LATER"};
  switch (where.field) {
    case Field::kEtherSrc:
    case Field::kEtherDst: {
      Mac mac{};
      big_endian(mac, mac.size());
      return to_string(mac);
    }
    case Field::kSrc:
    case Field::kDst: {
      IpAddress address{.version = static_cast<uint8_t>(value.v6 ? 6 : 4)};
      big_endian(address.bytes, value.v6 ? 16 : 4);
      return to_string(address);
    }
    case Field::kFragment: return kFragments[number];
    case Field::kTcpFlags: return flag_names(static_cast<unsigned>(number));
    case Field::kTunnelKind: return kTunnels[number];
    case Field::kPort:
    case Field::kPresence: return "";  // what is there is in the step that tells of the parser
    default: return std::to_string(number);
  }
}

void report_misses(const TraceStep& step, const MapPlan& map, v1::Step& out) {
  std::size_t position = 0;  // both are in the map's order
  for (const MissedRule& missed : step.missed) {
    while (position < map.rules.size() && map.rules[position].slot != missed.rule_slot) ++position;
    auto& miss = *out.add_misses();
    if (position < map.rules.size()) miss.set_rule(map.rules[position].id);
    miss.set_rule_number(static_cast<uint32_t>(position + 1));
    for (const Mismatch& mismatch : missed.why) {
      auto& field = *miss.add_fields();
      field.set_field(field_name(mismatch));
      field.set_inner(mismatch.where.inner);
      if (mismatch.value) field.set_value(value_text(mismatch.where, *mismatch.value));
    }
  }
  out.set_more_misses(step.more_missed);
}

/// What maps said of the packet, in their order: those without a verdict come first in the trace.
std::vector<TraceStep> in_order_of_maps(std::span<const TraceStep> steps) {
  using Kind = TraceStep::Kind;
  const auto of_a_map = [](const TraceStep& s) {
    return s.kind == Kind::kNoSource || s.kind == Kind::kDefaultDropped || s.kind == Kind::kRulePassed || s.kind == Kind::kRuleDropped ||
           s.kind == Kind::kDefaultPassed || s.kind == Kind::kHidden;
  };
  std::vector<TraceStep> out(steps.begin(), steps.end());
  const auto begin = std::find_if(out.begin(), out.end(), of_a_map);
  std::stable_sort(begin, std::find_if_not(begin, out.end(), of_a_map), [](const auto& a, const auto& b) { return a.map < b.map; });
  return out;
}

}  // namespace

v1::Explanation report_trace(const Plan& plan, std::span<const TraceStep> steps) {
  using Kind = TraceStep::Kind;
  v1::Explanation out;
  uint32_t length = 0;  // of the packet
  const auto port_name = [&](PortSlot slot) { return plan.port(slot) ? plan.port(slot)->name : std::string(); };
  for (const auto& step : in_order_of_maps(steps)) {
    auto* line = out.add_steps();
    const bool has_map = step.kind != Kind::kParsed && step.kind != Kind::kPacketDropped && step.kind != Kind::kUnmatched &&
                         step.kind != Kind::kCompared && step.kind != Kind::kDuplicate;
    const MapPlan* map = has_map && step.map < plan.maps.size() ? &plan.maps[step.map] : nullptr;
    if (map) {
      line->set_map(map->name);
      report_misses(step, *map, *line);
    }
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
      case Kind::kCompared:
        say("dedup", v1::Outcome::COMPARED, "deduplication domain " + plan.domains[step.domain].name + " has not seen it within its window");
        break;
      case Kind::kDuplicate:
        say("dedup", v1::Outcome::DUPLICATE,
            "deduplication domain " + plan.domains[step.domain].name + " has seen the same packet: destinations that drop duplicates get none");
        break;
      case Kind::kRulePassed: say("classify", v1::Outcome::PASSED_BY_RULE, rule_text("PASS")); break;
      case Kind::kRuleDropped: say("classify", v1::Outcome::DROPPED_BY_RULE, rule_text("DROP")); break;
      case Kind::kDefaultPassed: say("classify", v1::Outcome::PASSED_BY_DEFAULT, "no rule matches; the map's default passes it"); break;
      case Kind::kDefaultDropped: say("classify", v1::Outcome::DROPPED_BY_DEFAULT, "no rule matches; the map's default drops it"); break;
      case Kind::kNoSource: say("classify", v1::Outcome::NO_SOURCE, "the port or the VLAN is not among the map's sources"); break;
      case Kind::kHidden: say("select", v1::Outcome::HIDDEN, "hidden: an earlier map that consumes has taken it"); break;
      case Kind::kUnmatched: say("select", v1::Outcome::UNMATCHED, "no map passes it: unmatched"); break;
      case Kind::kLimited: {
        if (step.port == kNoPort) line->set_tool_group(plan.groups[step.group].name);
        line->set_rate_limit(step.bit_limit);
        line->set_packet_rate_limit(step.packet_limit);
        std::string limits = step.bit_limit ? std::to_string(step.bit_limit) + " bits" : "";
        if (step.packet_limit) limits += (limits.empty() ? "" : " and ") + std::to_string(step.packet_limit) + " packets";
        say("limit", v1::Outcome::LIMITED, "this destination gets no more than " + limits + " a second; what is more is dropped");
        break;
      }
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
        line->set_priority(step.priority == Priority::kHigh  ? v1::Priority::HIGH
                           : step.priority == Priority::kLow ? v1::Priority::LOW
                                                             : v1::Priority::NORMAL);
        say("send", v1::Outcome::SENT,
            std::string("a copy goes out of this port") + (step.length < length ? ", sliced to " + std::to_string(step.length) + " bytes" : "") +
                (step.priority == Priority::kHigh  ? ", before others where they wait"
                 : step.priority == Priority::kLow ? ", behind others where they wait"
                                                   : ""));
        out.add_delivered_to(port_name(step.port));
        break;
    }
  }
  return out;
}

}  // namespace sluice::compile
