// Random rules and packets that meet them, and the plain answer: rule after rule.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engine/classify/classifier.h"
#include "tests/packet/cases.h"

namespace sluice::test {

using Random = std::mt19937;

inline unsigned below(Random& random, unsigned n) { return static_cast<unsigned>(random() % n); }

/// As Classifier::Options::fewest_cut: more than there are.
inline constexpr uint32_t kNoTrees = 0xFFFFFFFF;

/// Packets of every kind, some of them cut short, 64 a burst.
struct Traffic {
  std::vector<std::vector<std::byte>> bytes;
  std::vector<std::unique_ptr<Burst>> bursts;

  Traffic() = default;
  Traffic(Random& random, unsigned count) {
    const auto& cases = test::parse_cases();
    for (unsigned i = 0; i < count; ++i) {
      bytes.push_back(cases[below(random, static_cast<unsigned>(cases.size()))].packet.bytes());
      if (below(random, 4) == 0) bytes.back().resize(14 + below(random, static_cast<unsigned>(bytes.back().size())) % bytes.back().size());
    }
    gather();
  }
  void gather() {
    for (const auto& packet : bytes) {
      if (bursts.empty() || bursts.back()->size == kBurst) bursts.push_back(std::make_unique<Burst>());
      bursts.back()->add({packet.data(), static_cast<uint32_t>(packet.size()), 0}, 0);
    }
    for (auto& burst : bursts) parse_burst(*burst);
  }
};

/// Criteria around values that the packets have: otherwise hardly any would hold.
inline Criterion some_criterion(Random& random, const Traffic& traffic) {
  for (;;) {
    Where where{static_cast<Field>(below(random, kFields)), below(random, 4) == 0};
    if (where.field == Field::kPort || where.field == Field::kSourceVlan) continue;
    if (where.field == Field::kVlanId || where.field == Field::kVlanPcp) where.level = static_cast<uint8_t>(below(random, 3));
    Values values;
    const Key most = (Key{1} << bits_of(where.field)) - 1;
    for (unsigned n = 1 + below(random, 3); n > 0; --n) {
      const Burst& burst = *traffic.bursts[below(random, static_cast<unsigned>(traffic.bursts.size()))];
      const auto value = value_of(where, {burst, below(random, burst.size), 0});
      if (!value) continue;
      const unsigned free = below(random, 3) ? 0 : below(random, value->v6 ? 128 : bits_of(where.field));
      const Key low = value->key >> free << free, high = low | ((Key{1} << free) - 1);
      if (value->v6) values.ipv6.push_back({low, high});
      else values.numbers.push_back({low, below(random, 5) ? std::min(high, most) : most});
    }
    values.normalise();
    if (below(random, 5) == 0) values = complement(values, where.field);
    return {where, std::make_shared<const Values>(std::move(values))};
  }
}

inline RuleMatch some_match(Random& random, const Traffic& traffic) {
  RuleMatch match;
  for (unsigned a = 1 + below(random, 10) / 8; a > 0; --a) {
    Alternative alternative;
    for (unsigned c = below(random, 4); c > 0; --c) alternative.criteria.push_back(some_criterion(random, traffic));
    if (below(random, 12) == 0) {
      auto remainder = std::make_shared<Remainder>();
      remainder->patterns.push_back({Anchor::kL3, 0, {std::byte{0x45}}, {std::byte{0xFF}}});
      remainder->patterns_negated = below(random, 2) == 0;
      alternative.remainder = std::move(remainder);
    }
    match.alternatives.push_back(std::move(alternative));
  }
  return match;
}

inline std::vector<ClassifierMap> some_maps(Random& random, const Traffic& traffic, unsigned maps, unsigned rules) {
  std::vector<ClassifierMap> out(maps);
  uint32_t index = 0;
  for (unsigned m = 0; m < maps; ++m) {
    out[m].map = m * 2;
    if (maps == 1 || below(random, 5)) out[m].ports.set(3);
    if (below(random, 3)) out[m].ports.set(below(random, 128));
    if (below(random, 4) == 0) out[m].vlans.push_back({0, below(random, 4096)});
    out[m].untagged = below(random, 4) == 0;
    out[m].default_pass = below(random, 3) == 0;
    for (unsigned r = 0; r < rules / maps; ++r) out[m].rules.push_back({some_match(random, traffic), index++, below(random, 2) == 0});
  }
  return out;
}

/// Rule after rule.
inline std::vector<Verdict> plain(const std::vector<ClassifierMap>& maps, const PacketView& packet) {
  std::vector<Verdict> out;
  for (const auto& map : maps) {
    const auto sources = map.sources();
    if (!std::all_of(sources.begin(), sources.end(), [&](const Criterion& c) { return holds(c, packet); })) continue;
    const auto first = std::find_if(map.rules.begin(), map.rules.end(), [&](const auto& rule) { return matches(*rule.match, packet); });
    if (first != map.rules.end()) out.push_back({map.map, first->index, first->pass});
    else if (map.default_pass) out.push_back({map.map, kNoRule, true});
  }
  return out;
}

/// Packets whose verdicts are others than the plain ones.
inline unsigned differences(const Classifier& classifier, const std::vector<ClassifierMap>& maps, const Burst& burst, VerdictBuffer& out,
                            unsigned& verdicts) {
  unsigned different = 0;
  classifier.classify(burst, 3, out);
  for (unsigned i = 0; i < burst.size; ++i) {
    const auto expected = plain(maps, {burst, i, 3});
    const std::span found(&out.verdicts[out.begin[i]], out.begin[i + 1] - out.begin[i]);
    const auto same = [](const Verdict& a, const Verdict& b) { return a.map == b.map && a.rule == b.rule && a.pass == b.pass; };
    different += !std::equal(expected.begin(), expected.end(), found.begin(), found.end(), same);
    verdicts += static_cast<unsigned>(found.size());
  }
  return different;
}

inline unsigned differences(const Classifier& classifier, const std::vector<ClassifierMap>& maps, const Traffic& traffic, unsigned& verdicts) {
  VerdictBuffer out(static_cast<uint32_t>(maps.size()));
  unsigned different = 0;
  for (const auto& burst : traffic.bursts) different += differences(classifier, maps, *burst, out, verdicts);
  return different;
}

/// Networks within few others, so that rules overlap and packets meet them.
inline std::string some_host(Random& random, bool v6) {
  const auto n = [&](unsigned bound) { return std::to_string(below(random, bound)); };
  if (below(random, 12) == 0) return v6 ? "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" : "255.255.255.255";
  if (v6) return "2001:db8:" + n(3) + ":" + n(4) + "::" + n(6);
  return "10." + n(3) + "." + n(4) + "." + n(6);
}

inline Key key_of(const std::string& host, bool v6) {
  const auto address = parse_address(host);
  Key key = 0;
  for (unsigned i = 0; i < (v6 ? 16U : 4U); ++i) key = key << 8 | address->bytes[i];
  return key;
}

/// A rule on addresses, ports and protocol, and sometimes on something else. One address out of `open` is left open.
inline Alternative some_tuple(Random& random, unsigned open = 5) {
  Alternative out;
  const auto ask = [&](Field field, Values values) {
    out.criteria.push_back({{field}, std::make_shared<const Values>(std::move(values))});
  };
  const bool v6 = below(random, 2) == 0;
  for (const Field field : {Field::kSrc, Field::kDst}) {
    if (below(random, open) == 0) continue;
    const unsigned bits = v6 ? 128 : 32, free = std::array{0U, 0U, 0U, 3U, 8U, 16U, 24U, 64U, 80U}[below(random, v6 ? 9 : 7)];
    const Key key = key_of(some_host(random, v6), v6), low = key >> free << free;
    const Interval range{low, low | (free == bits ? ~Key{0} : (Key{1} << free) - 1)};
    ask(field, v6 ? Values{{}, {range}} : Values{{range}, {}});
  }
  for (const Field field : {Field::kSrcPort, Field::kDstPort}) {
    if (below(random, 2)) continue;
    const Key from = below(random, 6);
    if (below(random, 6) == 0) ask(field, {{{from, from}, {from + 3, from + 4}}, {}});
    else ask(field, {{{from, below(random, 4) ? from : below(random, 2) ? from + 2 : 65535}}, {}});
  }
  if (below(random, 2)) ask(Field::kProtocol, {{{below(random, 2) ? Key{6} : Key{17}, Key{17}}}, {}});
  if (below(random, 6) == 0) ask(Field::kTtl, {{{0, 40 + below(random, 60)}}, {}});
  if (below(random, 8) == 0) ask(Field::kPort, {{{below(random, 4), 3}}, {}});
  return out;
}

inline std::vector<std::byte> some_tuple_packet(Random& random) {
  const bool v6 = below(random, 2) == 0;
  test::Packet packet;
  packet.ethernet();
  if (below(random, 4) == 0) packet.vlan(static_cast<uint16_t>(below(random, 4096)));
  const auto src = some_host(random, v6), dst = some_host(random, v6);
  if (v6) packet.ipv6(src, dst);
  else packet.ipv4(src, dst);
  const auto port = [&] { return static_cast<uint16_t>(below(random, 9)); };
  switch (below(random, 3)) {
    case 0: packet.udp(port(), port()); break;
    case 1: packet.tcp(port(), port()); break;
    default: packet.icmp(8); break;
  }
  auto bytes = packet.bytes();
  if (below(random, 10) == 0) bytes.resize(14 + below(random, static_cast<unsigned>(bytes.size()) - 14));
  return bytes;
}

inline bool long_tier() {
  const char* tier = std::getenv("SLUICE_TIER");
  return tier && std::string(tier) == "long";
}

}  // namespace sluice::test
