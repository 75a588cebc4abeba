// A user's edits that are not in force yet. A draft is what it changes, not a copy of everything: it is seen on top of what is in force,
// and what colleagues commit meanwhile is in it, too.
#include <algorithm>
#include <map>

#include "base/clock.h"
#include "config/resources.h"
#include "config/transaction.h"
#include "config/validate.h"

namespace sluice::config {
namespace {

/// Of one user.
constexpr std::size_t kMostDrafts = 8;
/// Of one draft: twice a configuration of 16,384 rules, before and after.
constexpr std::size_t kMostDraftBytes = 8U << 20;

/// The draft's changes once it has become `after`. What was touched earlier keeps what it was then: else a colleague's change of it since
/// would be taken for something that this user saw.
std::vector<Change> changes_of(const Rows& present, const Rows& after, const std::vector<Change>& earlier) {
  auto out = edits(present, after);
  std::map<Key, std::optional<Row>> touched;
  for (const auto& change : earlier) touched[change.key] = change.before;
  for (auto& change : out)
    if (const auto known = touched.find(change.key); known != touched.end()) change.before = known->second;
  // As it was when it was touched: what a colleague made of it since remains.
  std::erase_if(out, [](const Change& change) {
    return !change.moved && (change.before ? change.after && change.before->body == change.after->body : !change.after);
  });
  return out;
}

bool may_see(const Draft& draft, const Asker& asker) { return asker.sees_all || draft.user == asker.user; }

}  // namespace

/// Another one whenever the draft, or what it is seen on top of, is another.
std::string Configuration::version_of(const Draft& draft) const {
  return std::to_string(revision_) + "-" + std::to_string(draft.changed_ns);
}

Result<Draft> Configuration::draft_of(const Asker& asker, const std::string& id) const {
  auto draft = store_.draft(id);
  // Somebody else's is not told apart from none.
  if (draft && !may_see(*draft, asker)) return Error{ErrorCode::kNotFound, "", "there is no draft \"" + id + "\""};
  return draft;
}

Result<std::vector<Draft>> Configuration::drafts(const Asker& asker) const {
  const std::lock_guard lock(mutex_);
  auto all = store_.drafts();
  if (all) std::erase_if(*all, [&asker](const Draft& draft) { return !may_see(draft, asker); });
  return all;
}

Result<Draft> Configuration::make_draft(const Author& author) {
  const std::lock_guard lock(mutex_);
  const auto all = store_.drafts();
  if (!all) return all.error();
  const auto mine = std::count_if(all->begin(), all->end(), [&author](const Draft& draft) { return draft.user == author.name; });
  if (mine >= static_cast<std::ptrdiff_t>(kMostDrafts))
    return Error{ErrorCode::kExhausted, "", "you have " + std::to_string(kMostDrafts) + " drafts; commit or remove one first"};
  const Draft draft{new_id(), author.name, author.comment, wall_ns(), wall_ns(), {}};
  if (auto r = store_.put_draft(draft); !r) return r.error();
  return draft;
}

Result<void> Configuration::remove_draft(const Asker& asker, const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (const auto draft = draft_of(asker, id); !draft) return draft.error();
  return store_.remove_draft(id);
}

Result<Configuration::DraftView> Configuration::view_draft(const Asker& asker, const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto draft = draft_of(asker, id);
  if (!draft) return draft.error();
  const auto merged = merge(in_force_.rows, draft->changes, Places::kMovesTold);
  auto config = config_of(merged.rows);
  if (!config) return config.error();
  DraftView out{*draft, revision_, version_of(*draft), with_names(std::move(*config)), {}, {}};
  out.changes = diff(*in_force_.named, out.config);
  for (const auto& conflict : merged.conflicts) out.conflicts.push_back(titles({conflict}));
  for (const auto* collection : collections()) {
    std::map<std::string, int> bearers;
    for (int i = 0; i < count(out.config, collection); ++i)
      if (const auto name = name_of(resource(out.config, collection, i)); ++bearers[name] == 2)
        out.conflicts.push_back(collection->name() + "/" + name + " (two have this name)");
  }
  return out;
}

Result<Outcome> Configuration::change_draft(const Asker& asker, const std::string& id, const Edit& edit, const ChangeOptions& options) {
  const std::lock_guard lock(mutex_);
  if (options.confirm_s)
    return Error{ErrorCode::kInvalid, "confirm_timeout", "belongs to the draft's :commit: an edit of it changes nothing yet"};
  auto draft = draft_of(asker, id);
  if (!draft) return draft.error();
  if (options.precondition)
    if (auto r = options.precondition(version_of(*draft)); !r) return r.error();
  const Rows& present = in_force_.rows;
  const auto before = config_of(merge(present, draft->changes, Places::kMovesTold).rows);
  if (!before) return before.error();
  v1::Config next = with_names(*before);
  if (auto r = edit(next); !r) return r.error();
  if (auto r = validate_counts(next); !r) return r.error();
  if (auto r = complete(next, *before); !r) return r.error();
  if (auto r = validate(next); !r) return r.error();
  Outcome outcome{revision_, false, {}, diff(with_names(*before), with_names(next)), {}};
  outcome.changed = !outcome.changes.empty();
  if (options.dry_run || !outcome.changed) return outcome;
  draft->changes = changes_of(present, rows_of(next), draft->changes);
  std::size_t bytes = 0;
  for (const auto& change : draft->changes)
    for (const auto* row : {&change.before, &change.after})
      if (*row) bytes += (*row)->body.size();
  if (bytes > kMostDraftBytes)
    return Error{ErrorCode::kExhausted, "",
                 "the draft would have " + std::to_string(bytes) + " bytes of changes; at most " + std::to_string(kMostDraftBytes)};
  draft->changed_ns = std::max(wall_ns(), draft->changed_ns + 1);
  if (auto r = store_.put_draft(*draft); !r) return r.error();
  return outcome;
}

Result<void> Configuration::rebase_draft(const Asker& asker, const std::string& id, const ChangeOptions& options) {
  const std::lock_guard lock(mutex_);
  auto draft = draft_of(asker, id);
  if (!draft) return draft.error();
  if (options.precondition)
    if (auto r = options.precondition(version_of(*draft)); !r) return r;
  const Rows& present = in_force_.rows;
  const Rows wanted = merge(present, draft->changes, Places::kMovesTold).rows;
  draft->changes = edits(present, wanted);
  draft->changed_ns = std::max(wall_ns(), draft->changed_ns + 1);
  return store_.put_draft(*draft);
}

Result<Outcome> Configuration::commit_draft(const Author& author, const Asker& asker, const std::string& id, const ChangeOptions& options) {
  const std::lock_guard lock(mutex_);
  const auto draft = draft_of(asker, id);
  if (!draft) return draft.error();
  if (auto r = may_begin(options, version_of(*draft)); !r) return r.error();
  const auto merged = merge(in_force_.rows, draft->changes, Places::kMovesTold);
  if (!merged.conflicts.empty())
    return Error{ErrorCode::kConflict, "",
                 "somebody else changed the same meanwhile: " + titles(merged.conflicts) +
                     "; look at the draft, then :rebase it to keep what it says, or remove it"};
  auto config = config_of(merged.rows);
  if (!config) return config.error();
  if (auto r = check_references(*config); !r)
    return Error{ErrorCode::kConflict, r.error().field_path, "was removed meanwhile by somebody else: " + r.error().message};
  auto outcome =
      install({author.name, author.comment.empty() ? draft->comment : author.comment, author.administers}, std::move(*config), options);
  // Should the power fail before the draft is gone, it is one that changes nothing any more.
  if (outcome && !options.dry_run)
    if (auto r = store_.remove_draft(id); !r) return r.error();
  return outcome;
}

}  // namespace sluice::config
