#include "sluiced/panel.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

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
  for (auto& [id, state] : ports_) close(state);  // the programs stay pinned: the next daemon takes them over
}

void Panel::open_new(const compile::Plan& plan) {
  const auto links = system::list_links();
  if (!links) return;
  for (const auto& port : plan.ports) {
    const auto* link = find(*links, port.device);
    const auto busy = [&](const auto& entry) { return entry.second.open && link && entry.second.open->link.ifindex == link->ifindex; };
    if (ports_.contains(port.id) || !port.enabled || !link || std::any_of(ports_.begin(), ports_.end(), busy)) continue;
    try_open(port, *link, ports_[port.id]);
  }
}

bool Panel::reconcile(const compile::Plan& plan) {
  const auto links = system::list_links();
  if (!links) {
    spdlog::error("{}", links.error().message);
    return false;
  }
  for (auto it = ports_.begin(); it != ports_.end();) {
    State& state = it->second;
    const auto wanted = std::find_if(plan.ports.begin(), plan.ports.end(), [&](const auto& p) { return p.id == it->first; });
    if (wanted == plan.ports.end()) {
      close(state);
      detach(state);
      it = ports_.erase(it);
      continue;
    }
    if (state.open) {
      const auto* link = find(*links, state.open->plan.device);
      const bool gone = !link || link->ifindex != state.open->link.ifindex;
      if (gone || !same(*wanted, state.open->plan)) {
        spdlog::info("closing port {}: {}", state.open->plan.name, gone ? "its device is gone" : "it is configured anew");
        close(state);
        if (gone) detach(state);
      }
    }
    if (!state.open && wanted->device != state.program_device) detach(state);
    ++it;
  }
  for (const auto& port : plan.ports) {
    State& state = ports_[port.id];
    const auto* link = find(*links, port.device);
    if (state.open) state.open->plan.name = port.name;
    else if (port.enabled && link) try_open(port, *link, state);
    else state.fault.clear();
  }
  return true;
}

void Panel::try_open(const compile::PortPlan& plan, const system::Link& link, State& state) {
  state.closed.port = plan.slot;
  const auto result = [&]() -> Result<void> {
    for (const auto& [id, other] : ports_)
      if (other.open && other.open->link.ifindex == link.ifindex)
        return Error{ErrorCode::kConflict, "", link.netdev + " is the device of port " + other.open->plan.name + " already"};
    return open(plan, link, state);
  }();
  const std::string fault = result ? "" : result.error().message;
  if (fault != state.fault && !result) spdlog::error("port {}: {}", plan.name, fault);  // once, not at every retry
  state.fault = fault;
}

Result<void> Panel::open(const compile::PortPlan& plan, const system::Link& link, State& state) {
  Open port{plan, link, {}};
  if (auto r = system::set_queues(link.netdev, static_cast<uint32_t>(workers_.size())); !r) return r;
  system::receive_plainly(link.netdev);
  const bool was_attached = state.program != nullptr;
  if (auto r = attach(link, plan.device, state); !r) return r;
  if (auto r = open_sockets(port); !r) {
    port.queues.clear();
    if (!was_attached) detach(state);  // nothing of ours stays on a device that never was a port
    return r;
  }
  hand_over(port, *state.program);
  spdlog::info("port {} is open on {} ({})", plan.name, link.netdev, port.queues.front()->socket().zero_copy() ? "zero-copy" : "copy");
  state.open = std::move(port);
  return {};
}

/// Puts the program on the device, unless it is there from an earlier opening.
Result<void> Panel::attach(const system::Link& link, const std::string& device, State& state) {
  if (state.program) return {};
  auto program = XdpProgram::attach(link.ifindex, link.netdev);
  if (!program) return program.error();
  state.program = std::move(*program);
  state.program_device = device;
  state.misses_base = state.program->misses_before();
  if (!std::exchange(state.opened_before, true)) state.closed.xdp_misses_before = state.misses_base;
  return {};
}

/// The device is not this port's any more.
void Panel::detach(State& state) {
  if (!state.program) return;
  state.closed.xdp_misses += state.program->misses_before() + state.program->misses() - state.misses_base;
  state.program->detach();
  state.program.reset();
  state.program_device.clear();
}

Result<void> Panel::open_sockets(Open& port) {
  const auto& plan = port.plan;
  if (auto r = system::raise_port(port.link, plan.mtu); !r) return r;
  const XskRings rings{.rx = plan.receives() ? kRxRing : 0,
                       .tx = plan.sends() ? kTxRing : 0,
                       .fill = plan.receives() ? kFillRing : 64,
                       .completion = plan.sends() ? kTxRing : 64};
  for (uint32_t queue = 0; queue < workers_.size(); ++queue) {
    auto socket = umem_.open(port.link.ifindex, port.link.netdev, queue, rings);
    if (!socket) return socket.error();
    port.queues.push_back(std::make_unique<XskPort>(std::move(*socket), umem_.memory(), plan.slot, plan.receives()));
  }
  return {};
}

/// Each worker gets its queue; then the traffic comes: frames in the fill ring first.
void Panel::hand_over(Open& port, XdpProgram& program) {
  const auto& plan = port.plan;
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
    if (plan.receives())
      if (auto r = program.direct(w, queue->socket().fd()); !r) spdlog::error("port {}: {}", plan.name, r.error().message);
  }
}

/// The program stays: the host's stack is cut off from the device although nobody reads it.
void Panel::close(State& state) {
  if (!state.open) return;
  const PortSlot slot = state.open->plan.slot;
  // No traffic comes any more; then the worker takes what waits in the ring, and lets go of the queue.
  for (uint32_t w = 0; w < workers_.size(); ++w) state.program->undirect(w);
  for (auto& worker : workers_)
    worker->between_bursts([slot](Floor& floor, Pipeline<Unwatched>& pipeline) {
      pipeline.drain(slot);
      std::erase_if(floor.inlets, [slot](const Inlet& inlet) { return inlet.port == slot; });
      std::erase(floor.open_outlets, slot);
      if (floor.outlets[slot].queue) pipeline.collect_completions_of(slot);
      floor.outlets[slot].queue = nullptr;
    });
  const auto links = system::list_links();
  const auto last = counts(*state.open, links ? find(*links, state.open->plan.device) : nullptr);
  auto& sum = state.closed;
  sum.lost_in_kernel += last.lost_in_kernel;
  if (last.tx_dropped) sum.tx_dropped = sum.tx_dropped.value_or(0) + *last.tx_dropped;
  if (last.wire_losses) sum.wire_losses = sum.wire_losses.value_or(0) + *last.wire_losses;
  state.open->queues.clear();  // the sockets close; only then is what the kernel held of our frames ours again
  for (auto& worker : workers_)
    worker->between_bursts([slot](Floor& floor, Pipeline<Unwatched>& pipeline) {
      if (floor.outlets[slot].copies) pipeline.abandon(slot);
      floor.outlets[slot] = {};
      floor.pool.reclaim(slot);
    });
  state.open.reset();
}

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

std::vector<compile::OutsideCounts> Panel::outside_counts(const compile::Plan& plan) const {
  const auto links = system::list_links();
  std::vector<compile::OutsideCounts> out;
  for (const auto& port : plan.ports) {
    const auto found = ports_.find(port.id);
    if (found == ports_.end()) continue;
    const State& state = found->second;
    compile::OutsideCounts sum = state.closed;
    if (state.program) sum.xdp_misses += state.program->misses_before() + state.program->misses() - state.misses_base;
    if (const auto& open = state.open) {
      const auto present = counts(*open, links ? find(*links, open->plan.device) : nullptr);
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
    else
      is("UP",
         state->program->survives_crash() ? "" : "the XDP program could not be pinned: a crash would let the host see this port's traffic");
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
