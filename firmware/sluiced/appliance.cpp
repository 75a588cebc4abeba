#include "sluiced/appliance.h"

#include <unistd.h>

#include <set>
#include <thread>
#include <tuple>

#include "base/clock.h"
#include "compile/dedup_advice.h"
#include "compile/oversubscription.h"
#include "compile/packet_of.h"
#include "compile/report.h"
#include "engine/pipeline.h"
#include "port/memory_port.h"
#include "system/service.h"

namespace sluice {
namespace {

constexpr unsigned kChunkShift = 11;  // 2,048 bytes
/// Nanoseconds after which a measurement or a survey is over that the management daemon has forgotten.
constexpr uint64_t kLongestMeasurement = 20'000'000'000;

/// Whether all that a survey has seen of one is of the other, too.
bool same_inlets(const compile::Plan& a, const compile::Plan& b) {
  const auto inlets = [](const compile::Plan& plan) {
    std::set<std::tuple<std::string, PortSlot, std::string>> out;
    for (const auto& port : plan.ports)
      if (port.receives()) out.insert({port.id, port.slot, port.device});
    return out;
  };
  return inlets(a) == inlets(b);
}

}  // namespace

Appliance::Appliance(const ApplianceOptions& options)
    : options_(options),
      layout_{.workers = options.workers, .frames_per_worker = options.frames_per_worker, .classes = kMemoryClasses},
      memory_(layout_.total(), kChunkShift),
      panel_(memory_, layout_, workers_, options.reserved),
      started_ns_(monotonic_ns()),
      epoch_ns_(wall_ns()) {
  // Before anything is configured workers run an empty snapshot: nothing comes in, nothing goes out.
  publisher_.publish(std::make_unique<Snapshot>());
  for (uint32_t w = 0; w < options.workers; ++w)
    workers_.push_back(std::make_unique<Worker>(publisher_, memory_, layout_, w, w < options.cpus.size() ? options.cpus[w] : -1));
  connect_workers();
}

/// Ports before workers, and all workers before any: each may ring the others.
Appliance::~Appliance() {
  panel_.close_all();
  for (auto& worker : workers_) worker->stop();
}

/// A lane from every worker to every other one.
void Appliance::connect_workers() {
  const auto count = static_cast<uint32_t>(workers_.size());
  if (count == 1) return;
  for (uint32_t from = 0; from < count; ++from)
    for (uint32_t to = 0; to < count; ++to) lanes_.push_back(from == to ? nullptr : std::make_unique<Lane>(options_.frames_per_worker));
  for (uint32_t w = 0; w < count; ++w)
    workers_[w]->between_bursts([&](Floor& floor, auto&) {
      for (uint32_t other = 0; other < count; ++other)
        floor.peers.push_back(other == w ? nullptr
                                         : std::make_unique<Peer>(other, *lanes_[w * count + other], *lanes_[other * count + w],
                                                                  workers_[other]->doorbell()));
    });
}

Result<v1::Prepared> Appliance::prepare(const v1::Prepare& request) {
  const uint64_t begin = monotonic_ns();
  if (!request.dry_run()) prepared_.reset();
  auto compiled = compiler_.compile(request.config(), request.revision(), request.dry_run());
  // Slots that a refused or merely tried configuration was given go back as those of retired things do.
  retired_pending_ = true;
  if (!compiled) return compiled.error();
  const auto shares = compile::share_out(compiled->plan, options_.frames_per_worker, options_.workers);
  if (!shares) return shares.error();
  if (!request.committed())
    if (auto r = panel_.check(compiled->plan); !r) return r.error();
  const auto dedup_bytes = compile::share_dedup_memory(compiled->plan.domains, options_.dedup_memory);
  if (!dedup_bytes) return dedup_bytes.error();
  v1::Prepared out;
  compile::report_cost(compiled->plan.domains, *dedup_bytes, options_.dedup_memory, *out.mutable_cost());
  out.mutable_cost()->MergeFrom(compile::cost_of(*compiled, *shares));
  out.mutable_cost()->set_compile_microseconds((monotonic_ns() - begin) / 1000);
  for (const auto& warning : compiled->warnings) out.add_warnings(warning);
  if (const auto links = system::list_links(); links && !request.committed())
    for (const auto& warning : compile::oversubscriptions(*compiled, [&](const auto& port) { return Panel::speed_of(port, *links); }))
      out.add_warnings(warning);
  if (request.dry_run()) return out;
  if (auto r = compile::give_dedup_memory(*compiled->snapshot, compiled->plan.domains, *dedup_bytes, options_.workers > 1,
                                          publisher_.current()->domains, plan_.domains);
      !r)
    return r.error();
  prepared_ = std::move(*compiled);
  prepared_shares_ = *shares;
  return out;
}

Result<void> Appliance::publish(uint64_t revision) {
  if (!prepared_ || prepared_->snapshot->revision != revision)
    return Error{ErrorCode::kConflict, "", "revision " + std::to_string(revision) + " was not prepared"};
  if (!same_inlets(plan_, prepared_->plan)) {
    stop_surveying();
    surveying_.reset();
  }
  // New ports first: a map that sends to a new tool finds it open.
  panel_.open_new(prepared_->plan, prepared_shares_);
  plan_ = std::move(prepared_->plan);
  shares_ = prepared_shares_;
  if (const auto links = system::list_links()) liveness_.follow(*prepared_->snapshot, plan_, faults(plan_, *links), words_, heard_ns_);
  change_censuses(false);  // they are of the groups of before
  publisher_.publish(std::move(prepared_->snapshot));
  prepared_.reset();
  while (!publisher_.retire()) std::this_thread::yield();
  change_censuses(true);
  auto books = plan_.groups.empty() ? std::vector<AccountBook>() : read_books();
  balance_.begin(*publisher_.current(), plan_, books);
  reconcile_wanted_ = !panel_.reconcile(plan_, shares_);
  follow_links();
  retired_pending_ = true;
  return {};
}

/// By the devices as they are at this moment.
Liveness::Fault Appliance::faults(const compile::Plan& plan, const std::vector<system::Link>& links) const {
  return [this, &plan, &links](PortSlot port, bool by_link) { return panel_.fault_of(*plan.port(port), links, by_link); };
}

/// Flows of members that have lost their link, or are not well, go elsewhere, and home when they are back.
void Appliance::follow_links() {
  if (plan_.groups.empty()) return;
  const auto links = system::list_links();
  if (!links || !liveness_.follow(*publisher_.current(), plan_, faults(plan_, *links), words_, heard_ns_)) return;
  for (auto& worker : workers_) worker->between_bursts([](Floor&, auto&) {});
  for (const Group& group : publisher_.current()->groups) group.table->retire();
}

Result<void> Appliance::take_out(const v1::TakeOut& request) {
  for (const auto& group : plan_.groups)
    for (const PortSlot member : group.members) {
      if (group.id != request.tool_group() || plan_.port(member)->name != request.port()) continue;
      liveness_.take_out(group.id, member, monotonic_ns() + request.milliseconds() * uint64_t{1'000'000});
      follow_links();
      return {};
    }
  return Error{ErrorCode::kNotFound, "", "the tool group or its member is gone"};
}

/// The tick that comes with each request heeds it.
void Appliance::report_health(const v1::ReportHealth& request) { words_.hear(request, monotonic_ns()); }

void Appliance::tick(bool managed) {
  // By the clock: a tick comes with every request, too.
  const uint64_t now = monotonic_ns();
  const bool is_second = now >= next_second_ns_;
  if (is_second) next_second_ns_ = now + 1'000'000'000;
  constexpr uint64_t kBusy = 60'000'000;  // nanoseconds: three ticks. With what is longer, this daemon has been at something else
  if (!managed || now - heard_ns_ > kBusy) words_.nobody_listened(heard_ns_, now, !managed);
  heard_ns_ = now;
  follow_links();  // before ports are opened, which takes its time
  if (reconcile_wanted_ || is_second) {  // a port that could not be opened is tried again
    reconcile_wanted_ = false;
    panel_.reconcile(plan_, shares_);
  }
  if (is_second) {
    words_.forget_gone([this](const std::string& id) { return std::any_of(plan_.ports.begin(), plan_.ports.end(), [&](const auto& p) { return p.id == id; }); },
                       now);
    panel_.look_for_bursts();
    panel_.restart_stalled(plan_, shares_);
    look_at_balance(now);
    system::notify_alive();
  }
  if (measuring_ && monotonic_ns() - measuring_->begin_ns > kLongestMeasurement) {
    stop_measuring();
    measuring_.reset();
  }
  if (surveying_ && monotonic_ns() - surveying_->begin_ns > kLongestMeasurement) {
    stop_surveying();
    surveying_.reset();
  }
  panel_.reclaim();
  // What is prepared has slots that no plan in force names yet.
  if (retired_pending_ && !prepared_) fold_retired();
}

std::vector<AccountBook> Appliance::read_books() const {
  std::vector<AccountBook> out(workers_.size());
  for (std::size_t w = 0; w < workers_.size(); ++w) workers_[w]->read(out[w]);
  return out;
}

/// Gives workers empty censuses of the groups in force, or none. Returns those that they had.
std::vector<std::unique_ptr<FlowCensus>> Appliance::change_censuses(bool any) {
  std::vector<std::unique_ptr<FlowCensus>> next;
  if (any && !plan_.groups.empty())
    for (std::size_t w = 0; w < workers_.size(); ++w) next.push_back(std::make_unique<FlowCensus>(plan_.groups.size()));
  for (std::size_t w = 0; w < workers_.size() && !(next.empty() && censuses_.empty()); ++w)
    workers_[w]->between_bursts([&](Floor& floor, auto&) { floor.flow_census = next.empty() ? nullptr : next[w].get(); });
  censuses_begun_ns_ = monotonic_ns();
  return std::exchange(censuses_, std::move(next));
}

void Appliance::look_at_balance(uint64_t now) {
  constexpr uint64_t kPeriod = 10'000'000'000;
  if (censuses_.empty() || now - censuses_begun_ns_ < kPeriod) return;
  const double seconds = static_cast<double>(now - censuses_begun_ns_) / 1e9;
  const auto seen = change_censuses(true);
  auto books = read_books();
  balance_.look(*publisher_.current(), plan_, seen, books, seconds);
}

/// Accounts of legs, ports, maps and rules that are gone: legs and ports move to the slots that keep the sums whole, the rest is cleared. A
/// leg with copies in flight waits for them, and a port for packets that are on their way between workers and for its legs. Gauges are
/// summed first: one worker counts them up, another down.
void Appliance::fold_retired() {
  using Kind = compile::Compiler::Retired::Kind;
  retired_pending_ = false;
  std::set<uint32_t> waiting_ports;
  for (const auto& gone : compiler_.retired(plan_)) {
    uint64_t pending = 0;
    if (gone.kind == Kind::kLeg || gone.kind == Kind::kPort)
      for (auto& worker : workers_)
        worker->between_bursts([&](Floor& floor, auto&) {
          pending += gone.kind == Kind::kLeg ? floor.book.leg(gone.slot).in_flight.packets : floor.book.port(gone.slot).held.packets;
        });
    if (pending != 0 || (gone.kind == Kind::kPort && waiting_ports.contains(gone.slot))) {
      if (gone.kind == Kind::kLeg) waiting_ports.insert(gone.into);
      retired_pending_ = true;
      continue;
    }
    for (auto& worker : workers_)
      worker->between_bursts([&](Floor& floor, auto&) {
        auto& book = floor.book;
        switch (gone.kind) {
          case Kind::kLeg:
            book.leg(gone.into) += book.leg(gone.slot);
            book.leg(gone.slot) = {};
            break;
          case Kind::kPort:
            book.port(gone.into) += book.port(gone.slot);
            book.port(gone.slot) = {};
            book.leg(compile::kRetiredWithoutPort) += book.leg(gone.slot);  // a port's slot is that of its retired legs
            book.leg(gone.slot) = {};
            break;
          case Kind::kMap: book.map(gone.slot) = {}; break;
          case Kind::kRule: book.rule(gone.slot) = {}; break;
        }
      });
    compiler_.release(gone);
  }
}

/// Seconds since each port's count last changed, as far as somebody has looked: the management daemon does once a second.
std::map<std::string, uint64_t> Appliance::idle_seconds(const std::map<std::string, uint64_t>& received) {
  const uint64_t now = monotonic_ns();
  std::erase_if(heard_, [&received](const auto& entry) { return !received.contains(entry.first); });
  std::map<std::string, uint64_t> out;
  for (const auto& [id, packets] : received) {
    auto& heard = heard_.try_emplace(id, Heard{packets, now}).first->second;
    if (heard.packets != packets) heard = {packets, now};
    out[id] = (now - heard.at_ns) / 1'000'000'000;
  }
  return out;
}

Result<void> Appliance::start_measurement(const v1::Config& config) {
  stop_measuring();
  if (config.maps_size() != 1) return Error{ErrorCode::kInvalid, "maps", "one map is measured at a time"};
  auto compiled = compiler_.compile(config, 0);
  retired_pending_ = true;  // slots of rules that are not in force
  if (!compiled) return compiled.error();
  if (compiled->snapshot->maps.empty()) return Error{ErrorCode::kInvalid, "maps[0].enabled", "is false; a disabled map passes nothing"};
  measuring_ = std::make_unique<Measuring>(Measuring{std::move(*compiled), {}, 0});
  const Snapshot& snapshot = *measuring_->candidate.snapshot;
  for (uint32_t w = 0; w < workers_.size(); ++w) measuring_->workers.emplace_back(snapshot.classifier, snapshot.rule_slots.size(), w);
  for (std::size_t w = 0; w < workers_.size(); ++w)
    workers_[w]->between_bursts([this, w](Floor& floor, auto&) { floor.measurement = &measuring_->workers[w]; });
  measuring_->begin_ns = monotonic_ns();
  return {};
}

/// After this no worker writes what was measured.
void Appliance::stop_measuring() {
  if (!measuring_) return;
  for (auto& worker : workers_) worker->between_bursts([](Floor& floor, auto&) { floor.measurement = nullptr; });
}

Result<v1::Measurement> Appliance::end_measurement() {
  if (!measuring_) return Error{ErrorCode::kConflict, "", "nothing is measured: it was stopped, or the data plane has restarted"};
  stop_measuring();
  const auto done = std::exchange(measuring_, nullptr);
  return compile::report_measurement(done->candidate.plan.maps.front(), *done->candidate.snapshot, done->workers,
                                     monotonic_ns() - done->begin_ns);
}

void Appliance::start_survey() {
  stop_surveying();
  surveying_ = std::make_unique<Surveying>(static_cast<unsigned>(workers_.size()));
  surveying_->begin_ns = monotonic_ns();
  for (std::size_t w = 0; w < workers_.size(); ++w)
    workers_[w]->between_bursts([this, w](Floor& floor, auto&) { floor.surveyor = &surveying_->workers[w]; });
}

/// After this no worker writes what was found.
void Appliance::stop_surveying() {
  if (!surveying_) return;
  for (auto& worker : workers_) worker->between_bursts([](Floor& floor, auto&) { floor.surveyor = nullptr; });
}

Result<v1::DedupAdvice> Appliance::end_survey() {
  if (!surveying_)
    return Error{ErrorCode::kConflict, "", "the survey has ended: network ports came, went or changed meanwhile, or the data plane has restarted; ask again"};
  stop_surveying();
  const auto done = std::exchange(surveying_, nullptr);
  advice_ended_ns_ = monotonic_ns();
  advice_ = compile::advise_dedup(plan_, *publisher_.current(), done->workers, done->survey.sampled(), advice_ended_ns_ - done->begin_ns);
  return advice_;
}

Result<void> Appliance::identify(const std::string& device, uint32_t seconds) const { return Panel::identify(device, seconds); }

v1::Status Appliance::status() {
  v1::Status out;
  out.set_revision(publisher_.current()->revision);
  if (advice_ended_ns_ > 0) {
    *out.mutable_dedup_advice() = advice_;
    out.mutable_dedup_advice()->set_seconds_ago((monotonic_ns() - advice_ended_ns_) / 1'000'000'000);
  }
  auto* data_plane = out.mutable_data_plane();
  data_plane->set_pid(static_cast<uint32_t>(getpid()));
  data_plane->set_uptime_seconds((monotonic_ns() - started_ns_) / 1'000'000'000);
  std::map<std::string, uint64_t> received;
  for (uint32_t w = 0; w < workers_.size(); ++w) {
    AccountBook book;
    workers_[w]->read(book);
    for (const auto& port : plan_.ports)
      if (port.receives()) received[port.id] += book.port(port.slot).dequeued.packets;
    FrameCensus census;
    std::size_t waiting = 0;
    workers_[w]->between_bursts([&](Floor& floor, auto&) {
      census = floor.pool.census();
      waiting = floor.fragments.waiting().size();
    });
    auto* worker = data_plane->add_workers();
    worker->set_index(w);
    worker->set_cpu(workers_[w]->cpu());
    worker->set_loops(book.worker().loops);
    worker->set_busy_loops(book.worker().busy_loops);
    worker->set_sleeps(book.worker().sleeps);
    worker->set_handed_over(book.worker().handed_over);
    worker->set_copied(book.worker().copied);
    worker->set_frag_unknown(book.worker().frag_unknown);
    worker->set_fragments_waiting(waiting);
    auto* c = worker->mutable_census();
    c->set_total(census.total);
    c->set_pool(census.pool);
    c->set_fill_rings(census.lent);
    c->set_held(census.held);
    c->set_worker(census.worker);
    c->set_away(census.away);
    c->set_guests(census.guests);
    c->set_lost(census.lost());
  }
  panel_.report(plan_, idle_seconds(received), out);
  for (auto& port : *out.mutable_ports()) words_.report(port.id(), heard_ns_, port);
  liveness_.report(*publisher_.current(), plan_, out);
  balance_.report(out);
  return out;
}

v1::Ledger Appliance::ledger() {
  int64_t lost = 0;
  for (auto& worker : workers_) worker->between_bursts([&](Floor& floor, auto&) { lost += floor.pool.census().lost(); });  // publishes the book, too
  auto books = read_books();
  const auto outside = panel_.outside_counts(plan_);
  std::vector<compile::LegPlan> departing;
  for (const auto& gone : compiler_.retired(plan_))
    if (gone.kind == compile::Compiler::Retired::Kind::kLeg) departing.push_back({gone.slot, static_cast<PortSlot>(gone.into)});
  auto out = compile::report_ledger(plan_, departing, books, publisher_.current()->used, outside, lost);
  out.set_epoch_unix_ns(epoch_ns_);
  out.set_revision(publisher_.current()->revision);
  return out;
}

Result<v1::Explanation> Appliance::explain(const v1::Explain& request) const {
  const compile::PortPlan* from = nullptr;
  for (const auto& p : plan_.ports)
    if (p.name == request.port() || p.id == request.port()) from = &p;
  if (!from) return Error{ErrorCode::kNotFound, "port", "there is no port \"" + request.port() + "\""};
  const auto* given = reinterpret_cast<const std::byte*>(request.packet().data());
  std::vector<std::byte> packet{given, given + request.packet().size()};
  if (request.has_fields()) {
    auto made = compile::packet_of(request.fields(), "fields");
    if (!made) return made.error();
    packet = std::move(*made);
  }
  if (packet.empty() || packet.size() > compile::kLongestExplained)
    return Error{ErrorCode::kInvalid, "packet",
                 std::to_string(packet.size()) + " bytes; a packet has from 1 to " + std::to_string(compile::kLongestExplained)};
  // A floor of its own: the same pipeline, no worker's memory, no worker's book.
  const FrameLayout layout{.workers = 1, .frames_per_worker = kMaxChain};
  const FrameMemory memory(layout.total(), kChunkShift);
  Floor floor(layout, 0);
  floor.pool.add(MemoryClass::kCopy);
  floor.limited = false;
  MemoryPort inlet(memory);
  std::vector<std::unique_ptr<MemoryPort>> outlets;
  floor.inlets.push_back({.port = from->slot, .queue = &inlet});
  for (const auto& p : plan_.ports) {
    if (!p.sends()) continue;
    outlets.push_back(std::make_unique<MemoryPort>(memory));
    floor.outlets[p.slot] = {
        .open = true, .queue = outlets.back().get(), .copies = std::make_unique<ToolQueue>(), .max_length = p.mtu + compile::kLinkHeader};
    floor.open_outlets.push_back(p.slot);
  }
  const Snapshot& snapshot = *publisher_.current();
  for (std::size_t d = 0; d < snapshot.domains.size(); ++d) {
    auto table = DedupTable::make(DedupTable::kLeastBytes, false);
    if (!table) return table.error();
    floor.dedup_apart.push_back(std::make_unique<DedupMemory>(std::move(*table)));
  }
  inlet.arrive(std::move(packet));
  Pipeline<Tracer> pipeline(floor);
  pipeline.run_once(snapshot);
  return compile::report_trace(plan_, pipeline.observer().packets.front());
}

}  // namespace sluice
