#include "sluiced/panel.h"

#include <linux/membarrier.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "port/multi_buffer.h"
#include "port/xsk_probe.h"
#include "system/service.h"
#include "system/xdp_features.h"

namespace sluice {
namespace {

/// Whether an open port can stay as it is under a new plan.
bool same(const compile::PortPlan& a, const compile::PortPlan& b) {
  return a.slot == b.slot && a.role == b.role && a.device == b.device && a.mtu == b.mtu && a.busy_poll == b.busy_poll &&
         a.enabled == b.enabled;
}

}  // namespace

Panel::Panel(FrameMemory& memory, const FrameLayout& layout, std::vector<std::unique_ptr<Worker>>& workers,
             std::vector<std::string> reserved)
    : memory_(memory), workers_(workers), reserved_(std::move(reserved)) {
  for (unsigned c = 0; c < kMemoryClasses; ++c) {
    const auto memory_class = static_cast<MemoryClass>(c);
    umems_[c] = std::make_unique<XskUmem>(memory, layout.first(memory_class, 0), layout.frames_per_class(), memory_class);
  }
}

Panel::~Panel() { close_all(); }

void Panel::close_all() {
  for (auto& [id, state] : ports_) close(state);
}

Result<void> Panel::check(const compile::Plan& plan) const {
  const auto links = system::list_links();
  if (!links) return {};  // whoever opens the ports meets the same
  for (std::size_t i = 0; i < plan.ports.size(); ++i) {
    const auto& port = plan.ports[i];
    const auto* link = system::find_device(*links, port.device);
    if (!port.enabled || !link) continue;
    if (auto r = check_reserved(*link, "ports[" + std::to_string(i) + "].device"); !r) return r;
    if (!port.multi_buffer()) continue;
    const std::string path = "ports[" + std::to_string(i) + "].mtu";
    const std::string driver = system::driver_of(link->netdev);
    const auto features = system::xdp_features(link->ifindex);
    if (features && !(*features & system::kXdpReceivesSeveralBuffers))
      return Error{ErrorCode::kNotAvailable, path,
                   "an MTU above " + std::to_string(compile::kMaxSingleBufferMtu) +
                       " needs a driver that receives packets in several buffers, and " + driver + " of " + link->netdev + " does not"};
    if (port.sends() && !sends_several_buffers(driver, false) && !sends_several_buffers(driver, true))
      return Error{ErrorCode::kNotAvailable, path,
                   "packets of several buffers are sent only where driver and kernel are proven to do it, and " + driver +
                       " on this kernel is not; give the tool port an MTU of at most " + std::to_string(compile::kMaxSingleBufferMtu) +
                       " and slice what is longer"};
  }
  return {};
}

bool Panel::is_reserved(const system::Link& link) const {
  return std::any_of(reserved_.begin(), reserved_.end(), [&](const auto& device) { return link.mac == device || link.pci == device; });
}

Result<void> Panel::check_reserved(const system::Link& link, const std::string& path) const {
  if (!is_reserved(link)) return {};
  return Error{ErrorCode::kConflict, path, link.netdev + " is the management port: choose another device"};
}

void Panel::open_new(const compile::Plan& plan, const compile::Shares& shares) {
  const auto links = system::list_links();
  if (!links) return;
  for (const auto& port : plan.ports) {
    const auto* link = system::find_device(*links, port.device);
    // Not even a port that is closed: what it has on the device goes with it when it is reconciled.
    const auto busy = [&](const auto& entry) { return entry.second.program && link && entry.second.program->ifindex() == link->ifindex; };
    if (ports_.contains(port.id) || !port.enabled || !link || std::any_of(ports_.begin(), ports_.end(), busy)) continue;
    try_open(port, *link, shares, ports_[port.id]);
  }
}

bool Panel::reconcile(const compile::Plan& plan, const compile::Shares& shares) {
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
    // A device that came back is another one, with nothing of ours on it, whether the port was open or not.
    const auto* link = system::find_device(*links, state.program_device);
    const bool gone = state.program && (!link || link->ifindex != state.program->ifindex());
    if (state.open && (gone || !same(*wanted, state.open->plan))) {
      spdlog::info("closing port {}: {}", state.open->plan.name, gone ? "its device is gone" : "it is configured anew");
      close(state);
    }
    if (gone || (!state.open && wanted->device != state.program_device)) detach(state);
    ++it;
  }
  for (const auto& port : plan.ports) {
    State& state = ports_[port.id];
    const auto* link = system::find_device(*links, port.device);
    if (state.open) {
      state.open->plan.name = port.name;
      // A port that somebody took down comes up again: it is configured to be.
      if (link && !link->up)
        if (auto r = system::raise_port(*link); !r) spdlog::error("port {}: {}", port.name, r.error().message);
    } else if (port.enabled && link) try_open(port, *link, shares, state);
    else state.fault.clear();
  }
  set_shares(shares);
  return true;
}

void Panel::restart_stalled(const compile::Plan& plan, const compile::Shares& shares) {
  constexpr unsigned kStalledChecks = 10;
  const auto links = system::list_links();
  if (!links) return;
  for (const auto& port : plan.ports) {
    const auto found = ports_.find(port.id);
    if (found == ports_.end() || !found->second.open || !port.sends()) continue;
    Open& open = *found->second.open;
    const auto* link = system::find_device(*links, port.device);
    if (!link || !link->up || !link->carrier) continue;
    open.progress.resize(open.queues.size());
    bool stalled = false;
    for (uint32_t q = 0; q < open.queues.size(); ++q)
      workers_[q]->between_bursts([&](Floor& floor, auto&) {
        if (!floor.outlets[port.slot].copies) return;
        const ToolQueue& copies = *floor.outlets[port.slot].copies;
        auto& [completed, checks] = open.progress[q];
        checks = copies.posted() > 0 && copies.completed() == completed ? checks + 1 : 0;
        completed = copies.completed();
        stalled |= checks >= kStalledChecks;
      });
    if (!stalled) continue;
    spdlog::error("port {}: frames were posted {} s ago and are not completed; its sockets are opened anew", port.name, kStalledChecks);
    close(found->second);
    try_open(port, *link, shares, found->second);
  }
}

void Panel::set_shares(const compile::Shares& shares) {
  if (shares == shares_) return;
  const compile::Shares before = std::exchange(shares_, shares);
  for (uint32_t w = 0; w < workers_.size(); ++w) {
    std::map<PortSlot, Backlog::Store> larger;  // memory is got and given back here: packets do not wait for it
    for (const auto& [id, state] : ports_) {
      if (!state.open || w >= state.open->queues.size()) continue;
      const auto& plan = state.open->plan;
      if (shares.of(plan).queue > before.of(plan).queue) larger.emplace(plan.slot, shares.of(plan).queue);
    }
    workers_[w]->between_bursts([&](Floor& floor, auto&) {
      for (const auto& [id, state] : ports_) {
        if (!state.open) continue;
        const compile::Share share = shares.of(state.open->plan);
        Outlet& outlet = floor.outlets[state.open->plan.slot];
        outlet.quota = share.queue;
        const auto store = larger.find(state.open->plan.slot);
        if (store != larger.end() && outlet.copies) outlet.copies->backlog().move_into(store->second);
        if (w < state.open->queues.size()) state.open->queues[w]->set_fill_reserve(share.fill);
      }
    });
  }
}

void Panel::try_open(const compile::PortPlan& plan, const system::Link& link, const compile::Shares& shares, State& state) {
  state.closed.port = plan.slot;
  const auto result = [&]() -> Result<void> {
    if (auto r = check_reserved(link, ""); !r) return r;
    for (const auto& [id, other] : ports_)
      if (other.open && other.open->link.ifindex == link.ifindex)
        return Error{ErrorCode::kConflict, "", link.netdev + " is the device of port " + other.open->plan.name + " already"};
    return open(plan, link, shares.of(plan), state);
  }();
  system::notify_alive();  // a NIC takes its time, and there may be many
  const std::string fault = result ? "" : result.error().message;
  if (fault != state.fault && !result) spdlog::error("port {}: {}", plan.name, fault);  // once, not at every retry
  state.fault = fault;
}

Result<void> Panel::open(const compile::PortPlan& plan, const system::Link& link, const compile::Share& share, State& state) {
  Open port{.plan = plan, .link = link, .queues = {}};
  if (auto r = await_release(link); !r) return r;
  const auto queues = system::set_queues(link.netdev, static_cast<uint32_t>(workers_.size()));
  if (!queues) return queues.error();
  system::receive_plainly(link.netdev);
  port.rss = *queues > 1 ? system::make_rss_symmetric(link.netdev) : system::Rss::kNone;
  // A large MTU comes after a program that takes several buffers, a small one before a program that does not: else neither native XDP nor
  // zero-copy is to be had.
  if (!plan.multi_buffer())
    if (auto r = system::quiet_port(link, plan.mtu); !r) return r;
  const bool was_attached = state.program != nullptr;
  if (auto r = attach(link, plan, state); !r) return r;
  if (auto r = open_sockets(port, *queues); !r) {
    port.queues.clear();
    if (!was_attached) detach(state);  // nothing of ours stays on a device that never was a port
    return r;
  }
  // The base of the counts: opening takes long enough for a device to have lost something meanwhile.
  if (const auto links = system::list_links())
    if (const auto* now = system::find_device(*links, plan.device); now && now->ifindex == link.ifindex) port.link = *now;
  hand_over(port, share, *state.program);
  spdlog::info("port {} is open on {}: {} queues, {}", plan.name, link.netdev, *queues,
               port.queues.front()->socket().zero_copy() ? "zero-copy" : "copy");
  state.open = std::move(port);
  return {};
}

/// A device that a port has just left: its queues can be bound again in some milliseconds.
Result<void> Panel::await_release(const system::Link& link) {
  const uint64_t give_up = monotonic_ns() + 200'000'000;
  const auto left = [&](const Closing& c) { return c.ifindex == link.ifindex; };
  while (std::any_of(closing_.begin(), closing_.end(), left)) {
    reclaim();
    if (monotonic_ns() > give_up) return Error{ErrorCode::kUnreachable, "", link.netdev + " is still being released"};
    std::this_thread::yield();
  }
  return {};
}

/// Puts the program on the device, unless it is there from an earlier opening. Whether packets of several buffers come is fixed when a
/// program is attached (a veth's far end keeps its limit of the MTU until then): the device is down while one makes way for the other.
Result<void> Panel::attach(const system::Link& link, const compile::PortPlan& plan, State& state) {
  if (state.program && state.program->multi_buffer() == plan.multi_buffer()) return {};
  detach(state);
  auto program = XdpProgram::attach(link.ifindex, link.netdev, plan.multi_buffer());
  if (!program) return program.error();
  state.program = std::move(*program);
  state.program_device = plan.device;
  state.misses_base = state.program->misses_before();
  if (!std::exchange(state.opened_before, true)) state.closed.xdp_misses_before = state.misses_base;
  return {};
}

/// The device is not this port's any more. It goes down first: nobody else is to see the mirrored traffic, or to hear from the host.
void Panel::detach(State& state) {
  if (!state.program) return;
  (void)system::lower_port({.ifindex = state.program->ifindex(), .netdev = state.program_device});  // a device that is gone is down
  state.closed.xdp_misses += state.program->misses_before() + state.program->misses() - state.misses_base;
  state.program->detach();
  state.program.reset();
  state.program_device.clear();
}

Result<void> Panel::open_sockets(Open& port, uint32_t queues) {
  const auto& plan = port.plan;
  if (auto r = system::quiet_port(port.link, plan.mtu); !r) return r;
  // Up before the probe: a driver may refuse zero-copy to a device that is down.
  if (auto r = system::raise_port(port.link); !r) return r;
  const auto memory_class = probe_memory_class(port.link.ifindex, 0, plan.multi_buffer());
  if (!memory_class)
    return Error{
        ErrorCode::kUnreachable, "",
        port.link.netdev + ": no AF_XDP socket can be bound" +
            (plan.multi_buffer() ? " that takes packets of several buffers, as the MTU of " + std::to_string(plan.mtu) + " asks" : "")};
  if (plan.sends() && plan.multi_buffer() && !sends_several_buffers(system::driver_of(port.link.netdev), is_zero_copy(*memory_class)))
    return Error{ErrorCode::kUnreachable, "",
                 port.link.netdev + ": sending packets of several buffers is not proven for its driver and this kernel"};
  port.memory_class = *memory_class;
  port.loan = new_loan();
  XskUmem& umem = *umems_[static_cast<unsigned>(port.memory_class)];
  const XskRings rings{.rx = plan.receives() ? compile::kRxRing : 0,
                       .tx = plan.sends() ? compile::kTxRing : 0,
                       .fill = plan.receives() ? compile::kFillRing : 64,
                       .completion = plan.sends() ? compile::kTxRing : 64};
  for (uint32_t queue = 0; queue < queues; ++queue) {
    auto socket = umem.open(port.link.ifindex, port.link.netdev, queue, rings);
    if (!socket) return socket.error();
    XskPort::Settings settings{.loan = port.loan, .receives = plan.receives()};
    settings.busy_poll = plan.busy_poll && (*socket)->busy_poll(kBurst);
    port.queues.push_back(std::make_unique<XskPort>(std::move(*socket), umem, memory_, settings));
  }
  return {};
}

/// One that no port has and that no frames are waited for.
Loan Panel::new_loan() {
  for (;;) {
    const Loan loan = ++next_loan_;
    const bool open =
        std::any_of(ports_.begin(), ports_.end(), [loan](const auto& p) { return p.second.open && p.second.open->loan == loan; });
    const bool closing = std::any_of(closing_.begin(), closing_.end(), [loan](const Closing& c) { return c.loan == loan; });
    if (!open && !closing) return loan;
  }
}

/// Each worker gets its queue, and those that have none the way to the worker that sends for them; then the traffic comes: frames in the
/// fill ring first.
void Panel::hand_over(Open& port, const compile::Share& share, XdpProgram& program) {
  const auto& plan = port.plan;
  const auto queues = static_cast<uint32_t>(port.queues.size());
  for (uint32_t w = 0; w < workers_.size(); ++w) {
    XskPort* queue = w < queues ? port.queues[w].get() : nullptr;
    auto copies = queue ? std::make_unique<ToolQueue>(share.queue) : nullptr;
    if (plan.sends()) port.bursts.push_back(std::make_unique<Microbursts>());
    workers_[w]->between_bursts([&](Floor& floor, auto&) {
      floor.pool.add(port.memory_class);
      if (plan.receives() && queue) {
        queue->set_fill_reserve(share.fill);
        queue->refill(floor.pool);
        floor.inlets.push_back({plan.slot, queue, port.memory_class, queues < workers_.size()});
      }
      if (!plan.sends()) return;
      floor.outlets[plan.slot] = {.open = true,
                                  .queue = queue,
                                  .copies = std::move(copies),
                                  .owner = w % queues,
                                  .memory_class = port.memory_class,
                                  .max_length = plan.mtu + compile::kLinkHeader,
                                  .quota = share.queue,
                                  .loan = port.loan,
                                  .bursts = port.bursts[w].get()};
      if (queue) floor.open_outlets.push_back(plan.slot);
    });
    if (plan.receives() && queue)
      if (auto r = program.direct(w, queue->socket().fd()); !r) spdlog::error("port {}: {}", plan.name, r.error().message);
  }
}

void Panel::look_for_bursts() {
  for (auto& worker : workers_) worker->between_bursts([](Floor&, Pipeline<Unwatched>& pipeline) { pipeline.note_waiting(); });
  const BurstWatch::Clocks now{monotonic_ns(), wall_ns()};
  for (auto& [id, state] : ports_)
    if (state.open && state.open->plan.sends()) state.bursts.look(state.open->bursts, shares_.of(state.open->plan).queue, now);
}

/// The program stays: the host's stack is cut off from the device although nobody reads it.
void Panel::close(State& state) {
  if (!state.open) return;
  const Open& port = *state.open;
  const PortSlot slot = port.plan.slot;
  // No traffic comes any more; then the worker takes what waits in the ring, and lets go of the queue.
  for (uint32_t q = 0; q < port.queues.size(); ++q) state.program->undirect(q);
  // A program that runs at this moment may still have the socket in its hands, and puts a frame into the ring after the worker's last look.
  syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
  for (auto& worker : workers_)
    worker->between_bursts([slot](Floor& floor, Pipeline<Unwatched>& pipeline) {
      pipeline.note_waiting();
      pipeline.drain(slot);
      std::erase_if(floor.inlets, [slot](const Inlet& inlet) { return inlet.port == slot; });
      pipeline.detain(slot);
    });
  if (port.plan.sends()) state.bursts.look(port.bursts, shares_.of(port.plan).queue, {monotonic_ns(), wall_ns()}, 0);  // all of it is over
  const auto links = system::list_links();
  const auto last = counts(port, links ? system::find_device(*links, port.plan.device) : nullptr);
  auto& sum = state.closed;
  sum.lost_in_kernel += last.lost_in_kernel;
  if (last.tx_dropped) sum.tx_dropped = sum.tx_dropped.value_or(0) + *last.tx_dropped;
  if (last.wire_losses) sum.wire_losses = sum.wire_losses.value_or(0) + *last.wire_losses;
  closing_.push_back({port.loan, port.link.ifindex, static_cast<uint32_t>(port.queues.size())});
  system::notify_alive();
  state.open.reset();  // the sockets close; what the kernel holds of our frames is ours again when reclaim() finds the queues released
  reclaim();
}

bool Panel::reclaim() {
  std::erase_if(closing_, [this](const Closing& closing) {
    for (uint32_t q = 0; q < closing.queues; ++q)
      if (!is_released(closing.ifindex, q)) return false;
    give_up(closing);
    return true;
  });
  return !closing_.empty();
}

void Panel::give_up(const Closing& closing) {
  for (auto& worker : workers_)
    for (bool done = false; !done;)
      worker->between_bursts([&](Floor&, Pipeline<Unwatched>& pipeline) { done = pipeline.give_up(closing.loan); });
}

}  // namespace sluice
