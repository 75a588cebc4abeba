#include "compile/match.h"

namespace sluice::compile {
namespace {

Error bad(const std::string& path, int i, const std::string& value, const char* expected) {
  return {ErrorCode::kInvalid, path + "[" + std::to_string(i) + "]", "\"" + value + "\" is not " + expected};
}

Result<void> prefixes(const auto& texts, const std::string& path, std::vector<Prefix>& out) {
  for (int i = 0; i < texts.size(); ++i) {
    const auto prefix = parse_prefix(texts[i]);
    if (!prefix) return bad(path, i, texts[i], "an address or a prefix without host bits, such as 10.0.0.0/8 or 2001:db8::/32");
    out.push_back(*prefix);
  }
  return {};
}

Result<void> ranges(const auto& texts, const std::string& path, uint32_t max, const char* expected, std::vector<Range>& out) {
  for (int i = 0; i < texts.size(); ++i) {
    const auto range = parse_range(texts[i], max);
    if (!range) return bad(path, i, texts[i], expected);
    out.push_back(*range);
  }
  return {};
}

constexpr const char* kPorts = "a port or a range of ports, such as 443 or 8000-8100";
constexpr const char* kVlans = "a VLAN id or a range of them, such as 100 or 100-199";
constexpr uint32_t kMaxPort = 65535;
constexpr uint32_t kMaxVlan = 4095;

}  // namespace

Result<RuleMatch> compile_match(const v1::Match& match, const std::string& path) {
  RuleMatch out;
  out.bidirectional = match.bidirectional();
  const auto& ip = match.ip();
  if (ip.has_version()) {
    if (ip.version() != 4 && ip.version() != 6) return Error{ErrorCode::kInvalid, path + ".ip.version", "must be 4 or 6"};
    out.ip_version = static_cast<uint8_t>(ip.version());
  }
  if (auto r = prefixes(ip.src(), path + ".ip.src", out.src); !r) return r.error();
  if (auto r = prefixes(ip.dst(), path + ".ip.dst", out.dst); !r) return r.error();
  if (auto r = prefixes(ip.addr(), path + ".ip.addr", out.addr); !r) return r.error();
  for (int i = 0; i < ip.protocol_size(); ++i) {
    const auto number = parse_protocol(ip.protocol(i));
    if (!number) return bad(path + ".ip.protocol", i, ip.protocol(i), "a protocol name or a number from 0 to 255");
    out.any_protocol = false;
    out.protocols.set(*number);
  }
  const auto& l4 = match.l4();
  if (auto r = ranges(l4.src_port(), path + ".l4.src_port", kMaxPort, kPorts, out.src_port); !r) return r.error();
  if (auto r = ranges(l4.dst_port(), path + ".l4.dst_port", kMaxPort, kPorts, out.dst_port); !r) return r.error();
  if (auto r = ranges(l4.port(), path + ".l4.port", kMaxPort, kPorts, out.port); !r) return r.error();
  const auto& vlan = match.vlan();
  if (auto r = ranges(vlan.id(), path + ".vlan.id", kMaxVlan, kVlans, out.vlan_id); !r) return r.error();
  if (vlan.has_level()) {
    if (vlan.level() < 1 || vlan.level() > kMaxVlanTags) return Error{ErrorCode::kInvalid, path + ".vlan.level", "must be from 1 to 8"};
    out.vlan_level = static_cast<uint8_t>(vlan.level());
  }
  return out;
}

Result<void> compile_vlans(const v1::Sources& sources, const std::string& path, ClassifierMap& out) {
  for (int i = 0; i < sources.vlans_size(); ++i) {
    if (sources.vlans(i) == "untagged") {
      out.untagged = true;
      continue;
    }
    const auto range = parse_range(sources.vlans(i), kMaxVlan);
    if (!range) return bad(path + ".vlans", i, sources.vlans(i), "a VLAN id, a range of them, or \"untagged\"");
    out.vlans.push_back(*range);
  }
  return {};
}

}  // namespace sluice::compile
