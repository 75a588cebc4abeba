// A parse result in the words of the packet builder's record.
#pragma once

#include <arpa/inet.h>

#include <span>

#include "packet/parse.h"
#include "tests/builders/facts.h"

namespace sluice::test {

inline std::vector<std::string> problems_of(uint16_t flags) {
  std::vector<std::string> out;
  if (flags & parse_flag::kTruncated) out.emplace_back("truncated");
  if (flags & parse_flag::kMalformed) out.emplace_back("malformed");
  if (flags & parse_flag::kTooDeep) out.emplace_back("too_deep");
  return out;
}

inline FactSet facts_of(const std::byte* frame, const LayerSet& set) {
  static constexpr const char* kL3[] = {"none", "ipv4", "ipv6", "arp"};
  static constexpr const char* kL4[] = {"none", "tcp", "udp", "sctp", "icmp", "icmpv6"};
  static constexpr const char* kFragment[] = {"whole", "first", "later"};
  FactSet out;
  out.ethernet = set.has(parse_flag::kHasEthernet);
  if (out.ethernet) out.l2_offset = set.l2_offset;
  out.ethertype = set.ethertype;
  for (unsigned i = 0; i < set.vlan_count; ++i) out.tci.push_back(vlan_tci(frame, set, i));
  for (unsigned i = 0; i < set.mpls_count; ++i) out.mpls.push_back(mpls_entry(frame, set, i));
  if (set.mpls_count > 0) out.mpls_offset = set.mpls_offset;
  if (set.has(parse_flag::kHasPppoe)) out.pppoe = set.pppoe_session;
  out.l3 = kL3[static_cast<int>(set.l3)];
  if (set.l3 != L3::kNone) out.l3_offset = set.l3_offset;
  if (set.is_ip()) {
    const AddressView view = addresses(frame, set);
    char text[INET6_ADDRSTRLEN];
    out.src = inet_ntop(view.size == 4 ? AF_INET : AF_INET6, view.src, text, sizeof text);
    out.dst = inet_ntop(view.size == 4 ? AF_INET : AF_INET6, view.dst, text, sizeof text);
  }
  if (set.has(parse_flag::kHasProtocol)) out.protocol = set.ip_protocol;
  out.fragment = kFragment[static_cast<int>(set.fragment)];
  out.l4 = kL4[static_cast<int>(set.l4)];
  if (set.l4 != L4::kNone) out.l4_offset = set.l4_offset;
  if (set.has(parse_flag::kHasPorts)) out.ports = {set.src_port, set.dst_port};
  if (set.has(parse_flag::kHasIcmpType)) out.icmp = {set.icmp_type, set.icmp_code};
  out.payload_offset = set.payload_offset;
  out.problems = problems_of(set.flags);
  return out;
}

inline Facts facts_of(std::span<const std::byte> packet, const Parsed& parsed) {
  static constexpr const char* kTunnel[] = {"none", "gre", "erspan", "vxlan", "geneve", "gtpu", "ip_in_ip", "teredo", "pseudowire"};
  Facts out;
  out.outer = facts_of(packet.data(), parsed.outer);
  if (parsed.has_inner) out.inner = facts_of(packet.data(), parsed.inner);
  out.tunnel = kTunnel[static_cast<int>(parsed.tunnel)];
  if (parsed.tunnel != Tunnel::kNone) out.tunnel_offset = parsed.tunnel_offset;
  if (parsed.tunnel_flags & parse_flag::kHasTunnelId) out.tunnel_id = parsed.tunnel_id;
  out.tunnel_problems = problems_of(parsed.tunnel_flags);
  return out;
}

}  // namespace sluice::test
