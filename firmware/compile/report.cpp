#include "compile/report.h"

#include <algorithm>

namespace sluice::compile {
namespace {

void set(v1::Tally* out, const Tally& tally) {
  out->set_packets(tally.packets);
  out->set_bytes(tally.bytes);
}

/// A gauge over workers: while frames pass between them, one may have told of an end whose beginning the other tells next.
void set_gauge(v1::Tally* out, const Tally& tally) {
  if (static_cast<int64_t>(tally.packets) <= 0) return set(out, {});
  set(out, tally);
}

template <std::size_t N>
void set_drops(auto* out, const std::array<Tally, N>& dropped, const std::array<DropText, N>& texts) {
  for (std::size_t i = 0; i < N; ++i) {
    if (dropped[i].packets == 0) continue;
    auto* line = out->Add();
    line->set_reason(texts[i].name);
    line->set_packets(dropped[i].packets);
    line->set_bytes(dropped[i].bytes);
  }
}

void set(v1::Copies* out, const LegCounters& legs) {
  set(out->mutable_created(), legs.created);
  set(out->mutable_merged(), legs.merged);
  set_drops(out->mutable_dropped(), legs.dropped, kCopyDropTexts);
  set(out->mutable_sent(), legs.sent);
  set_gauge(out->mutable_in_flight(), legs.in_flight);
  out->set_unaccounted(legs.unaccounted());
}

/// Sums over workers.
class Sums {
 public:
  Sums(std::span<AccountBook> books, const SlotCounts& used) : books_(books), used_(used) {}
  [[nodiscard]] PortCounters port(PortSlot slot) const {
    PortCounters sum{};
    for (auto& book : books_) sum += book.port(slot);
    return sum;
  }
  [[nodiscard]] LegCounters leg(uint32_t slot) const {
    LegCounters sum{};
    if (slot >= used_.legs) return sum;
    for (auto& book : books_) sum += book.leg(slot);
    return sum;
  }
  [[nodiscard]] MapCounters map(uint32_t slot) const {
    MapCounters sum{};
    if (slot >= used_.maps) return sum;
    for (auto& book : books_) {
      sum.passed += book.map(slot).passed;
      sum.passed_by_default += book.map(slot).passed_by_default;
      sum.hidden += book.map(slot).hidden;
    }
    return sum;
  }
  [[nodiscard]] RuleCounters rule(uint32_t slot) const {
    RuleCounters sum;
    if (slot >= used_.rules) return sum;
    for (auto& book : books_) {
      sum.hits += book.rule(slot).hits;
      sum.last_hit_ns = std::max(sum.last_hit_ns, book.rule(slot).last_hit_ns);
    }
    return sum;
  }

 private:
  std::span<AccountBook> books_;
  SlotCounts used_;
};

const char* role_name(v1::PortRole::Value role) { return v1::PortRole::Value_Name(role).c_str(); }

void report_port(const PortPlan& port, const Sums& sums, const LegCounters& copies, const OutsideCounts* outside, v1::PortLedger* out) {
  out->set_name(port.name);
  out->set_id(port.id);
  out->set_role(role_name(port.role));
  const PortCounters counters = sums.port(port.slot);
  auto* received = out->mutable_received();
  if (outside) {
    if (outside->wire_losses) received->set_wire_losses(*outside->wire_losses);
    received->set_xdp_misses(outside->xdp_misses);
    received->set_xdp_misses_before(outside->xdp_misses_before);
    received->set_lost_in_kernel(outside->lost_in_kernel);
  }
  set(received->mutable_dequeued(), counters.dequeued);
  set_drops(received->mutable_dropped(), counters.dropped, kPacketDropTexts);
  set(received->mutable_unmatched(), counters.unmatched);
  set(received->mutable_fanned_out(), counters.fanned_out);
  set_gauge(received->mutable_held(), counters.held);
  set(received->mutable_compared(), counters.compared);
  set(received->mutable_duplicates(), counters.duplicates);
  received->set_dedup_evicted_live(counters.dedup_evicted_live);
  received->set_unaccounted(counters.unaccounted());
  set(out->mutable_copies(), copies);
  if (outside && outside->tx_dropped) {
    out->mutable_copies()->set_tx_dropped(*outside->tx_dropped);
    out->mutable_copies()->set_delivered(copies.sent.packets - std::min(copies.sent.packets, *outside->tx_dropped));
  }
}

void report_map(const MapPlan& map, const Plan& plan, const Sums& sums, v1::MapLedger* out) {
  out->set_name(map.name);
  out->set_id(map.id);
  const MapCounters counters = sums.map(map.slot);
  for (std::size_t i = 0; i < map.rules.size(); ++i) {
    const RuleCounters counted = sums.rule(map.rules[i].slot);
    auto* line = out->add_rules();
    line->set_id(map.rules[i].id);
    line->set_index(static_cast<uint32_t>(i));
    set(line->mutable_hits(), counted.hits);
    line->set_last_hit_unix_ns(counted.last_hit_ns);
  }
  set(out->mutable_passed(), counters.passed);
  set(out->mutable_passed_by_default(), counters.passed_by_default);
  set(out->mutable_hidden(), counters.hidden);
  for (const auto& destination : map.destinations) {
    auto* line = out->add_destinations();
    line->set_target(destination.target);
    LegCounters all{};
    for (const auto& leg : destination.legs) {
      const LegCounters counted = sums.leg(leg.slot);
      all += counted;
      if (destination.group_id.empty() || leg.port == kNoPort) continue;
      auto* member = line->add_members();
      member->set_port(plan.port(leg.port)->name);
      set(member->mutable_copies(), counted);
    }
    set(line->mutable_copies(), all);
  }
}

void report_group(const GroupPlan& group, const Plan& plan, const Sums& sums, v1::GroupLedger* out) {
  out->set_name(group.name);
  out->set_id(group.id);
  for (const PortSlot member : group.members) {
    LegCounters all{};
    for (const auto& map : plan.maps)
      for (const auto& destination : map.destinations)
        if (destination.group_id == group.id)
          for (const auto& leg : destination.legs)
            if (leg.port == member) all += sums.leg(leg.slot);
    auto* line = out->add_members();
    line->set_port(plan.port(member)->name);
    set(line->mutable_copies(), all);
  }
}

}  // namespace

v1::Measurement report_measurement(const MapPlan& map, const Snapshot& snapshot, std::span<const Measurement> measured,
                                   uint64_t interval_ns) {
  v1::Measurement out;
  out.set_interval_ns(interval_ns);
  const auto add = [&](v1::Measured* line, auto&& tally_of) {
    Tally sum;
    for (const Measurement& one : measured) sum += tally_of(one);
    set(line->mutable_count(), sum);
    const double seconds = static_cast<double>(interval_ns) / 1e9;
    line->mutable_rate()->set_packets(static_cast<uint64_t>(static_cast<double>(sum.packets) / seconds));
    line->mutable_rate()->set_bits(static_cast<uint64_t>(static_cast<double>(sum.bytes) * 8 / seconds));
  };
  add(out.mutable_received(), [](const Measurement& m) { return m.received; });
  add(out.mutable_passed(), [](const Measurement& m) { return m.passed; });
  add(out.mutable_passed_by_default(), [](const Measurement& m) { return m.passed_by_default; });
  std::size_t at = 0;  // in the snapshot, which has the enabled ones, in the same order
  for (std::size_t i = 0; i < map.rules.size() && at < snapshot.rule_slots.size(); ++i) {
    if (snapshot.rule_slots[at] != map.rules[i].slot) continue;
    auto* line = out.add_rules();
    line->set_rule_number(static_cast<uint32_t>(i + 1));
    line->set_rule(map.rules[i].id);
    add(line->mutable_hits(), [at](const Measurement& m) { return m.hits[at]; });
    ++at;
  }
  return out;
}

v1::Ledger report_ledger(const Plan& plan, std::span<const LegPlan> departing, std::span<AccountBook> books, const SlotCounts& used,
                         std::span<const OutsideCounts> outside, int64_t frames_lost) {
  v1::Ledger out;
  const Sums sums(books, used);
  // Of every port slot: the copies of all legs that lead there, and of the retired ones.
  std::vector<LegCounters> copies(kReservedLegs);
  for (uint32_t slot = 0; slot < kReservedLegs; ++slot) copies[slot] = sums.leg(slot);
  uint64_t unaccounted = static_cast<uint64_t>(frames_lost < 0 ? -frames_lost : frames_lost);
  for (const auto& leg : departing) {
    const LegCounters counted = sums.leg(leg.slot);
    unaccounted += counted.unaccounted();
    copies[leg.port] += counted;
  }
  LegCounters retired{};
  for (const auto& c : copies) retired += c;
  for (const auto& map : plan.maps)
    for (const auto& destination : map.destinations)
      for (const auto& leg : destination.legs) {
        const LegCounters counted = sums.leg(leg.slot);
        unaccounted += counted.unaccounted();
        copies[leg.port == kNoPort ? kRetiredWithoutPort : leg.port] += counted;
      }
  unaccounted += retired.unaccounted();

  for (const auto& port : plan.ports) {
    const auto found = std::find_if(outside.begin(), outside.end(), [&](const auto& o) { return o.port == port.slot; });
    report_port(port, sums, copies[port.slot], found == outside.end() ? nullptr : &*found, out.add_ports());
  }
  for (const auto& map : plan.maps) report_map(map, plan, sums, out.add_maps());
  for (const auto& group : plan.groups) report_group(group, plan, sums, out.add_tool_groups());

  PortCounters received{};
  for (uint32_t slot = 0; slot < used.ports; ++slot) {
    const PortCounters one = sums.port(static_cast<PortSlot>(slot));
    unaccounted += one.unaccounted();
    received += one;
  }
  LegCounters all{};
  for (const auto& c : copies) all += c;
  auto* totals = out.mutable_totals();
  set(totals->mutable_dequeued(), received.dequeued);
  Tally dropped;
  for (const auto& d : received.dropped) dropped += d;
  set(totals->mutable_dropped(), dropped);
  set(totals->mutable_unmatched(), received.unmatched);
  set(totals->mutable_fanned_out(), received.fanned_out);
  set_gauge(totals->mutable_held(), received.held);
  set(totals->mutable_copies(), all);
  set(totals->mutable_retired(), retired);
  out.set_quiescent(all.in_flight.packets == 0 && received.held.packets == 0);
  out.set_unaccounted(unaccounted);
  const auto add_reason = [&out](const DropText& text) {
    auto* line = out.add_reasons();
    line->set_name(text.name);
    line->set_text(text.text);
    line->set_remedy(text.remedy);
  };
  for (const auto& text : kPacketDropTexts) add_reason(text);
  for (const auto& text : kCopyDropTexts) add_reason(text);
  return out;
}

}  // namespace sluice::compile
