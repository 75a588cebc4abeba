#include "api/rates.h"

#include <cmath>
#include <map>
#include <string>

namespace sluice::api {
namespace {

struct Sum {
  uint64_t packets = 0, bytes = 0;
  template <class Counted>
  void add(const Counted& c) {
    packets += c.packets();
    bytes += c.bytes();
  }
};

template <class Drops>
void add_drops(Sum& sum, const Drops& drops) {
  for (const auto& drop : drops) sum.add(drop);
}

/// Counters of one moment; never smaller later.
struct Rater {
  uint64_t interval_ns;
  [[nodiscard]] uint64_t per_second(uint64_t before, uint64_t after) const {
    constexpr double kSecond = 1e9;
    if (after <= before || interval_ns == 0) return 0;
    return static_cast<uint64_t>(std::llround(static_cast<double>(after - before) * kSecond / static_cast<double>(interval_ns)));
  }
  void operator()(const Sum& before, const Sum& after, v1::Rate* out) const {
    constexpr uint64_t kBits = 8;
    out->set_packets(per_second(before.packets, after.packets));
    out->set_bits(per_second(before.bytes, after.bytes) * kBits);
  }
};

struct PortSums {
  Sum received, sent, dropped;
  uint64_t lost = 0;
  explicit PortSums(const v1::PortLedger& port) {
    const auto& r = port.received();
    received.add(r.dequeued());
    sent.add(port.copies().sent());
    add_drops(dropped, r.dropped());
    add_drops(dropped, port.copies().dropped());
    lost = r.wire_losses() + r.xdp_misses() + r.lost_in_kernel();
  }
};

Sum dropped_of(const v1::Copies& copies) {
  Sum sum;
  add_drops(sum, copies.dropped());
  return sum;
}

Sum of(const v1::Tally& tally) { return {tally.packets(), tally.bytes()}; }

void add_map(const v1::MapLedger& before, const v1::MapLedger& after, const Rater& rate, v1::Rates& out) {
  std::map<std::string, const v1::Copies*> former;
  for (const auto& destination : before.destinations()) former[destination.target()] = &destination.copies();
  Sum was, is;
  for (const auto& destination : after.destinations()) {
    const auto found = former.find(destination.target());
    if (found == former.end()) continue;
    const auto &a = *found->second, &b = destination.copies();
    auto* one = out.add_destinations();
    one->set_map(after.name());
    one->set_target(destination.target());
    rate(of(a.sent()), of(b.sent()), one->mutable_sent());
    rate(dropped_of(a), dropped_of(b), one->mutable_dropped());
    add_drops(was, a.dropped());
    add_drops(is, b.dropped());
  }
  auto* map = out.add_maps();
  map->set_name(after.name());
  map->set_id(after.id());
  rate(of(before.passed()), of(after.passed()), map->mutable_passed());
  rate(was, is, map->mutable_dropped());
}

template <class List>
auto by_id(const List& list) {
  std::map<std::string, const typename List::value_type*> out;
  for (const auto& one : list) out[one.id()] = &one;
  return out;
}

}  // namespace

v1::Rates rates_between(const v1::Ledger& before, const v1::Ledger& after, uint64_t interval_ns) {
  v1::Rates out;
  out.set_interval_ns(interval_ns);
  const Rater rate{interval_ns};
  const auto ports = by_id(before.ports());
  for (const auto& port : after.ports()) {
    const auto found = ports.find(port.id());
    if (found == ports.end()) continue;
    const PortSums was(*found->second), is(port);
    auto* one = out.add_ports();
    one->set_name(port.name());
    one->set_id(port.id());
    rate(was.received, is.received, one->mutable_received());
    rate(was.sent, is.sent, one->mutable_sent());
    rate(was.dropped, is.dropped, one->mutable_dropped());
    one->set_lost(rate.per_second(was.lost, is.lost));
  }
  const auto maps = by_id(before.maps());
  for (const auto& map : after.maps())
    if (const auto found = maps.find(map.id()); found != maps.end()) add_map(*found->second, map, rate, out);
  return out;
}

}  // namespace sluice::api
