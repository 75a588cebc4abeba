#include "sluiced/panel.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace sluice {
namespace {

const system::Link* find(const std::vector<system::Link>& links, const std::string& device) {
  const auto found = std::find_if(links.begin(), links.end(), [&](const auto& l) { return l.mac == device || l.pci == device; });
  return device.empty() || found == links.end() ? nullptr : &*found;
}

/// Whether an open port can stay as it is under a new plan.
bool same(const compile::PortPlan& a, const compile::PortPlan& b) {
  return a.slot == b.slot && a.role == b.role && a.device == b.device && a.mtu == b.mtu && a.enabled == b.enabled;
}

}  // namespace

Panel::~Panel() {
  for (auto& [id, state] : ports_) close(state, true);
}

void Panel::reconcile(const compile::Plan& plan) {
  const auto links = system::list_links();
  if (!links) {
    spdlog::error("{}", links.error().message);
    return;
  }
  for (auto it = ports_.begin(); it != ports_.end();) {
    State& state = it->second;
    const auto wanted = std::find_if(plan.ports.begin(), plan.ports.end(), [&](const auto& p) { return p.id == it->first; });
    if (wanted == plan.ports.end()) {
      close(state, false);
      it = ports_.erase(it);
      continue;
    }
    if (state.open) {
      const auto* link = find(*links, state.open->plan.device);
      const bool gone = !link || link->ifindex != state.open->link.ifindex;
      if (gone || !same(*wanted, state.open->plan)) {
        spdlog::info("closing port {}: {}", state.open->plan.name, gone ? "its device is gone" : "it is configured anew");
        close(state, !gone && wanted->enabled && wanted->device == state.open->plan.device);
      }
    }
    ++it;
  }
  for (const auto& port : plan.ports) {
    State& state = ports_[port.id];
    state.closed.port = port.slot;
    state.fault.clear();
    const auto* link = find(*links, port.device);
    if (state.open) {
      state.open->plan.name = port.name;
    } else if (port.enabled && link) {
      if (auto r = open(port, *link, state); !r) {
        state.fault = r.error().message;
        spdlog::error("port {}: {}", port.name, state.fault);
      }
    }
  }
}

Result<void> Panel::open(const compile::PortPlan& plan, const system::Link& link, State& state) {
  Open port{plan, link, nullptr, {}};
  if (auto r = system::set_queues(link.netdev, static_cast<uint32_t>(workers_.size())); !r) return r;
  auto program = XdpProgram::attach(link.ifindex, link.netdev);
  if (!program) return program.error();
  port.program = std::move(*program);
  if (auto r = system::raise_port(link, plan.mtu); !r) return r;
  const XskRings rings{.rx = plan.receives() ? kRxRing : 0,
                       .tx = plan.sends() ? kTxRing : 0,
                       .fill = plan.receives() ? kFillRing : 64,
                       .completion = plan.sends() ? kTxRing : 64};
  for (uint32_t queue = 0; queue < workers_.size(); ++queue) {
    auto socket = umem_.open(link.ifindex, link.netdev, queue, rings);
    if (!socket) return socket.error();
    port.queues.push_back(std::make_unique<XskPort>(std::move(*socket), umem_.memory(), plan.slot, plan.receives()));
  }
  for (uint32_t w = 0; w < workers_.size(); ++w) {
    XskPort* queue = port.queues[w].get();
    workers_[w]->between_bursts([&](Floor& floor, auto&) {
      if (plan.receives()) {
        queue->refill(floor.pool);
        floor.inlets.push_back({plan.slot, queue});
      }
      if (plan.sends()) {
        floor.outlets[plan.slot] = {queue, std::make_unique<ToolQueue>()};
        floor.open_outlets.push_back(plan.slot);
      }
    });
    // Frames in the fill ring first, traffic second.
    if (plan.receives())
      if (auto r = port.program->direct(w, queue->socket().fd()); !r) spdlog::error("port {}: {}", plan.name, r.error().message);
  }
  spdlog::info("port {} is open on {} ({})", plan.name, link.netdev, port.queues.front()->socket().zero_copy() ? "zero-copy" : "copy");
  state.open = std::move(port);
  return {};
}

/// keep_program: the host's stack stays cut off from the device although nobody reads it.
void Panel::close(State& state, bool keep_program) {
  if (!state.open) return;
  const PortSlot slot = state.open->plan.slot;
  const auto links = system::list_links();
  const system::Link* now = links ? find(*links, state.open->plan.device) : nullptr;
  for (auto& worker : workers_)
    worker->between_bursts([slot](Floor& floor, Pipeline<Unwatched>& pipeline) {
      std::erase_if(floor.inlets, [slot](const Inlet& inlet) { return inlet.port == slot; });
      std::erase(floor.open_outlets, slot);
      if (floor.outlets[slot].queue) pipeline.abandon(slot);
      floor.outlets[slot] = {};
    });
  const auto last = counts(*state.open, now);
  auto& sum = state.closed;
  sum.xdp_misses += last.xdp_misses;
  sum.xdp_misses_before = last.xdp_misses_before;
  sum.lost_in_kernel += last.lost_in_kernel;
  if (last.tx_dropped) sum.tx_dropped = sum.tx_dropped.value_or(0) + *last.tx_dropped;
  if (last.wire_losses) sum.wire_losses = sum.wire_losses.value_or(0) + *last.wire_losses;
  state.open->queues.clear();  // sockets first, then what the kernel held of our frames is ours again
  for (auto& worker : workers_) worker->between_bursts([slot](Floor& floor, auto&) { floor.pool.reclaim(slot); });
  if (!keep_program) state.open->program->detach();
  state.open.reset();
}

compile::OutsideCounts Panel::counts(const Open& open, const system::Link* now) const {
  compile::OutsideCounts out;
  out.port = open.plan.slot;
  out.xdp_misses = open.program->misses();
  out.xdp_misses_before = open.program->misses_before();
  for (const auto& queue : open.queues) {
    const auto s = queue->socket().statistics();
    // In copy mode rx_dropped counts every packet that found no frame or no room; in zero-copy mode the full ring is counted apart.
    out.lost_in_kernel += queue->socket().zero_copy() ? s.rx_dropped + s.rx_ring_full : s.rx_dropped;
  }
  if (now && now->ifindex == open.link.ifindex) {
    out.tx_dropped = now->tx_dropped - std::min(now->tx_dropped, open.link.tx_dropped);
    if (!now->pci.empty()) out.wire_losses = now->rx_missed - std::min(now->rx_missed, open.link.rx_missed);
  }
  return out;
}

std::vector<compile::OutsideCounts> Panel::outside_counts(const compile::Plan& plan) const {
  const auto links = system::list_links();
  std::vector<compile::OutsideCounts> out;
  for (const auto& port : plan.ports) {
    const auto found = ports_.find(port.id);
    if (found == ports_.end()) continue;
    compile::OutsideCounts sum = found->second.closed;
    if (const auto& open = found->second.open) {
      const auto present = counts(*open, links ? find(*links, open->plan.device) : nullptr);
      sum.xdp_misses += present.xdp_misses;
      sum.xdp_misses_before = present.xdp_misses_before;
      sum.lost_in_kernel += present.lost_in_kernel;
      if (present.tx_dropped) sum.tx_dropped = sum.tx_dropped.value_or(0) + *present.tx_dropped;
      if (present.wire_losses) sum.wire_losses = sum.wire_losses.value_or(0) + *present.wire_losses;
    }
    out.push_back(sum);
  }
  return out;
}

void Panel::report(const compile::Plan& plan, v1::Status& status) const {
  const auto links = system::list_links();
  for (const auto& port : plan.ports) {
    auto* out = status.add_ports();
    out->set_name(port.name);
    out->set_id(port.id);
    out->set_role(v1::PortRole::Value_Name(port.role));
    out->set_device(port.device);
    const auto* link = links ? find(*links, port.device) : nullptr;
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
    else if (!link) is("MISSING", "there is no device " + port.device + "; check the card, or bind the port to another");
    else if (!state || !state->open) is("FAULT", state ? state->fault : "not opened yet");
    else if (!link->carrier) is("NO_LINK", "no carrier: check cable and module, and that the far end is up");
    else is("UP", state->open->program->survives_crash() ? "" : "the XDP program could not be pinned: a crash would let the host see this port's traffic");
    if (!state || !state->open) continue;
    for (uint32_t q = 0; q < state->open->queues.size(); ++q) {
      const auto& socket = state->open->queues[q]->socket();
      const auto s = socket.statistics();
      auto* queue = out->add_queues();
      queue->set_queue(q);
      queue->set_worker(q);
      queue->set_mode(socket.zero_copy() ? "ZERO_COPY" : "COPY");
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
