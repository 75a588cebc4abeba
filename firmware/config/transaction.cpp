#include "config/transaction.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "base/clock.h"
#include "config/resources.h"
#include "config/validate.h"

namespace sluice::config {
namespace {

std::string number(uint64_t revision) { return "revision " + std::to_string(revision); }

}  // namespace

Result<void> Configuration::load() {
  const std::lock_guard lock(mutex_);
  const auto newest = store_.newest();
  if (!newest) return newest.error();
  newest_ = revision_ = *newest;
  const auto usable = [this](uint64_t revision) -> Result<v1::Config> {
    const auto rows = store_.rows_at(revision);
    if (!rows) return rows.error();
    auto config = config_of(*rows);
    if (!config) return config;
    if (auto r = validate(*config); !r) return r.error();
    return config;
  };
  auto config = usable(newest_);
  if (config) config_ = std::move(*config);
  else if (auto r = fall_back(config.error().field_path + " " + config.error().message, [](auto, const auto&) { return Result<void>(); });
           !r)
    return r;

  const auto unconfirmed = store_.unconfirmed();
  if (!unconfirmed) return unconfirmed.error();
  for (const auto& revision : *unconfirmed) {
    if (revision.confirmation->state != "PENDING") continue;
    // The wall clock may have been set meanwhile: never longer than was asked for, and at once if it is over.
    const auto left = static_cast<int64_t>(revision.confirmation->deadline_ns) - static_cast<int64_t>(wall_ns());
    const auto most = static_cast<int64_t>(revision.confirmation->timeout_s) * 1'000'000'000;
    wait_for_confirmation(revision.number, std::chrono::nanoseconds(std::clamp<int64_t>(left, 0, most)));
  }
  return {};
}

/// To the newest revision before the present one that can be read and that `accept` takes.
Result<void> Configuration::fall_back(const std::string& why, const std::function<Result<void>(uint64_t, const v1::Config&)>& accept) {
  for (uint64_t candidate = revision_; candidate-- > 0;) {
    const auto rows = store_.rows_at(candidate);
    if (!rows && rows.error().code == ErrorCode::kNotFound) break;
    auto config = rows ? config_of(*rows) : Result<v1::Config>(rows.error());
    if (!config || !validate(*config) || !accept(candidate, *config)) continue;
    fallen_back_ = number(newest_) + " cannot be used (" + why + "); " + number(candidate) +
                   " is in force instead. Roll back to it, or put a configuration that is right.";
    revision_ = candidate;
    config_ = std::move(*config);
    return {};
  }
  return Error{ErrorCode::kInternal, "", number(newest_) + " cannot be used (" + why + "), and no revision before it either"};
}

Configuration::View Configuration::view() const {
  const std::lock_guard lock(mutex_);
  return {revision_, with_names(config_)};
}

Result<Outcome> Configuration::change(const Author& author, const Edit& edit, const ChangeOptions& options) {
  const std::lock_guard lock(mutex_);
  v1::Config next = with_names(config_);
  if (auto r = edit(next); !r) return r.error();
  if (auto r = validate_counts(next); !r) return r.error();
  if (auto r = complete(next, config_); !r) return r.error();
  return install(author, std::move(next), options);
}

/// The rest of every change. next: references by id, everything filled in.
Result<Outcome> Configuration::install(const Author& author, v1::Config next, const ChangeOptions& options) {
  if (auto r = validate(next); !r) return r.error();
  // Degraded, what is in force is to be made the newest revision even where nothing else changes.
  if (fallen_back_.empty() && google::protobuf::util::MessageDifferencer::Equals(config_, next)) return Outcome{revision_, false, "", {}};
  if (auto r = data_plane_.prepare(newest_ + 1, next, options.dry_run ? Purpose::kTry : Purpose::kChange); !r) return r.error();
  Outcome outcome{revision_, true, "", diff(with_names(config_), with_names(next))};
  if (options.dry_run) return outcome;

  const auto committed = store_.commit(rows_of(next), author, options.confirm_s);
  if (!committed) return committed.error();
  config_ = std::move(next);
  outcome.revision = revision_ = newest_ = *committed;
  fallen_back_.clear();
  if (options.confirm_s) wait_for_confirmation(revision_, std::chrono::seconds(*options.confirm_s));
  if (auto r = data_plane_.publish(revision_); !r)
    outcome.warning = number(revision_) + " is saved; the data plane gets it when it is back: " + r.error().message;
  return outcome;
}

// ---- The ways back ----

Result<Outcome> Configuration::rollback(const Author& author, uint64_t revision, const ChangeOptions& options) {
  const std::lock_guard lock(mutex_);
  const auto rows = store_.rows_at(revision);
  if (!rows) return rows.error();
  auto next = config_of(*rows);
  if (!next) return next.error();
  return install(author, std::move(*next), options);
}

Result<Outcome> Configuration::revert(const Author& author, uint64_t revision, const ChangeOptions& options) {
  const std::lock_guard lock(mutex_);
  return revert_locked(author, revision, options);
}

Result<Outcome> Configuration::revert_locked(const Author& author, uint64_t revision, const ChangeOptions& options) {
  auto next = inverse_of(revision);
  if (!next) return next.error();
  auto outcome = install(author, std::move(*next), options);
  if (!outcome || options.dry_run) return outcome;
  // Undone by hand is undone too: its time need not run out.
  const auto undone = store_.revision(revision);
  if (undone && undone->confirmation && undone->confirmation->state != "CONFIRMED") {
    std::erase_if(waiting_, [revision](const Waiting& w) { return w.revision == revision; });
    if (auto r = store_.set_confirmation(revision, "UNDONE", ""); !r) return r.error();
  }
  return outcome;
}

/// The present configuration with the inverse of one revision.
Result<v1::Config> Configuration::inverse_of(uint64_t revision) const {
  const auto changes = store_.changes_of(revision);
  if (!changes) return changes.error();
  Rows rows = rows_of(config_);
  std::string others;
  for (const auto& change : *changes) {
    const auto now = rows.find(change.key);
    const auto is = [&](const std::optional<Row>& wanted) {
      return wanted ? now != rows.end() && now->second.body == wanted->body : now == rows.end();
    };
    if (is(change.after)) {
      if (change.before) rows[change.key] = *change.before;
      else rows.erase(change.key);
    } else if (!is(change.before)) {
      others += (others.empty() ? "" : ", ") + title(change.key, change.after ? change.after->body : change.before->body);
    }
  }
  if (!others.empty())
    return Error{ErrorCode::kConflict, "",
                 "later revisions than " + std::to_string(revision) + " changed the same: " + others +
                     "; change it back by hand, or roll back to a revision as a whole"};
  auto config = config_of(rows);
  if (!config) return config;
  if (auto r = check_references(*config); !r)
    return Error{ErrorCode::kConflict, r.error().field_path,
                 "is not there without revision " + std::to_string(revision) + ": " + r.error().message};
  return config;
}

Result<void> Configuration::confirm(uint64_t revision) {
  const std::lock_guard lock(mutex_);
  const auto known = store_.revision(revision);
  if (!known) return known.error();
  if (!known->confirmation || known->confirmation->state == "CONFIRMED" || known->confirmation->state == "UNDONE")
    return Error{
        ErrorCode::kConflict, "",
        number(revision) + (known->confirmation ? known->confirmation->state == "UNDONE" ? " was undone already" : " is confirmed already"
                                                : " needs no confirmation")};
  if (auto r = store_.set_confirmation(revision, "CONFIRMED", ""); !r) return r;
  std::erase_if(waiting_, [revision](const Waiting& w) { return w.revision == revision; });
  return {};
}

void Configuration::wait_for_confirmation(uint64_t revision, std::chrono::nanoseconds left) {
  waiting_.push_back({revision, std::chrono::steady_clock::now() + left});
  if (wake_) wake_();
}

void Configuration::on_unconfirmed(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
}

std::optional<std::chrono::steady_clock::time_point> Configuration::undo_unconfirmed() {
  constexpr auto kRetry = std::chrono::seconds(1);
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  // The newest first: each is then undone on what it was made on.
  std::sort(waiting_.begin(), waiting_.end(), [](const Waiting& a, const Waiting& b) { return a.revision > b.revision; });
  const auto all = waiting_;
  for (const auto& one : all) {
    if (one.deadline > now) continue;
    const auto undone = revert_locked({"sluice", number(one.revision) + " was not confirmed in time"}, one.revision, {});
    if (undone) continue;
    const auto place = std::find_if(waiting_.begin(), waiting_.end(), [&one](const Waiting& w) { return w.revision == one.revision; });
    if (place == waiting_.end()) continue;
    if (undone.error().code == ErrorCode::kUnreachable) {
      place->deadline = now + kRetry;
      continue;
    }
    waiting_.erase(place);
    fail_confirmation(one.revision, undone.error().message);
  }
  if (waiting_.empty()) return std::nullopt;
  return std::min_element(waiting_.begin(), waiting_.end(), [](const auto& a, const auto& b) { return a.deadline < b.deadline; })->deadline;
}

void Configuration::fail_confirmation(uint64_t revision, const std::string& reason) {
  // A store that cannot take this has just failed to take the revert: faults() reads it again and says so.
  (void)store_.set_confirmation(revision, "FAILED", reason);
}

// ---- The data plane ----

Result<void> Configuration::resume() {
  const std::lock_guard lock(mutex_);
  const auto give = [this](uint64_t revision, const v1::Config& config) { return data_plane_.prepare(revision, config, Purpose::kResume); };
  if (auto r = give(revision_, config_); !r) {
    if (r.error().code == ErrorCode::kUnreachable) return r;
    if (auto fallen = fall_back(r.error().field_path + " " + r.error().message, give); !fallen) return fallen;
  }
  return data_plane_.publish(revision_);
}

// ---- What there is ----

Result<std::vector<Revision>> Configuration::revisions(unsigned limit, uint64_t below) const {
  const std::lock_guard lock(mutex_);
  return store_.revisions(limit, below);
}

Result<Revision> Configuration::revision(uint64_t number) const {
  const std::lock_guard lock(mutex_);
  return store_.revision(number);
}

Result<void> Configuration::set_label(uint64_t revision, const std::string& label) {
  const std::lock_guard lock(mutex_);
  return store_.set_label(revision, label);
}

Result<v1::Config> Configuration::config_at(uint64_t revision) const {
  const std::lock_guard lock(mutex_);
  const auto rows = store_.rows_at(revision);
  if (!rows) return rows.error();
  const auto config = config_of(*rows);
  if (!config) return config;
  return with_names(*config);
}

std::vector<std::string> Configuration::faults() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  if (!fallen_back_.empty()) out.push_back(fallen_back_);
  const auto unconfirmed = store_.unconfirmed();
  if (!unconfirmed) out.push_back(unconfirmed.error().message);
  else
    for (const auto& revision : *unconfirmed)
      if (revision.confirmation->state == "FAILED")
        out.push_back(number(revision.number) + " was not confirmed in time and could not be undone: " + revision.confirmation->reason +
                      " Confirm it if it may stay.");
  return out;
}

}  // namespace sluice::config
