// What the front panel shows: the ports' states, and what they lost outside the workers.
#include <algorithm>

#include "base/clock.h"
#include "compile/oversubscription.h"
#include "port/multi_buffer.h"
#include "sluiced/panel.h"
#include "system/xdp_features.h"

namespace sluice {

compile::OutsideCounts Panel::counts(const Open& open, const system::Link* now) const {
  compile::OutsideCounts out;
  out.port = open.plan.slot;
  for (const auto& queue : open.queues) {
    const auto s = queue->socket().statistics();
    // Apart from each other since the statistics have both fields (Linux 5.9): no frame or too long, and no room in the rx ring.
    out.lost_in_kernel += s.rx_dropped + s.rx_ring_full;
  }
  if (now && now->ifindex == open.link.ifindex) {
    out.tx_dropped = now->tx_dropped - std::min(now->tx_dropped, open.link.tx_dropped);
    if (!now->pci.empty()) out.wire_losses = now->rx_missed - std::min(now->rx_missed, open.link.rx_missed);
  }
  return out;
}

/// Of all openings of a port, the present one included. links: null where they could not be listed.
compile::OutsideCounts Panel::counts(const State& state, const std::vector<system::Link>* links) const {
  compile::OutsideCounts sum = state.closed;
  if (state.program) sum.xdp_misses += state.program->misses_before() + state.program->misses() - state.misses_base;
  if (!state.open) return sum;
  const auto present = counts(*state.open, links ? system::find_device(*links, state.open->plan.device) : nullptr);
  sum.lost_in_kernel += present.lost_in_kernel;
  if (present.tx_dropped) sum.tx_dropped = sum.tx_dropped.value_or(0) + *present.tx_dropped;
  if (present.wire_losses) sum.wire_losses = sum.wire_losses.value_or(0) + *present.wire_losses;
  return sum;
}

std::vector<compile::OutsideCounts> Panel::outside_counts(const compile::Plan& plan) const {
  const auto links = system::list_links();
  std::vector<compile::OutsideCounts> out;
  for (const auto& port : plan.ports)
    if (const auto found = ports_.find(port.id); found != ports_.end()) out.push_back(counts(found->second, links ? &*links : nullptr));
  return out;
}

void Panel::report_devices(const compile::Plan& plan, const std::vector<system::Link>& links, v1::Status& status) const {
  for (const auto& link : links) {
    const std::string driver = link.stacked ? "" : system::driver_of(link.netdev);
    if (link.pci.empty() && driver != "veth") continue;
    auto* out = status.add_devices();
    out->set_mac(link.mac);
    out->set_pci(link.pci);
    out->set_netdev(link.netdev);
    out->set_driver(driver);
    out->set_up(link.up);
    out->set_carrier(link.carrier);
    out->set_speed_mbps(system::speed_of(link.netdev));
    if (const auto module = modules_.of(link.netdev); module.state != system::Module::State::kUnknown) {
      auto* plugged = out->mutable_module();
      plugged->set_present(module.state == system::Module::State::kPresent);
      plugged->set_kind(module.kind);
      plugged->set_vendor(module.vendor);
      plugged->set_part(module.part);
      plugged->set_copper(module.copper);
      plugged->set_light(system::light_of(module));
    }
    out->set_management(!link.stacked && is_reserved(link));
    if (const auto features = system::xdp_features(link.ifindex)) out->set_zero_copy(*features & system::kXdpZeroCopy);
    for (const auto& port : plan.ports)
      if (const auto* bound = system::find_device(links, port.device); bound && bound->ifindex == link.ifindex) out->set_port(port.name);
  }
}

uint64_t Panel::speed_of(const compile::PortPlan& port, const std::vector<system::Link>& links) {
  const auto* link = system::find_device(links, port.device);
  return link ? uint64_t{system::speed_of(link->netdev)} * 1'000'000 : 0;
}

std::string Panel::fault_of(const compile::PortPlan& port, const std::vector<system::Link>& links, bool by_link) const {
  if (!port.enabled) return "the port is disabled";
  const auto* link = system::find_device(links, port.device);
  if (!link) return port.device.empty() ? "no device is bound to the port" : "its device is not there";
  const auto found = ports_.find(port.id);
  if (found == ports_.end() || !found->second.open) return "the port is not open";
  return by_link && !link->carrier ? "no link" : "";
}

Result<void> Panel::identify(const std::string& device, uint32_t seconds) {
  const auto links = system::list_links();
  if (!links) return links.error();
  const auto* link = system::find_device(*links, device);
  if (!link) return Error{ErrorCode::kNotFound, "", "there is no device " + device};
  return system::blink(link->netdev, seconds);
}

namespace {

void report_bursts(const BurstWatch& watch, v1::Bursts& out) {
  const auto show = [](const BurstWatch::Peak& peak, v1::Burst& to) {
    to.set_bits_per_second(peak.bytes * 8 * 1000);
    to.set_at_unix_ns(peak.at_unix_ns);
    to.set_deepest_frames(peak.deepest);
    to.set_longest_microseconds(peak.longest_us);
    to.set_fullest_percent(peak.fullest);
  };
  const BurstWatch::Peak highest = watch.highest(monotonic_ns());
  show(watch.last(), *out.mutable_last_second());
  show(highest, *out.mutable_ten_minutes());
  out.set_warning(compile::burst_warning(highest.fullest));
}

}  // namespace

void Panel::report(const compile::Plan& plan, const std::map<std::string, uint64_t>& idle, v1::Status& status) const {
  const auto links = system::list_links();
  if (links) report_devices(plan, *links, status);
  for (const auto& port : plan.ports) {
    auto* out = status.add_ports();
    out->set_name(port.name);
    out->set_id(port.id);
    out->set_role(v1::PortRole::Value_Name(port.role));
    out->set_device(port.device);
    const auto* link = links ? system::find_device(*links, port.device) : nullptr;
    if (link) {
      out->set_netdev(link->netdev);
      out->set_driver(system::driver_of(link->netdev));
      out->set_mtu(link->mtu);
    }
    const auto found = ports_.find(port.id);
    const State* state = found == ports_.end() ? nullptr : &found->second;
    const auto is = [out](const char* name, std::string reason) {
      out->set_state(name);
      out->set_reason(std::move(reason));
    };
    if (port.device.empty()) is("UNBOUND", "no device is given; set \"device\" to a MAC or PCI address");
    else if (!port.enabled) is("DISABLED", "");
    else if (links && system::count_devices(*links, port.device) > 1)
      is("MISSING", "several devices have " + port.device + ": give the PCI address of the right one");
    else if (!link) is("MISSING", "there is no device " + port.device + "; check the card, or bind the port to another");
    else if (!state || !state->open) is("FAULT", state ? state->fault : "not opened yet");
    else if (!link->carrier) is("NO_LINK", "no carrier: check cable and module, and that the far end is up");
    else
      is("UP",
         state->program->survives_crash() ? "" : "the XDP program could not be pinned: a crash would let the host see this port's traffic");
    if (!state) continue;
    const auto lost = counts(*state, links ? &*links : nullptr);
    auto* losses = out->mutable_losses();
    if (lost.wire_losses) losses->set_wire(*lost.wire_losses);
    losses->set_xdp_misses(lost.xdp_misses);
    losses->set_kernel(lost.lost_in_kernel);
    if (lost.tx_dropped) losses->set_tx_dropped(*lost.tx_dropped);
    if (!state->open) continue;
    if (link) {
      const auto quiet = idle.find(port.id);
      const auto cable = system::diagnose(modules_.of(link->netdev), link->carrier,
                                          quiet == idle.end() ? std::nullopt : std::optional<uint64_t>(quiet->second));
      out->set_cable(cable.state);
      out->set_next_step(cable.next_step);
      if (quiet != idle.end()) out->set_idle_seconds(quiet->second);
    }
    if (port.sends()) report_bursts(state->bursts, *out->mutable_bursts());
    static constexpr const char* kRss[] = {"NONE", "SYMMETRIC", "ASYMMETRIC"};
    const Open& open = *state->open;
    out->set_xdp(state->program->native() ? "NATIVE" : "GENERIC");
    out->set_rss(kRss[static_cast<unsigned>(open.rss)]);
    out->set_multi_buffer(is_multi_buffer(open.memory_class));
    out->set_sends_several_buffers(port.sends() && is_multi_buffer(open.memory_class) &&
                                   sends_several_buffers(out->driver(), is_zero_copy(open.memory_class)));
    for (uint32_t q = 0; q < open.queues.size(); ++q) {
      const auto& socket = open.queues[q]->socket();
      const auto s = socket.statistics();
      auto* queue = out->add_queues();
      queue->set_queue(q);
      queue->set_worker(q);
      queue->set_mode(socket.zero_copy() ? "ZERO_COPY" : "COPY");
      queue->set_busy_poll(open.queues[q]->busy_polls());
      queue->set_rx_dropped(s.rx_dropped);
      queue->set_rx_ring_full(s.rx_ring_full);
      queue->set_rx_fill_ring_empty(s.rx_fill_ring_empty_descs);
      queue->set_rx_invalid_descriptors(s.rx_invalid_descs);
      queue->set_tx_invalid_descriptors(s.tx_invalid_descs);
      queue->set_tx_ring_empty(s.tx_ring_empty_descs);
    }
  }
}

}  // namespace sluice
