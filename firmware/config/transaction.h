// The one way by which the configuration changes: edit a copy, validate, Prepare, commit, Publish; and the ways
// back: rollback to a revision, revert of one, and of one that nobody confirmed.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/changed_rules.h"
#include "config/data_plane.h"
#include "config/diff.h"
#include "config/spare.h"
#include "config/store.h"
#include "sluice/v1/config.pb.h"

namespace sluice::config {

struct ChangeOptions {
  bool dry_run = false;               ///< validation alone: nothing is changed
  std::optional<uint32_t> confirm_s;  ///< undone unless it is confirmed within so many seconds; one revision at a time
  /// Asked before anything else, with the version (View, DraftView) that would be changed: a client's If-Match.
  std::function<Result<void>(const std::string& version)> precondition = {};
};

/// What became of a change.
struct Outcome {
  uint64_t revision = 0;              ///< in force now; unchanged if nothing was changed
  bool changed = false;               ///< or would be
  std::vector<std::string> warnings;  ///< what is hardly meant; or the data plane went away before it could be published
  std::vector<v1::ResourceChange> changes;
  v1::Cost cost = {};  ///< of what was prepared; default where nothing was
};

/// Who wants to see drafts.
struct Asker {
  std::string user;
  bool sees_all = false;  ///< other users', too
};

/// Any thread; one change at a time.
class Configuration {
 public:
  Configuration(Store& store, DataPlane& data_plane) : store_(store), data_plane_(data_plane) {}

  /// Reads the last revision from the store; if that is damaged or written by a newer version, the last one that is not.
  [[nodiscard]] Result<void> load();

  /// The configuration in force, references by name, and its revision. Whoever looks at `config` keeps the View meanwhile.
  struct View {
    uint64_t revision;
    std::shared_ptr<const v1::Config> whole;  ///< not copied for each who looks; it stays as it is
    std::string version;
    const v1::Config& config = *whole;
  };
  /// Waits for no change: until it is made, the view is the one before.
  [[nodiscard]] View view() const;

  /// Applies `edit` to a copy that has names for references. On any error nothing has changed.
  using Edit = std::function<Result<void>(v1::Config&)>;
  [[nodiscard]] Result<Outcome> change(const Author& author, const Edit& edit, const ChangeOptions& options = {});

  /// What change() would give to the data plane, references by id. Nothing changes.
  [[nodiscard]] Result<v1::Config> candidate(const Edit& edit) const;

  /// Everything as it was at a revision, ids included, as a new revision.
  [[nodiscard]] Result<Outcome> rollback(const Author& author, uint64_t revision, const ChangeOptions& options = {});
  /// The inverse of one revision, what came later kept. Errors: kConflict where a later revision changed the same resource.
  [[nodiscard]] Result<Outcome> revert(const Author& author, uint64_t revision, const ChangeOptions& options = {});

  // ---- Drafts (drafts.cpp); whose draft it is not, to him there is none ----
  [[nodiscard]] Result<std::vector<Draft>> drafts(const Asker& asker) const;
  /// An empty one. Errors: kExhausted.
  [[nodiscard]] Result<Draft> make_draft(const Author& author);
  [[nodiscard]] Result<void> remove_draft(const Asker& asker, const std::string& id);
  /// What would be in force after its commit.
  struct DraftView {
    Draft draft;
    uint64_t revision;    ///< that it is seen on top of
    std::string version;  ///< another one whenever the draft or that is
    v1::Config config;    ///< references by name
    std::vector<v1::ResourceChange> changes;
    std::vector<std::string> conflicts;  ///< resources that somebody else changed since this draft touched them: "maps/web"
  };
  [[nodiscard]] Result<DraftView> view_draft(const Asker& asker, const std::string& id) const;
  /// As change(), but of the draft; the data plane is asked at its commit.
  [[nodiscard]] Result<Outcome> change_draft(const Asker& asker, const std::string& id, const Edit& edit,
                                             const ChangeOptions& options = {});
  /// What it conflicts with it overwrites from now on.
  [[nodiscard]] Result<void> rebase_draft(const Asker& asker, const std::string& id, const ChangeOptions& options = {});
  /// As one revision; then it is gone. Errors: kConflict with those that somebody else changed.
  [[nodiscard]] Result<Outcome> commit_draft(const Author& author, const Asker& asker, const std::string& id,
                                             const ChangeOptions& options = {});

  /// A revision made with confirm_s stays. Errors: kConflict if it does not wait for that.
  [[nodiscard]] Result<void> confirm(uint64_t revision);
  /// Undoes what nobody confirmed in time. Returns when to call again; nothing: when there is something new to wait for.
  std::optional<std::chrono::steady_clock::time_point> undo_unconfirmed();
  /// Called, on the thread of the change, whenever undo_unconfirmed() has something new to wait for.
  void on_unconfirmed(std::function<void()> wake);

  /// Gives the data plane the committed revision: at start, and whenever it is back. If the data plane refuses it, the last one that
  /// it takes.
  [[nodiscard]] Result<void> resume();

  [[nodiscard]] Result<std::vector<Revision>> revisions(unsigned limit, uint64_t below = INT64_MAX) const;
  [[nodiscard]] Result<Revision> revision(uint64_t number) const;
  [[nodiscard]] Result<void> set_label(uint64_t revision, const std::string& label);
  /// A revision's configuration, references by name.
  [[nodiscard]] Result<v1::Config> config_at(uint64_t revision) const;

  /// Why the appliance is degraded, in sentences; empty: it is not.
  [[nodiscard]] std::vector<std::string> faults() const;

 private:
  struct Waiting {
    uint64_t revision;
    std::chrono::steady_clock::time_point deadline;
  };

  Result<void> may_begin(const ChangeOptions& options, const std::string& version) const;
  Result<Outcome> install(const Author& author, v1::Config next, const ChangeOptions& options, const std::vector<uint64_t>& undone = {},
                          Purpose purpose = Purpose::kChange, const ChangedRules& changed = {});
  Result<Outcome> revert_locked(const Author& author, uint64_t revision, const ChangeOptions& options, Purpose purpose);
  std::string version_of(const Draft& draft) const;
  Result<Draft> draft_of(const Asker& asker, const std::string& id) const;
  Result<v1::Config> inverse_of(uint64_t revision) const;
  Result<void> fall_back(const std::string& why, const std::function<Result<void>(uint64_t, const v1::Config&)>& accept);
  /// One configuration in all its forms.
  struct Forms {
    Rows rows;                                                                       ///< references by id
    std::string digest;                                                              ///< of rows; empty: nobody asked for it
    std::shared_ptr<const v1::Config> named = std::make_shared<const v1::Config>();  ///< references by name
    MapBytes named_maps;                                                             ///< of `named`
    /// A copy of `named` for the next change. Null: it was taken.
    std::unique_ptr<v1::Config> spare;
  };
  void show(uint64_t revision);
  Forms forms_of(v1::Config config, Rows rows);
  Forms changed_forms_of(v1::Config config, Rows rows, const ChangedRules& changed);
  std::unique_ptr<v1::Config> spare_of(const Forms& forms);
  void give_up(Forms forms);
  std::string bytes_of_changed(v1::Config& config, const ChangedRules& changed) const;
  v1::Config take_copy(const ChangeOptions& options);
  void wait_for_confirmation(uint64_t revision, std::chrono::nanoseconds left);

  Store& store_;
  DataPlane& data_plane_;
  std::function<void()> wake_;
  mutable std::mutex mutex_;                                                        ///< guards everything below and the store
  uint64_t revision_ = 0;  ///< in force
  uint64_t newest_ = 0;    ///< in the store; more than revision_: degraded
  Forms in_force_;
  mutable std::mutex shown_mutex_;  ///< guards what follows, which views are made of; taken after mutex_
  struct {
    uint64_t revision = 0;
    std::shared_ptr<const v1::Config> config = std::make_shared<const v1::Config>();
  } shown_;
  Forms gone_;     ///< what was in force before: the next change's copy is made of it
  Spares spares_;
  std::string fallen_back_;  ///< why, if so
  std::vector<Waiting> waiting_;
  std::string undo_trouble_;  ///< why an undoing that is due has not succeeded yet
};

}  // namespace sluice::config
