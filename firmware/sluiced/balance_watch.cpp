#include "sluiced/balance_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace sluice {
namespace {

/// With less a group warns of nothing: a few packets are never shared evenly.
constexpr uint64_t kLittle = 1'000'000;  // bits per second
/// A flow of the largest member's that has less of what that gets is no cause; and no more are told.
constexpr double kLarge = 0.05;
constexpr std::size_t kMostTold = 5;

std::string address(const std::array<std::byte, 16>& bytes, bool v6) {
  IpAddress out{.version = static_cast<uint8_t>(v6 ? 6 : 4)};
  for (std::size_t i = 0; i < (v6 ? 16U : 4U); ++i) out.bytes[i] = std::to_integer<uint8_t>(bytes[i]);
  return to_string(out);
}

std::string protocol_name(uint8_t protocol) {
  switch (protocol) {
    case 1: return "ICMP";
    case 6: return "TCP";
    case 17: return "UDP";
    case 58: return "ICMPv6";
    case 132: return "SCTP";
    default: return "protocol " + std::to_string(protocol);
  }
}

}  // namespace

std::string text_of(const FlowName& flow) {
  if (!flow.ip) {
    const auto mac = [](const std::array<std::byte, 16>& bytes) {
      Mac out{};
      for (std::size_t i = 0; i < 6; ++i) out[i] = std::to_integer<uint8_t>(bytes[i]);
      return to_string(out);
    };
    return fmt::format("{} > {} EtherType 0x{:04x}", mac(flow.src), mac(flow.dst), flow.ethertype);
  }
  const auto end = [&](const std::array<std::byte, 16>& bytes, uint16_t port) {
    const std::string host = address(bytes, flow.v6);
    if (!flow.has_ports) return host;
    return (flow.v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
  };
  return end(flow.src, flow.src_port) + " > " + end(flow.dst, flow.dst_port) + " " + protocol_name(flow.protocol);
}

/// Of all maps that send to the group.
BalanceWatch::Bytes BalanceWatch::bytes_of(const compile::Plan& plan, const compile::GroupPlan& group, std::span<AccountBook> books) {
  Bytes out(group.members.size());
  for (const auto& map : plan.maps)
    for (const auto& destination : map.destinations)
      if (destination.group_id == group.id)
        for (std::size_t m = 0; m < std::min(out.size(), destination.legs.size()); ++m)
          for (AccountBook& book : books) out[m] += book.leg(destination.legs[m].slot).created.bytes;
  return out;
}

void BalanceWatch::begin(const Snapshot& snapshot, const compile::Plan& plan, std::span<AccountBook> books) {
  bytes_.clear();
  buckets_.clear();
  seen_.clear();
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    bytes_.push_back(bytes_of(plan, plan.groups[g], books));
    buckets_.push_back(snapshot.groups[g].table->in_force());
  }
}

void BalanceWatch::look(const Snapshot& snapshot, const compile::Plan& plan, const std::vector<std::unique_ptr<FlowCensus>>& censuses,
                        std::span<AccountBook> books, double seconds) {
  seen_.clear();
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    Bytes now = bytes_of(plan, plan.groups[g], books), since = now;
    for (std::size_t m = 0; m < since.size(); ++m) since[m] -= std::min(since[m], bytes_[g][m]);
    bytes_[g] = std::move(now);
    Seen& seen = seen_[plan.groups[g].id] = look_at(snapshot, plan, g, censuses, since, seconds);
    // Where flows moved meanwhile, whose part was what?
    const Buckets& buckets = snapshot.groups[g].table->in_force();
    if (std::exchange(buckets_[g], buckets) != buckets) seen.warning.clear(), seen.largest.clear();
  }
}

BalanceWatch::Seen BalanceWatch::look_at(const Snapshot& snapshot, const compile::Plan& plan, std::size_t g,
                                         const std::vector<std::unique_ptr<FlowCensus>>& censuses, const Bytes& bytes, double seconds) {
  const compile::GroupPlan& group = plan.groups[g];
  const Buckets& buckets = snapshot.groups[g].table->in_force();
  Seen out;
  std::vector<double> flows(group.members.size());
  for (std::size_t b = 0; b < kBuckets; ++b) {
    uint64_t seen = 0;  // a flow that two workers see is one
    for (const auto& census : censuses) seen |= census->of(g).seen[b];
    if (buckets[b] < flows.size()) flows[buckets[b]] += flows_of(seen);
  }
  const uint64_t all = std::accumulate(bytes.begin(), bytes.end(), uint64_t{0});
  const auto share_of = [&](std::size_t m) { return all == 0 ? 0 : static_cast<double>(bytes[m]) / static_cast<double>(all); };
  const auto bits = [seconds](uint64_t of) { return static_cast<uint64_t>(static_cast<double>(of) * 8 / seconds); };
  for (std::size_t m = 0; m < group.members.size(); ++m)
    out.members[plan.port(group.members[m])->name] = {bits(bytes[m]), static_cast<uint64_t>(std::llround(flows[m])), share_of(m)};
  if (group.imbalance == 0 || all == 0 || bits(all) < kLittle) return out;

  // Parts are by the buckets that members have: who stands in for another has his, too.
  const auto with_member =
      static_cast<double>(std::count_if(buckets.begin(), buckets.end(), [&](uint8_t member) { return member < group.members.size(); }));
  std::size_t worst = 0;
  double excess = 0;
  for (std::size_t m = 0; m < group.members.size(); ++m) {
    const auto had = static_cast<double>(std::count(buckets.begin(), buckets.end(), m)) / with_member;
    if (had > 0 && share_of(m) / had > excess) worst = m, excess = share_of(m) / had;
  }
  if (excess <= 1 + group.imbalance / 100.0) return out;
  const std::string& name = plan.port(group.members[worst])->name;
  out.warning = fmt::format("{} has {:.0f} % of the load, {:.1f} times its part", name, 100 * share_of(worst), excess);
  // Of all workers together; what is sure to be the flow's alone.
  std::map<uint64_t, std::pair<double, const FlowCensus::Flow*>> sizes;
  double looked_at = 0;
  for (const auto& census : censuses) {
    looked_at += static_cast<double>(census->of(g).bytes);
    for (const auto& flow : census->of(g).flows) {
      if (pick_member(buckets, flow.hash) != worst) continue;
      auto& [size, of] = sizes[flow.hash];
      size += static_cast<double>(flow.bytes - flow.others);
      of = &flow;
    }
  }
  std::vector<std::pair<double, const FlowCensus::Flow*>> largest;
  for (const auto& [hash, flow] : sizes) largest.push_back(flow);
  std::sort(largest.begin(), largest.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [size, flow] : largest) {
    const double of_all = looked_at == 0 ? 0 : size / looked_at;
    if (of_all < kLarge * share_of(worst) || out.largest.size() == kMostTold) break;
    auto& told = out.largest.emplace_back();
    told.set_port(name);
    told.set_flow(text_of(flow->name));
    told.set_share_percent(static_cast<uint32_t>(std::lround(100 * of_all)));
    told.set_bits_per_second(static_cast<uint64_t>(of_all * static_cast<double>(bits(all))));
  }
  if (!out.largest.empty()) out.warning += fmt::format("; {} % is {}", out.largest.front().share_percent(), out.largest.front().flow());
  return out;
}

void BalanceWatch::report(v1::Status& status) const {
  for (auto& group : *status.mutable_tool_groups()) {
    const auto found = seen_.find(group.id());
    if (found == seen_.end()) continue;
    const Seen& seen = found->second;
    for (auto& member : *group.mutable_members()) {
      const auto of_member = seen.members.find(member.port());
      if (of_member == seen.members.end()) continue;
      member.set_bits_per_second(of_member->second.bits_per_second);
      member.set_flows(of_member->second.flows);
      member.set_share_percent(static_cast<uint32_t>(std::lround(100 * of_member->second.share)));
    }
    group.set_warning(seen.warning);
    for (const auto& flow : seen.largest) *group.add_largest_flows() = flow;
  }
}

}  // namespace sluice
