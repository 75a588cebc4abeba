// What a reader of a packet's headers should find: the packet builder's own record, and the form in which a parser's findings are compared
// with it. Words instead of a parser's types, so that the record depends on no parser.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::test {

/// One layer set, outer or inner. Offsets count from the frame's first byte; absent facts are null, empty, 0 or "none".
struct FactSet {
  bool ethernet = false;
  std::size_t l2_offset = 0;
  uint16_t ethertype = 0;  ///< behind tags and SNAP; the length of an 802.3 frame without a type
  std::vector<uint16_t> tci;
  std::size_t mpls_offset = 0;
  std::vector<uint32_t> mpls;  ///< whole entries
  std::optional<uint16_t> pppoe;
  std::string l3 = "none";
  std::size_t l3_offset = 0;
  std::string src, dst;
  std::optional<uint8_t> protocol;
  std::string fragment = "whole";
  std::string l4 = "none";
  std::size_t l4_offset = 0;
  std::optional<std::pair<uint16_t, uint16_t>> ports;
  std::optional<std::pair<uint8_t, uint8_t>> icmp;
  std::size_t payload_offset = 0;
  std::vector<std::string> problems;  ///< truncated, malformed, too_deep, in this order

  bool operator==(const FactSet&) const = default;
};

struct Facts {
  FactSet outer;
  std::optional<FactSet> inner;
  std::string tunnel = "none";
  std::size_t tunnel_offset = 0;
  std::optional<uint32_t> tunnel_id;
  std::vector<std::string> tunnel_problems;

  bool operator==(const Facts&) const = default;
};

/// One JSON object without a line end.
[[nodiscard]] inline std::string to_json(const FactSet& set) {
  const auto list = [](const auto& values, auto shown) {
    std::string out;
    for (const auto& v : values) out += (out.empty() ? "" : ",") + shown(v);
    return "[" + out + "]";
  };
  const auto quoted = [](const std::string& s) { return "\"" + s + "\""; };
  const auto number = [](auto v) { return std::to_string(v); };
  const auto maybe = [](const auto& v) { return v ? std::to_string(*v) : std::string("null"); };
  const auto two = [](const auto& v) { return v ? "[" + std::to_string(v->first) + "," + std::to_string(v->second) + "]" : "null"; };
  return "{\"ethernet\":" + std::string(set.ethernet ? "true" : "false") + ",\"l2_offset\":" + number(set.l2_offset) +
         ",\"ethertype\":" + number(set.ethertype) + ",\"vlan\":" + list(set.tci, [](uint16_t t) { return std::to_string(t & 0xFFF); }) +
         ",\"tci\":" + list(set.tci, number) + ",\"mpls_offset\":" + number(set.mpls_offset) +
         ",\"mpls\":" + list(set.mpls, [](uint32_t e) { return std::to_string(e >> 12); }) + ",\"mpls_entries\":" + list(set.mpls, number) +
         ",\"pppoe\":" + maybe(set.pppoe) + ",\"l3\":" + quoted(set.l3) + ",\"l3_offset\":" + number(set.l3_offset) +
         ",\"src\":" + quoted(set.src) + ",\"dst\":" + quoted(set.dst) + ",\"protocol\":" + maybe(set.protocol) +
         ",\"fragment\":" + quoted(set.fragment) + ",\"l4\":" + quoted(set.l4) + ",\"l4_offset\":" + number(set.l4_offset) +
         ",\"ports\":" + two(set.ports) + ",\"icmp\":" + two(set.icmp) + ",\"payload_offset\":" + number(set.payload_offset) +
         ",\"flags\":" + list(set.problems, quoted) + "}";
}

[[nodiscard]] inline std::string to_json(const Facts& facts, std::size_t number, const std::string& name) {
  std::string problems;
  for (const auto& p : facts.tunnel_problems) problems += (problems.empty() ? "\"" : ",\"") + p + "\"";
  return "{\"n\":" + std::to_string(number) + ",\"name\":\"" + name + "\",\"tunnel\":\"" + facts.tunnel +
         "\",\"tunnel_offset\":" + std::to_string(facts.tunnel_offset) +
         ",\"tunnel_id\":" + (facts.tunnel_id ? std::to_string(*facts.tunnel_id) : "null") + ",\"tunnel_flags\":[" + problems +
         "],\"outer\":" + to_json(facts.outer) + ",\"inner\":" + (facts.inner ? to_json(*facts.inner) : "null") + "}";
}

}  // namespace sluice::test
