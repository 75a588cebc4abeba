#include "api/events.h"

#include <charconv>

#include "api/handlers.h"
#include "api/rates.h"
#include "base/clock.h"
#include "config/proto_json.h"

namespace sluice::api {

/// One client. Ends before the hub.
class Events::Listener final : public Stream {
 public:
  Listener(Events& events, std::string user, std::function<bool()> may_listen, std::string first, uint64_t seen)
      : events_(events), user_(std::move(user)), may_listen_(std::move(may_listen)), first_(std::move(first)), seen_(seen) {}
  ~Listener() override {
    const std::lock_guard lock(events_.mutex_);
    if (--events_.listeners_[user_] == 0) events_.listeners_.erase(user_);
  }

  std::optional<std::string> next() override {
    std::string out = std::exchange(first_, "");
    {
      const std::lock_guard lock(events_.mutex_);
      if (events_.is_behind(seen_)) {
        out += events_.anew(events_.id(seen_));
        seen_ = events_.number_;
      }
      for (const auto& event : events_.kept_) {
        if (event.number <= seen_) continue;
        if (!out.empty() && out.size() + event.text.size() > kMostAtOnce) break;
        out += event.text;
        seen_ = event.number;
      }
    }
    // A comment in silence: a client that is gone is noticed by it, and one that may listen no more is let go.
    const uint64_t now = monotonic_ns();
    if (out.empty() && now - told_ns_ > kSilenceNs) out = ":\n\n";
    if (out.empty()) return out;
    told_ns_ = now;
    if (!may_listen_()) return std::nullopt;
    return out;
  }

 private:
  static constexpr uint64_t kSilenceNs = 10'000'000'000;

  Events& events_;
  const std::string user_;
  std::function<bool()> may_listen_;
  std::string first_;
  uint64_t seen_;
  uint64_t told_ns_ = monotonic_ns();
};

Events::Events(config::Configuration& configuration, Telemetry& telemetry)
    : configuration_(configuration), telemetry_(telemetry), epoch_(std::to_string(wall_ns())) {
  if (const auto newest = configuration_.revisions(1); newest && !newest->empty()) revision_ = newest->front().number;
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    auto due = std::chrono::steady_clock::now();
    do {
      lock.unlock();
      look();
      lock.lock();
      due = std::max(due + std::chrono::seconds(1), std::chrono::steady_clock::now());
    } while (!ending_.wait_until(lock, due, [this] { return end_; }));
  });
}

Events::~Events() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ending_.notify_all();
  thread_.join();
}

Result<std::shared_ptr<Stream>> Events::listen(const Request& request, std::function<bool()> may_listen) {
  const std::lock_guard lock(mutex_);
  unsigned all = 0;
  for (const auto& [user, count] : listeners_) all += count;
  const auto& user = request.caller.user;
  if (all >= kMostListeners || (listeners_.contains(user) && listeners_[user] >= kMostOfOneUser))
    return Error{ErrorCode::kTooMany, "",
                 "already " + std::to_string(all) + " clients listen to events; of one user " + std::to_string(kMostOfOneUser) + " may"};
  const auto& last = request.last_event_id;
  uint64_t seen = 0;
  const bool ours = last.starts_with(epoch_ + "-");
  if (ours) (void)std::from_chars(last.data() + epoch_.size() + 1, last.data() + last.size(), seen);
  std::string first = "retry: 1000\n\n";
  if (!ours || seen > number_ || is_behind(seen)) {
    first += anew(last);
    seen = number_;
  }
  ++listeners_[user];
  return std::shared_ptr<Stream>(std::make_shared<Listener>(*this, user, std::move(may_listen), std::move(first), seen));
}

/// What is now, for somebody who cannot be told what was in between.
std::string Events::anew(const std::string& last_event_id) const {
  std::string out;
  if (!last_event_id.empty()) {
    v1::Missed missed;
    missed.set_last_event_id(last_event_id);
    out = "event: missed\ndata: " + config::to_json(missed) + "\n\n";
  }
  for (const auto& [name, event] : latest_) out += event.text;
  return out;
}

void Events::tell(const std::string& name, const google::protobuf::Message& message) {
  const std::lock_guard lock(mutex_);
  Event event{++number_, name, ""};
  event.text = "id: " + id(event.number) + "\nevent: " + name + "\ndata: " + config::to_json(message) + "\n\n";
  latest_[name] = event;
  kept_bytes_ += event.text.size();
  kept_.push_back(std::move(event));
  while (kept_.size() > 1 && (kept_.size() > kMostKept || kept_bytes_ > kMostKeptBytes)) {
    kept_bytes_ -= kept_.front().text.size();
    kept_.pop_front();
  }
}

void Events::look() {
  look_at_revisions();
  look_at_health(observed_status(configuration_, telemetry_));
  const bool heard = [this] {
    const std::lock_guard lock(mutex_);
    return !listeners_.empty();
  }();
  if (heard) look_at_rates();
  else ledger_ns_ = 0;
}

void Events::look_at_health(const Result<v1::Status>& status) {
  v1::Health health;
  v1::PortStates ports;
  if (status) {
    health.set_health(status->health());
    *health.mutable_reasons() = status->reasons();
    for (const auto& port : status->ports()) {
      auto* one = ports.add_ports();
      one->set_name(port.name());
      one->set_id(port.id());
      one->set_role(port.role());
      one->set_state(port.state());
      one->set_reason(port.reason());
    }
  } else {
    health.set_health("DOWN");
    health.add_reasons(status.error().message);
  }
  if (const auto now = health.SerializeAsString(); now != health_) tell("health", health), health_ = now;
  if (const auto now = ports.SerializeAsString(); status && now != ports_) tell("ports", ports), ports_ = now;
}

void Events::look_at_rates() {
  const auto ledger = telemetry_.ledger();
  const uint64_t now = monotonic_ns();
  if (!ledger) {
    ledger_ns_ = 0;
    return;
  }
  if (ledger_ns_ && ledger->epoch_unix_ns() == ledger_.epoch_unix_ns()) {
    auto rates = rates_between(ledger_, *ledger, now - ledger_ns_);
    rates.set_unix_ns(wall_ns());
    tell("rates", rates);
  }
  ledger_ = *ledger;
  ledger_ns_ = now;
}

void Events::look_at_revisions() {
  constexpr unsigned kAtOnce = 100;
  const auto newest = configuration_.revisions(kAtOnce);
  if (!newest) return;
  for (auto revision = newest->rbegin(); revision != newest->rend(); ++revision) {
    const std::string state = revision->confirmation ? revision->confirmation->state : "";
    const auto told = unsettled_.find(revision->number);
    if (revision->number <= revision_ && (told == unsettled_.end() || told->second == state)) continue;
    tell("revision", revision_of(*revision));
    if (state == "PENDING") unsettled_[revision->number] = state;
    else unsettled_.erase(revision->number);
  }
  if (!newest->empty()) revision_ = newest->front().number;
}

}  // namespace sluice::api
