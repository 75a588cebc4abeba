#include "compile/dedup_advice.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace sluice::compile {
namespace {

using Port = DedupSurveyor::OfPort;
using Pair = DedupSurveyor::OfPair;

/// A pair with fewer duplicates, or a smaller part of its second port's packets, is chance: repeated acknowledgements are.
constexpr uint64_t kFewest = 20;
constexpr double kLeastShare = 0.01;
/// Of a proposal's duplicates, as many as it is to find, whatever was changed; and as many as have to come within half of its window. What comes much later
/// than most is no copy, but the same said again (keepalives, acknowledgements).
constexpr double kFound = 0.99, kSoon = 0.9;
/// Microseconds from which on a port that repeats its own packets does not deliver copies.
constexpr uint64_t kSaidAgain = 8'192;
constexpr uint64_t kLongestWindow = 1'000'000;  // microseconds
constexpr std::size_t kMostPairs = DedupSurveyor::kMostPairs;

struct Survey {
  std::array<Port, kMaxPorts> ports{};
  std::vector<Pair> pairs;
  uint64_t left_out = 0;
};

/// Of a worker that has looked at a larger part, and at nothing since the others look at a smaller one, as much as it would have seen of this.
Survey sum_of(std::span<const DedupSurveyor> surveyed, uint32_t sampled) {
  Survey out;
  std::map<std::pair<PortSlot, PortSlot>, Pair> pairs;
  for (const DedupSurveyor& one : surveyed) {
    const auto part = [&](uint64_t count) { return count * one.sampled() / sampled; };
    out.left_out += part(one.left_out);
    for (std::size_t p = 0; p < kMaxPorts; ++p) {
      out.ports[p].received += one.ports[p].received;
      out.ports[p].looked_at += part(one.ports[p].looked_at);
      out.ports[p].duplicates += part(one.ports[p].duplicates);
    }
    for (const Pair& pair : one.pairs) {
      Pair& to = pairs.try_emplace({pair.first, pair.second}, Pair{.first = pair.first, .second = pair.second}).first->second;
      to.duplicates += part(pair.duplicates);
      for (std::size_t d = 0; d < pair.by_difference.size(); ++d) to.by_difference[d] += part(pair.by_difference[d]);
      for (std::size_t d = 0; d < pair.by_delay.size(); ++d) to.by_delay[d] += part(pair.by_delay[d]);
    }
  }
  for (const auto& [ports, pair] : pairs) out.pairs.push_back(pair);
  std::stable_sort(out.pairs.begin(), out.pairs.end(), [](const Pair& a, const Pair& b) { return a.duplicates > b.duplicates; });
  while (out.pairs.size() > kMostPairs) out.left_out += out.pairs.back().duplicates, out.pairs.pop_back();
  return out;
}

double share(uint64_t part, uint64_t whole) { return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole); }
uint32_t percent(double share) { return static_cast<uint32_t>(std::lround(100 * share)); }

/// Microseconds that this part of the delays does not exceed.
uint64_t delay_of(const std::array<uint64_t, DedupSurveyor::kDelays>& by_delay, double part) {
  const auto all = std::accumulate(by_delay.begin(), by_delay.end(), uint64_t{0});
  uint64_t below = 0;
  for (std::size_t d = 0; d < by_delay.size(); ++d)
    if ((below += by_delay[d]) > 0 && static_cast<double>(below) >= part * static_cast<double>(all)) return uint64_t{1} << d;
  return 0;
}

void list_fields(unsigned difference, auto* to) {
  for (const auto& [bit, value] : {std::pair{dedup_ignore::kVlan, v1::DedupIgnore::VLAN}, {dedup_ignore::kMac, v1::DedupIgnore::MAC},
                                  {dedup_ignore::kTtl, v1::DedupIgnore::TTL}, {dedup_ignore::kDscp, v1::DedupIgnore::DSCP},
                                  {dedup_ignore::kMpls, v1::DedupIgnore::MPLS}, {dedup_ignore::kIpChecksum, v1::DedupIgnore::IP_CHECKSUM},
                                  {dedup_ignore::kTcpSequence, v1::DedupIgnore::TCP_SEQUENCE}, {dedup_ignore::kTunnel, v1::DedupIgnore::TUNNEL}})
    if ((difference & bit) != 0) to->Add(value);
}

/// Twice the delay, at 1, 2 or 5 times a power of ten; what is short has a millisecond all the same, for a worker may be late.
uint32_t window_for(uint64_t delay) {
  constexpr uint64_t kLeast = 1'000;
  const uint64_t wanted = std::clamp(2 * delay, kLeast, kLongestWindow);
  for (uint64_t power = kLeast;; power *= 10)
    for (const uint64_t step : {uint64_t{1}, uint64_t{2}, uint64_t{5}})
      if (power * step >= wanted) return static_cast<uint32_t>(power * step);
}

/// Ports that repeat each other's packets, or their own.
struct Component {
  std::set<PortSlot> ports;
  std::vector<const Pair*> pairs;
};

/// Those that are in one domain today, or are to be, are one.
std::vector<Component> components_of(const Survey& survey, const Snapshot& snapshot) {
  std::vector<Component> out;
  for (const Pair& pair : survey.pairs) {
    if (pair.duplicates < kFewest || share(pair.duplicates, survey.ports[pair.second].looked_at) < kLeastShare) continue;
    if (pair.first == pair.second && delay_of(pair.by_delay, 0.5) > kSaidAgain) continue;
    Component joined{{pair.first, pair.second}, {&pair}};
    const auto touches = [&](PortSlot port) {
      return joined.ports.contains(port) || std::any_of(joined.ports.begin(), joined.ports.end(), [&](PortSlot other) {
               return snapshot.domain_of[port] != kNoDomain && snapshot.domain_of[port] == snapshot.domain_of[other];
             });
    };
    // Whoever is joined may touch others.
    for (bool more = true; more;) {
      const auto one = std::find_if(out.begin(), out.end(), [&](const Component& c) { return std::any_of(c.ports.begin(), c.ports.end(), touches); });
      more = one != out.end();
      if (!more) break;
      joined.ports.merge(one->ports);
      joined.pairs.insert(joined.pairs.end(), one->pairs.begin(), one->pairs.end());
      out.erase(one);
    }
    out.push_back(std::move(joined));
  }
  return out;
}

/// TTL and DSCP leave out the IPv4 checksum as well.
unsigned with_what_follows(unsigned ignore) {
  return ignore | ((ignore & (dedup_ignore::kTtl | dedup_ignore::kDscp)) != 0 ? dedup_ignore::kIpChecksum : 0U);
}

v1::DedupProposal proposal_of(const Component& component, const Survey& survey, const Plan& plan, const Snapshot& snapshot, uint64_t interval_ns) {
  std::array<uint64_t, DedupSurveyor::kSets> by_difference{};
  std::array<uint64_t, DedupSurveyor::kDelays> by_delay{};
  for (const Pair* pair : component.pairs) {
    for (std::size_t d = 0; d < by_difference.size(); ++d) by_difference[d] += pair->by_difference[d];
    for (std::size_t d = 0; d < by_delay.size(); ++d) by_delay[d] += pair->by_delay[d];
  }
  const auto all = std::accumulate(by_difference.begin(), by_difference.end(), uint64_t{0});
  std::vector<unsigned> sets(by_difference.size());
  std::iota(sets.begin(), sets.end(), 0U);
  std::stable_sort(sets.begin(), sets.end(), [&](unsigned a, unsigned b) { return by_difference[a] > by_difference[b]; });
  const auto found = [&](unsigned ignored) {
    uint64_t sum = 0;
    for (unsigned set = 0; set < by_difference.size(); ++set)
      if ((set & ~with_what_follows(ignored)) == 0) sum += by_difference[set];
    return sum;
  };
  unsigned ignore = 0;
  for (auto set = sets.begin(); set != sets.end() && static_cast<double>(found(ignore)) < kFound * static_cast<double>(all); ++set) ignore |= *set;
  const uint64_t delay = delay_of(by_delay, kSoon);
  uint32_t window = window_for(delay);
  const uint64_t duplicates = found(ignore);

  std::set<PortSlot> ports = component.ports;
  std::set<uint8_t> domains;
  for (const PortSlot port : ports) domains.insert(snapshot.domain_of[port]);
  bool in_force = domains.size() == 1 && !domains.contains(kNoDomain);
  domains.erase(kNoDomain);
  const auto is = [&](DedupStart start) { return [&snapshot, start](uint8_t d) { return snapshot.domains[d].comparison.start == start; }; };
  v1::DedupProposal out;
  out.set_start(v1::DedupStart::L3);
  if (!domains.empty() && std::all_of(domains.begin(), domains.end(), is(DedupStart::kFrame))) out.set_start(v1::DedupStart::FRAME);
  if (std::any_of(domains.begin(), domains.end(), is(DedupStart::kInnerL3))) out.set_start(v1::DedupStart::INNER_L3);
  for (const uint8_t d : domains) {
    const DedupDomain& domain = snapshot.domains[d];
    in_force = in_force && (ignore & ~with_what_follows(domain.comparison.ignore)) == 0 && domain.window_ns >= 1000 * std::min(delay, kLongestWindow);
  }
  if (in_force) out.set_in_force(plan.domains[*domains.begin()].name);
  for (const uint8_t d : domains) {
    const DedupDomain& domain = snapshot.domains[d];
    if (!in_force) out.add_replaces(plan.domains[d].name);
    for (PortSlot port = 0; port < kMaxPorts; ++port)
      if (snapshot.domain_of[port] == d) ports.insert(port);
    ignore |= domain.comparison.ignore;
    window = std::max(window, static_cast<uint32_t>(domain.window_ns / 1000));
  }

  uint64_t received = 0, looked_at = 0;
  for (const PortSlot port : ports) {
    received += survey.ports[port].received, looked_at += survey.ports[port].looked_at;
    if (const PortPlan* of = plan.port(port)) out.add_ports(of->name);
  }
  const double saved = share(duplicates, looked_at);
  out.set_saved_percent(percent(saved));
  out.set_saved_packets_per_second(static_cast<uint64_t>(std::llround(saved * static_cast<double>(received) * 1e9 / static_cast<double>(interval_ns))));
  out.set_window(window);
  list_fields(ignore, out.mutable_ignore());
  if (ignore == 0) out.add_ignore(v1::DedupIgnore::NONE);
  for (const ClassifierMap& map : snapshot.classifier.maps()) {
    const auto has = static_cast<std::size_t>(std::count_if(ports.begin(), ports.end(), [&](PortSlot port) { return map.ports[port]; }));
    const auto& destinations = snapshot.maps[map.map].destinations;
    const bool keeps = std::all_of(destinations.begin(), destinations.end(), [](const SnapshotDestination& to) { return to.keeps_duplicates; });
    const bool by_tag = (ignore & dedup_ignore::kVlan) != 0 && (!map.vlans.empty() || map.untagged);
    if (has > 0 && !keeps && (has < ports.size() || by_tag)) out.add_maps_with_a_part(plan.maps[map.map].name);
  }
  return out;
}

}  // namespace

v1::DedupAdvice advise_dedup(const Plan& plan, const Snapshot& snapshot, std::span<const DedupSurveyor> surveyed, uint32_t sampled,
                             uint64_t interval_ns) {
  const Survey survey = sum_of(surveyed, sampled);
  v1::DedupAdvice out;
  out.set_interval_ns(interval_ns);
  out.set_sampled(sampled);
  out.set_revision(snapshot.revision);
  out.set_duplicates_left_out(survey.left_out);
  const auto name = [&plan](PortSlot slot) {
    const PortPlan* const port = plan.port(slot);
    return port ? port->name : std::string();
  };
  for (PortSlot slot = 0; slot < kMaxPorts; ++slot) {
    const Port& port = survey.ports[slot];
    if (port.received == 0) continue;
    auto* line = out.add_ports();
    line->set_port(name(slot));
    line->set_received(port.received);
    line->set_looked_at(port.looked_at);
    line->set_duplicates(port.duplicates);
    line->set_share_percent(percent(share(port.duplicates, port.looked_at)));
  }
  for (const Pair& pair : survey.pairs) {
    auto* line = out.add_pairs();
    line->set_first(name(pair.first));
    line->set_second(name(pair.second));
    line->set_duplicates(pair.duplicates);
    line->set_share_percent(percent(share(pair.duplicates, survey.ports[pair.second].looked_at)));
    line->set_median_microseconds(delay_of(pair.by_delay, 0.5));
    line->set_most_microseconds(delay_of(pair.by_delay, kFound));
    std::vector<unsigned> sets;
    for (unsigned set = 0; set < pair.by_difference.size(); ++set)
      if (pair.by_difference[set] > 0) sets.push_back(set);
    std::stable_sort(sets.begin(), sets.end(), [&](unsigned a, unsigned b) { return pair.by_difference[a] > pair.by_difference[b]; });
    for (const unsigned set : sets) {
      auto* difference = line->add_differences();
      list_fields(set, difference->mutable_fields());
      difference->set_share_percent(percent(share(pair.by_difference[set], pair.duplicates)));
    }
  }
  for (const Component& component : components_of(survey, snapshot)) *out.add_proposals() = proposal_of(component, survey, plan, snapshot, interval_ns);
  std::stable_sort(out.mutable_proposals()->begin(), out.mutable_proposals()->end(),
                   [](const auto& a, const auto& b) { return a.saved_packets_per_second() > b.saved_packets_per_second(); });
  return out;
}

}  // namespace sluice::compile
