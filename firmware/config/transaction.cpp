#include "config/transaction.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/clock.h"
#include "base/wire.h"
#include "config/resources.h"
#include "config/validate.h"

namespace sluice::config {
namespace {

std::string number(uint64_t revision) { return "revision " + std::to_string(revision); }

/// Whatever the way: a resource's own route, the whole configuration, a draft, a rollback.
Result<void> may_make(const Author& author, const Rows& before, const Rows& after) {
  if (author.administers) return {};
  const auto check = [](const Rows& rows, const Rows& others) -> Result<void> {
    for (const auto& [key, row] : rows) {
      const auto* collection = find_collection(key.first);
      if (!collection || !is_about_people(collection)) continue;
      if (const auto other = others.find(key); other == others.end() || !(other->second == row))
        return Error{ErrorCode::kForbidden, key.first, "only an ADMIN changes who may do what: " + title(key, row.body) + " would be another, or gone"};
    }
    return {};
  };
  if (auto r = check(before, after); !r) return r;
  return check(after, before);
}

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
    fill_defaults(*config);  // of fields that there were none of when it was written
    if (auto r = validate(*config); !r) return r.error();
    return config;
  };
  auto config = usable(newest_);
  if (config) in_force_ = forms_of(*config, rows_of(*config)), show(revision_);
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

/// To the newest revision before the present one that can be read and that `accept` takes; beyond the change log, to labelled ones.
Result<void> Configuration::fall_back(const std::string& why, const std::function<Result<void>(uint64_t, const v1::Config&)>& accept) {
  constexpr unsigned kMostTried = 50;  // each costs a walk through the change log, while everybody waits
  std::vector<uint64_t> candidates;
  for (uint64_t n = revision_; n-- > 0 && candidates.size() < kMostTried;) candidates.push_back(n);
  const auto older = store_.revisions(kMostRevisions + kMostLabels + 1, candidates.empty() ? 0 : candidates.back());
  if (!older) return older.error();
  for (const auto& revision : *older)
    if (!revision.label.empty()) candidates.push_back(revision.number);
  for (const uint64_t candidate : candidates) {
    const auto rows = store_.rows_at(candidate);
    auto config = rows ? config_of(*rows) : Result<v1::Config>(rows.error());
    if (!config) continue;
    fill_defaults(*config);
    if (!validate(*config)) continue;
    if (auto r = accept(candidate, *config); !r) {
      if (r.error().code == ErrorCode::kUnreachable) return r;  // says nothing of the revision: all of this again when it is back
      continue;
    }
    fallen_back_ = number(newest_) + " cannot be used (" + why + "); " + number(candidate) +
                   " is in force instead. Roll back to it, or put a configuration that is right.";
    in_force_ = forms_of(*config, rows_of(*config));
    show(candidate);
    return {};
  }
  return Error{ErrorCode::kInternal, "", number(newest_) + " cannot be used (" + why + "), and no revision before it either"};
}

Configuration::Forms Configuration::forms_of(v1::Config config, Rows rows) {
  Forms out{std::move(rows), {}, spares_.share(with_names(std::move(config))), {}, nullptr};
  out.named_maps = map_bytes(*out.named);
  return out;
}

/// The same of a configuration that was changed from the one in force.
Configuration::Forms Configuration::changed_forms_of(v1::Config config, Rows rows, const ChangedRules& changed) {
  v1::Config named = with_names(std::move(config));
  MapBytes maps;
  for (int i = 0; i < named.maps_size(); ++i) {
    auto& map = *named.mutable_maps(i);
    const auto was = in_force_.named_maps.find(map.id());
    maps[map.id()] = changed.bytes_of_map(map, i, was == in_force_.named_maps.end() ? std::string_view() : was->second);
  }
  return {std::move(rows), {}, spares_.share(std::move(named)), std::move(maps), nullptr};
}

/// Of what was in force before, if nobody reads it any more.
std::unique_ptr<v1::Config> Configuration::spare_of(const Forms& forms) {
  Forms gone = std::exchange(gone_, {});
  auto out = spares_.take_back(std::move(gone.named));
  if (!out) return std::make_unique<v1::Config>(*forms.named);
  make_equal(*out, gone.named_maps, *forms.named, forms.named_maps);
  return out;
}

/// What a change was to put in force came to nothing: its copies serve the next one.
void Configuration::give_up(Forms forms) {
  if (forms.spare) {
    make_equal(*forms.spare, forms.named_maps, *in_force_.named, in_force_.named_maps);
    in_force_.spare = std::move(forms.spare);
  }
  gone_ = std::move(forms);
}

/// bytes_of() a configuration with references by id that was changed from the one in force.
std::string Configuration::bytes_of_changed(v1::Config& config, const ChangedRules& changed) const {
  // The bytes of rules that stay are those that they were if what they refer to has the ids that it had.
  if (!rules_refer_alike(*in_force_.named, config)) return bytes_of(config);
  std::vector<std::string> maps;
  for (int i = 0; i < config.maps_size(); ++i) {
    auto& map = *config.mutable_maps(i);
    const auto was = in_force_.rows.find({"maps", map.id()});
    maps.push_back(changed.bytes_of_map(map, i, was == in_force_.rows.end() ? std::string_view() : was->second.body));
  }
  google::protobuf::RepeatedPtrField<v1::Map> kept;
  kept.Swap(config.mutable_maps());
  const std::string rest = bytes_of(config);
  kept.Swap(config.mutable_maps());
  return with_wire_fields(rest, v1::Config::kMapsFieldNumber, {maps.begin(), maps.end()});
}

/// Of what is in force, references by name, to be edited.
v1::Config Configuration::take_copy(const ChangeOptions& options) {
  if (options.dry_run || !in_force_.spare) return *in_force_.named;
  const auto spare = std::move(in_force_.spare);
  return std::move(*spare);
}

Configuration::View Configuration::view() const {
  const std::lock_guard lock(shown_mutex_);
  return {.revision = shown_.revision, .whole = shown_.config, .version = std::to_string(shown_.revision)};
}

/// What is in force from now on is this revision.
void Configuration::show(uint64_t revision) {
  revision_ = revision;
  const std::lock_guard lock(shown_mutex_);
  shown_.revision = revision;
  shown_.config = in_force_.named;
}

Result<v1::Config> Configuration::candidate(const Edit& edit) const {
  const std::lock_guard lock(mutex_);
  v1::Config next = *in_force_.named;
  if (auto r = edit(next); !r) return r.error();
  const ChangedRules changed(in_force_.named_maps, next);
  if (auto r = validate_counts(next, changed); !r) return r.error();
  if (auto r = complete(next, *in_force_.named, new_id, changed); !r) return r.error();
  if (auto r = validate(next, changed); !r) return r.error();
  return next;
}

Result<Outcome> Configuration::change(const Author& author, const Edit& edit, const ChangeOptions& options) {
  const std::lock_guard lock(mutex_);
  if (auto r = may_begin(options, std::to_string(revision_)); !r) return r.error();
  v1::Config next = take_copy(options);
  if (auto r = edit(next); !r) return r.error();
  const ChangedRules changed(in_force_.named_maps, next);
  if (auto r = validate_counts(next, changed); !r) return r.error();
  if (auto r = complete(next, *in_force_.named, new_id, changed); !r) return r.error();
  return install(author, std::move(next), options, {}, Purpose::kChange, changed);
}

Result<void> Configuration::may_begin(const ChangeOptions& options, const std::string& version) const {
  if (options.confirm_s && !waiting_.empty())
    return Error{ErrorCode::kConflict, "confirm_timeout",
                 number(waiting_.front().revision) +
                     " still waits for its confirmation: confirm or revert it first, or change without confirm_timeout"};
  return options.precondition ? options.precondition(version) : Result<void>();
}

/// The rest of every change. next: references by id, everything filled in. undone: unconfirmed revisions that it undoes.
Result<Outcome> Configuration::install(const Author& author, v1::Config next, const ChangeOptions& options,
                                       const std::vector<uint64_t>& undone, Purpose purpose, const ChangedRules& changed) {
  fill_defaults(next, changed);  // an old revision may lack some
  if (auto r = validate(next, changed); !r) return r.error();
  const std::string bytes = bytes_of_changed(next, changed);
  Rows rows = rows_of(next, bytes);
  const auto settle = [&] {
    std::erase_if(waiting_, [&](const Waiting& w) { return std::count(undone.begin(), undone.end(), w.revision) > 0; });
  };
  // Degraded, what is in force is to be made the newest revision even where nothing else changes.
  if (fallen_back_.empty() && in_force_.rows == rows) {
    if (!options.dry_run) {
      for (const uint64_t one : undone)
        if (auto r = store_.set_confirmation(one, "UNDONE", ""); !r) return r.error();
      settle();
    }
    return Outcome{revision_, false, {}, {}, {}};
  }
  if (auto r = may_make(author, in_force_.rows, rows); !r) return r.error();
  // The data plane compiles in the time that the rest takes.
  auto preparing = std::async(std::launch::async | std::launch::deferred, [this, &bytes, what = options.dry_run ? Purpose::kTry : purpose] {
    return data_plane_.prepare(newest_ + 1, bytes, what);
  });
  Forms forms = changed_forms_of(std::move(next), std::move(rows), changed);
  auto changes = diff(*in_force_.named, *forms.named, changed);
  if (!options.dry_run) {
    forms.digest = digest(forms.rows);
    forms.spare = spare_of(forms);
  }
  const auto prepared = preparing.get();
  if (!prepared) {
    if (!options.dry_run) give_up(std::move(forms));
    return prepared.error();
  }
  Outcome outcome{revision_, true, {prepared->warnings().begin(), prepared->warnings().end()}, std::move(changes), prepared->cost()};
  if (options.dry_run) return outcome;

  const auto committed = store_.commit(forms.rows, forms.digest, author, options.confirm_s, undone);
  if (!committed) {
    give_up(std::move(forms));
    return committed.error();
  }
  std::swap(in_force_, forms);
  outcome.revision = newest_ = *committed;
  show(newest_);
  fallen_back_.clear();
  settle();
  if (options.confirm_s) wait_for_confirmation(revision_, std::chrono::seconds(*options.confirm_s));
  gone_ = std::move(forms);
  if (auto r = data_plane_.publish(revision_); !r)
    outcome.warnings.push_back(number(revision_) + " is saved; the data plane gets it when it is back: " + r.error().message);
  return outcome;
}

// ---- The ways back ----

Result<Outcome> Configuration::rollback(const Author& author, uint64_t revision, const ChangeOptions& options) {
  const std::lock_guard lock(mutex_);
  if (auto r = may_begin(options, std::to_string(revision_)); !r) return r.error();
  const auto rows = store_.rows_at(revision);
  if (!rows) return rows.error();
  auto next = config_of(*rows);
  if (!next) return next.error();
  // Whatever waits and came later is gone with this.
  const auto unconfirmed = store_.unconfirmed();
  if (!unconfirmed) return unconfirmed.error();
  std::vector<uint64_t> undone;
  for (const auto& one : *unconfirmed)
    if (one.number > revision) undone.push_back(one.number);
  return install(author, std::move(*next), options, undone);
}

Result<Outcome> Configuration::revert(const Author& author, uint64_t revision, const ChangeOptions& options) {
  const std::lock_guard lock(mutex_);
  if (auto r = may_begin(options, std::to_string(revision_)); !r) return r.error();
  return revert_locked(author, revision, options, Purpose::kChange);
}

Result<Outcome> Configuration::revert_locked(const Author& author, uint64_t revision, const ChangeOptions& options, Purpose purpose) {
  // One that could not be used, perhaps not even be read, is not in force: what is in its place stays.
  auto next = revision > revision_ ? config_of(in_force_.rows) : inverse_of(revision);
  if (!next) return next.error();
  const auto known = store_.revision(revision);
  if (!known) return known.error();
  // Undone by hand is undone too: its time need not run out.
  std::vector<uint64_t> undone;
  if (known->confirmation && known->confirmation->state != "CONFIRMED") undone.push_back(revision);
  return install(author, std::move(*next), options, undone, purpose);
}

/// The present configuration with the inverse of one revision.
Result<v1::Config> Configuration::inverse_of(uint64_t revision) const {
  const auto changes = store_.changes_of(revision);
  if (!changes) return changes.error();
  const auto merged = merge(in_force_.rows, inverse(*changes), Places::kAllTold);
  if (!merged.conflicts.empty())
    return Error{ErrorCode::kConflict, "",
                 "later revisions than " + std::to_string(revision) + " changed the same: " + titles(inverse(merged.conflicts)) +
                     "; change it back by hand, or roll back to a revision as a whole"};
  auto config = config_of(merged.rows);
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
  undo_trouble_.clear();
  const auto all = waiting_;
  for (const auto& one : all) {
    if (one.deadline > now) continue;
    // What was in force before may be again, whatever the devices of today say.
    const auto undone =
        revert_locked({"sluice", number(one.revision) + " was not confirmed in time", true}, one.revision, {}, Purpose::kResume);
    if (undone) continue;
    const auto& error = undone.error();
    const bool passes =
        error.code == ErrorCode::kUnreachable || error.code == ErrorCode::kInternal;  // a data plane, a disk, that may be back
    if (!passes && store_.set_confirmation(one.revision, "FAILED", error.message)) {
      std::erase_if(waiting_, [&one](const Waiting& w) { return w.revision == one.revision; });
      continue;
    }
    undo_trouble_ = number(one.revision) + " was not confirmed in time and is not undone yet: " + error.message;
    for (auto& w : waiting_)
      if (w.revision == one.revision) w.deadline = now + kRetry;
  }
  if (waiting_.empty()) return std::nullopt;
  return std::min_element(waiting_.begin(), waiting_.end(), [](const auto& a, const auto& b) { return a.deadline < b.deadline; })->deadline;
}

// ---- The data plane ----

Result<void> Configuration::resume() {
  const std::lock_guard lock(mutex_);
  const auto give = [this](uint64_t revision, const v1::Config& config) -> Result<void> {
    const auto cost = data_plane_.prepare(revision, bytes_of(config), Purpose::kResume);
    return cost ? Result<void>() : Result<void>(cost.error());
  };
  const auto config = config_of(in_force_.rows);
  if (!config) return config.error();
  if (auto r = give(revision_, *config); !r) {
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
  auto config = config_of(*rows);
  if (!config) return config;
  return with_names(std::move(*config));
}

std::vector<std::string> Configuration::faults() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  if (!fallen_back_.empty()) out.push_back(fallen_back_);
  if (!undo_trouble_.empty()) out.push_back(undo_trouble_);
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
