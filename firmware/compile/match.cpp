#include "compile/match.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "compile/values.h"

namespace sluice::compile {
namespace {

/// What a match asks for, as alternatives of criteria. `not` turns the answer of a field round; a packet without the field answers no to
/// both, so that the complement of its values is all there is to it. Paths of errors count from the match.
class MatchCompilation {
 public:
  MatchCompilation(const v1::Match& match, const Place& place, const MatchContext& context)
      : match_(match), place_(place), context_(context), inner_(match.layer() == v1::Layer::INNER) {}

  Result<RuleMatch> run() {
    if (auto r = negations(); !r) return r.error();
    if (auto r = link(); !r) return r.error();
    if (auto r = ip(); !r) return r.error();
    if (auto r = transport(); !r) return r.error();
    if (auto r = tunnel(); !r) return r.error();
    if (auto r = bytes(); !r) return r.error();
    if (auto r = regex(); !r) return r.error();
    if (!negated_.empty()) return Error{ErrorCode::kInvalid, "not", "negates " + *negated_.begin() + ", which this match does not ask for"};
    if (match_.bidirectional()) add_swapped();
    if (remainder_)
      for (Alternative& alternative : out_.alternatives) alternative.remainder = remainder_;
    return std::move(out_);
  }

 private:
  using Criteria = std::vector<Criterion>;

  Result<void> negations() {
    static const std::set<std::string> kFields = {"ethernet.src",
                                                  "ethernet.dst",
                                                  "ethernet.ethertype",
                                                  "vlan.id",
                                                  "vlan.pcp",
                                                  "mpls.label",
                                                  "ip.version",
                                                  "ip.src",
                                                  "ip.dst",
                                                  "ip.addr",
                                                  "ip.src_set",
                                                  "ip.dst_set",
                                                  "ip.addr_set",
                                                  "ip.endpoint",
                                                  "ip.protocol",
                                                  "ip.dscp",
                                                  "ip.ecn",
                                                  "ip.ttl",
                                                  "ip.fragment",
                                                  "ip.length",
                                                  "l4.src_port",
                                                  "l4.dst_port",
                                                  "l4.port",
                                                  "l4.tcp_flags",
                                                  "icmp.type",
                                                  "icmp.code",
                                                  "tunnel.kind",
                                                  "tunnel.vni",
                                                  "tunnel.gre_key",
                                                  "tunnel.gtp_teid",
                                                  "tunnel.erspan_session",
                                                  "direction",
                                                  "present",
                                                  "bytes",
                                                  "regex"};
    for (int i = 0; i < match_.not__size(); ++i) {
      if (!kFields.contains(match_.not_(i))) return bad_entry("not", i, match_.not_(i), "a field of a match, such as ip.src");
      negated_.insert(match_.not_(i));
    }
    return {};
  }

  /// Every alternative so far with each of these.
  void both(const std::vector<Criteria>& ways) {
    std::vector<Alternative> next;
    for (const Alternative& present : out_.alternatives)
      for (const Criteria& way : ways) {
        next.push_back(present);
        next.back().criteria.insert(next.back().criteria.end(), way.begin(), way.end());
      }
    out_.alternatives = std::move(next);
  }

  Criterion criterion(Field field, std::shared_ptr<const Values> values, bool negated, uint8_t level = 0) const {
    if (negated) values = std::make_shared<const Values>(complement(*values, field));
    return {{field, inner_, level}, std::move(values)};
  }
  static std::shared_ptr<const Values> shared(Values values) { return std::make_shared<const Values>(std::move(values)); }

  Result<void> ask(Field field, const char* name, Result<Values> values, uint8_t level = 0) {
    if (!values) return values.error();
    const Criterion asked = criterion(field, shared(std::move(*values)), negated_.erase(name) > 0, level);
    for (Alternative& alternative : out_.alternatives) alternative.criteria.push_back(asked);
    return {};
  }
  /// Either of two fields has one of the values; negated: neither has.
  void ask_either(Field one, Field other, const char* name, std::shared_ptr<const Values> values) {
    const bool negated = negated_.erase(name) > 0;
    const Criterion a = criterion(one, values, negated), b = criterion(other, values, negated);
    if (negated) both({{a, b}});
    else both({{a}, {b}});
  }

  Result<void> link() {
    const auto& ethernet = match_.ethernet();
    if (ethernet.src_size() > 0)
      if (auto r = ask(Field::kEtherSrc, "ethernet.src", macs_of(ethernet.src(), "ethernet.src")); !r) return r;
    if (ethernet.dst_size() > 0)
      if (auto r = ask(Field::kEtherDst, "ethernet.dst", macs_of(ethernet.dst(), "ethernet.dst")); !r) return r;
    if (ethernet.ethertype_size() > 0)
      if (auto r = ask(Field::kEtherType, "ethernet.ethertype", ethertypes_of(ethernet.ethertype(), "ethernet.ethertype")); !r) return r;
    const auto& vlan = match_.vlan();
    if (vlan.has_level() && (vlan.level() < 1 || vlan.level() > kMaxVlanTags))
      return Error{ErrorCode::kInvalid, "vlan.level", "must be from 1 to 8"};
    const auto level = static_cast<uint8_t>(vlan.has_level() ? vlan.level() - 1 : 0);
    if (vlan.id_size() > 0)
      if (auto r = ask(Field::kVlanId, "vlan.id", numbers_of(vlan.id(), "vlan.id", kMaxVlan, kVlansInWords), level); !r) return r;
    if (vlan.pcp_size() > 0)
      if (auto r = ask(Field::kVlanPcp, "vlan.pcp", numbers_of(vlan.pcp(), "vlan.pcp", 7), level); !r) return r;
    if (match_.mpls().label_size() > 0)
      if (auto r = ask(Field::kMplsLabel, "mpls.label", numbers_of(match_.mpls().label(), "mpls.label", 1048575)); !r) return r;
    if (match_.present_size() > 0)
      if (auto r = ask(Field::kPresence, "present", headers_of(match_.present(), "present")); !r) return r;
    if (match_.direction_size() > 0) {
      // Of the port, not of a layer; and no port but the TAP pairs' has a direction.
      const bool negated = negated_.erase("direction") > 0;
      if (context_.a.none()) return Error{ErrorCode::kInvalid, "direction", "needs a map with TAP pairs among its sources"};
      std::bitset<128> ports;
      for (const int side : match_.direction()) ports |= side == v1::TapDirection::A ? context_.a : context_.b;
      if (negated) ports = (context_.a | context_.b) & ~ports;
      both({{{{Field::kPort}, shared(slots_of(ports))}}});
    }
    return {};
  }

  /// One of these fields is in an address set; negated: none is.
  Result<void> ask_set(const std::string& id, const char* name, const std::vector<Field>& fields) {
    if (id.empty()) return {};
    const auto found = context_.address_sets.find(id);
    if (found == context_.address_sets.end()) return Error{ErrorCode::kInvalid, name, "there is no address set \"" + id + "\""};
    const bool negated = negated_.erase(name) > 0;
    std::vector<Criteria> ways;
    for (const Field field : fields) {
      if (ways.empty() || !negated) ways.emplace_back();
      ways.back().push_back(criterion(field, negated ? found->second.out : found->second.in, false));
    }
    both(ways);
    return {};
  }

  Result<void> ip() {
    const auto& ip = match_.ip();
    if (ip.has_version()) {
      if (ip.version() != 4 && ip.version() != 6) return Error{ErrorCode::kInvalid, "ip.version", "must be 4 or 6"};
      if (auto r = ask(Field::kIpVersion, "ip.version", Values{{{ip.version(), ip.version()}}, {}}); !r) return r;
    }
    if (ip.src_size() > 0)
      if (auto r = ask(Field::kSrc, "ip.src", addresses_of(ip.src(), "ip.src")); !r) return r;
    if (ip.dst_size() > 0)
      if (auto r = ask(Field::kDst, "ip.dst", addresses_of(ip.dst(), "ip.dst")); !r) return r;
    if (ip.addr_size() > 0) {
      auto values = addresses_of(ip.addr(), "ip.addr");
      if (!values) return values.error();
      ask_either(Field::kSrc, Field::kDst, "ip.addr", shared(std::move(*values)));
    }
    if (auto r = ask_set(ip.src_set(), "ip.src_set", {Field::kSrc}); !r) return r;
    if (auto r = ask_set(ip.dst_set(), "ip.dst_set", {Field::kDst}); !r) return r;
    if (auto r = ask_set(ip.addr_set(), "ip.addr_set", {Field::kSrc, Field::kDst}); !r) return r;
    if (ip.has_endpoint())
      if (auto r = endpoint(ip.endpoint()); !r) return r;
    if (ip.protocol_size() > 0)
      if (auto r = ask(Field::kProtocol, "ip.protocol", protocols_of(ip.protocol(), "ip.protocol")); !r) return r;
    if (ip.dscp_size() > 0)
      if (auto r = ask(Field::kDscp, "ip.dscp", numbers_of(ip.dscp(), "ip.dscp", 63)); !r) return r;
    if (ip.ecn_size() > 0)
      if (auto r = ask(Field::kEcn, "ip.ecn", numbers_of(ip.ecn(), "ip.ecn", 3)); !r) return r;
    if (ip.ttl_size() > 0)
      if (auto r = ask(Field::kTtl, "ip.ttl", numbers_of(ip.ttl(), "ip.ttl", 255)); !r) return r;
    if (ip.fragment_size() > 0)
      if (auto r = ask(Field::kFragment, "ip.fragment", enumerated(ip.fragment())); !r) return r;
    if (ip.length_size() > 0)
      if (auto r = ask(Field::kLength, "ip.length", numbers_of(ip.length(), "ip.length", 65575)); !r) return r;
    return {};
  }

  /// Address and port of one side. Negated: of neither.
  Result<void> endpoint(const v1::Endpoint& endpoint) {
    std::vector<std::pair<Field, Field>> fields;  // as source, as destination
    std::vector<std::shared_ptr<const Values>> values;
    if (endpoint.addr_size() > 0) {
      auto some = addresses_of(endpoint.addr(), "ip.endpoint.addr");
      if (!some) return some.error();
      fields.emplace_back(Field::kSrc, Field::kDst);
      values.push_back(shared(std::move(*some)));
    }
    if (endpoint.port_size() > 0) {
      auto some = numbers_of(endpoint.port(), "ip.endpoint.port", kMaxPort, kPortsInWords);
      if (!some) return some.error();
      fields.emplace_back(Field::kSrcPort, Field::kDstPort);
      values.push_back(shared(std::move(*some)));
    }
    if (fields.empty()) return Error{ErrorCode::kInvalid, "ip.endpoint", "must have an addr or a port"};
    const bool negated = negated_.erase("ip.endpoint") > 0;
    if (!negated) {
      std::vector<Criteria> ways(2);
      for (std::size_t f = 0; f < fields.size(); ++f) {
        ways[0].push_back(criterion(fields[f].first, values[f], false));
        ways[1].push_back(criterion(fields[f].second, values[f], false));
      }
      both(ways);
      return {};
    }
    // Each side differs in its address or in its port; a packet without either field is none of the two.
    for (const bool as_destination : {false, true}) {
      std::vector<Criteria> ways;
      for (std::size_t f = 0; f < fields.size(); ++f) {
        Criteria way;
        for (std::size_t other = 0; other < fields.size(); ++other) {
          const Field field = as_destination ? fields[other].second : fields[other].first;
          way.push_back(other == f ? criterion(field, values[other], true) : criterion(field, shared({}), true));
        }
        ways.push_back(std::move(way));
      }
      both(ways);
    }
    return {};
  }

  Result<void> transport() {
    const auto& l4 = match_.l4();
    if (l4.src_port_size() > 0)
      if (auto r = ask(Field::kSrcPort, "l4.src_port", numbers_of(l4.src_port(), "l4.src_port", kMaxPort, kPortsInWords)); !r) return r;
    if (l4.dst_port_size() > 0)
      if (auto r = ask(Field::kDstPort, "l4.dst_port", numbers_of(l4.dst_port(), "l4.dst_port", kMaxPort, kPortsInWords)); !r) return r;
    if (l4.port_size() > 0) {
      auto values = numbers_of(l4.port(), "l4.port", kMaxPort, kPortsInWords);
      if (!values) return values.error();
      ask_either(Field::kSrcPort, Field::kDstPort, "l4.port", shared(std::move(*values)));
    }
    if (l4.tcp_flags_size() > 0)
      if (auto r = ask(Field::kTcpFlags, "l4.tcp_flags", tcp_flags_of(l4.tcp_flags(), "l4.tcp_flags")); !r) return r;
    const auto& icmp = match_.icmp();
    if (icmp.type_size() > 0)
      if (auto r = ask(Field::kIcmpType, "icmp.type", numbers_of(icmp.type(), "icmp.type", 255)); !r) return r;
    if (icmp.code_size() > 0)
      if (auto r = ask(Field::kIcmpCode, "icmp.code", numbers_of(icmp.code(), "icmp.code", 255)); !r) return r;
    return {};
  }

  Result<void> tunnel() {
    const auto& tunnel = match_.tunnel();
    const bool inner = std::exchange(inner_, false);  // the header between the layers belongs to the packet
    if (tunnel.kind_size() > 0)
      if (auto r = ask(Field::kTunnelKind, "tunnel.kind", enumerated(tunnel.kind())); !r) return r;
    if (tunnel.vni_size() > 0)
      if (auto r = ask(Field::kVni, "tunnel.vni", numbers_of(tunnel.vni(), "tunnel.vni", 16777215)); !r) return r;
    if (tunnel.gre_key_size() > 0)
      if (auto r = ask(Field::kGreKey, "tunnel.gre_key", numbers_of(tunnel.gre_key(), "tunnel.gre_key", 4294967295)); !r) return r;
    if (tunnel.erspan_session_size() > 0)
      if (auto r = ask(Field::kErspanSession, "tunnel.erspan_session", numbers_of(tunnel.erspan_session(), "tunnel.erspan_session", 1023));
          !r)
        return r;
    if (tunnel.gtp_teid_size() > 0)
      if (auto r = ask(Field::kTeid, "tunnel.gtp_teid", numbers_of(tunnel.gtp_teid(), "tunnel.gtp_teid", 4294967295)); !r) return r;
    inner_ = inner;
    return {};
  }

  Result<void> bytes() {
    if (match_.bytes().empty()) return {};
    auto& remainder = more();
    remainder.patterns_negated = negated_.erase("bytes") > 0;
    for (int i = 0; i < match_.bytes_size(); ++i) {
      const auto& asked = match_.bytes(i);
      const std::string path = "bytes[" + std::to_string(i) + "]";
      BytePattern pattern;
      switch (asked.anchor()) {
        case v1::Anchor::FRAME: pattern.anchor = Anchor::kFrame; break;
        case v1::Anchor::L3: pattern.anchor = Anchor::kL3; break;
        case v1::Anchor::L4: pattern.anchor = Anchor::kL4; break;
        case v1::Anchor::PAYLOAD: pattern.anchor = Anchor::kPayload; break;
        default: return Error{ErrorCode::kInvalid, path + ".anchor", "must be FRAME, L3, L4 or PAYLOAD"};
      }
      if (asked.value().empty()) return Error{ErrorCode::kInvalid, path + ".value", "is required"};
      if (!asked.mask().empty() && asked.mask().size() != asked.value().size())
        return Error{ErrorCode::kInvalid, path + ".mask", "must be as long as value"};
      pattern.offset = asked.offset();
      for (std::size_t b = 0; b < asked.value().size(); ++b) {
        pattern.mask.push_back(static_cast<std::byte>(asked.mask().empty() ? '\xFF' : asked.mask()[b]));
        pattern.value.push_back(static_cast<std::byte>(asked.value()[b]) & pattern.mask.back());
      }
      remainder.patterns.push_back(std::move(pattern));
    }
    return {};
  }

  Result<void> regex() {
    if (match_.regex().empty()) return {};
    const auto expression = context_.scanner->add(match_.regex(), place_() + ".regex");
    if (!expression) return Error{expression.error().code, "regex", expression.error().message};
    auto& remainder = more();
    remainder.scanner = context_.scanner;
    remainder.expression = *expression;
    remainder.expression_negated = negated_.erase("regex") > 0;
    return {};
  }

  /// For what no field says.
  Remainder& more() {
    if (!remainder_) remainder_ = std::make_shared<Remainder>();
    remainder_->inner = inner_;
    return *remainder_;
  }

  /// The same with every source and destination exchanged.
  void add_swapped() {
    const auto other = [](Field field) {
      switch (field) {
        case Field::kSrc: return Field::kDst;
        case Field::kDst: return Field::kSrc;
        case Field::kSrcPort: return Field::kDstPort;
        case Field::kDstPort: return Field::kSrcPort;
        case Field::kEtherSrc: return Field::kEtherDst;
        case Field::kEtherDst: return Field::kEtherSrc;
        default: return field;
      }
    };
    const std::size_t n = out_.alternatives.size();
    for (std::size_t i = 0; i < n; ++i) {
      Alternative swapped = out_.alternatives[i];
      bool differs = false;
      for (Criterion& criterion : swapped.criteria) {
        const Field field = other(criterion.where.field);
        differs |= field != criterion.where.field;
        criterion.where.field = field;
      }
      if (differs) out_.alternatives.push_back(std::move(swapped));
    }
  }

  const v1::Match& match_;
  const Place& place_;
  const MatchContext& context_;
  bool inner_;
  std::set<std::string> negated_;
  RuleMatch out_{{Alternative{}}};
  std::shared_ptr<Remainder> remainder_;
};

}  // namespace

Result<RuleMatch> compile_match(const v1::Match& match, const Place& place, const MatchContext& context) {
  auto made = MatchCompilation(match, place, context).run();
  if (made) return made;
  return Error{made.error().code, place() + "." + made.error().field_path, made.error().message};
}

Result<RuleMatch> compile_filter(const v1::Filter& filter, const std::string& path, const MatchContext& context) {
  RuleMatch any;
  for (int i = 0; i < filter.matches_size(); ++i) {
    auto one = compile_match(
        filter.matches(i), [&] { return path + ".matches[" + std::to_string(i) + "]"; }, context);
    if (!one) return one;
    std::move(one->alternatives.begin(), one->alternatives.end(), std::back_inserter(any.alternatives));
  }
  if (!filter.negate()) return any;
  auto remainder = std::make_shared<Remainder>();
  remainder->unless = std::make_shared<const RuleMatch>(std::move(any));
  return RuleMatch{{Alternative{{}, std::move(remainder)}}};
}

Result<SetValues> compile_address_set(const v1::AddressSet& set, const std::string& path) {
  auto values = addresses_of(set.entries(), path + ".entries");
  if (!values) return values.error();
  const auto in = std::make_shared<const Values>(std::move(*values));
  return SetValues{in, std::make_shared<const Values>(complement(*in, Field::kSrc))};
}

Result<void> compile_vlans(const v1::Sources& sources, const std::string& path, ClassifierMap& out) {
  for (int i = 0; i < sources.vlans_size(); ++i) {
    if (sources.vlans(i) == "untagged") {
      out.untagged = true;
      continue;
    }
    const auto range = parse_range(sources.vlans(i), kMaxVlan);
    if (!range) return bad_entry(path + ".vlans", i, sources.vlans(i), "a VLAN id, a range of them, or \"untagged\"");
    out.vlans.push_back(*range);
  }
  return {};
}

}  // namespace sluice::compile
