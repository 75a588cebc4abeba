// The one way by which the configuration changes: edit a copy, validate, Prepare, commit, Publish (DESIGN section 5).
#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "base/result.h"
#include "config/data_plane.h"
#include "config/store.h"
#include "sluice/v1/config.pb.h"

namespace sluice::config {

struct Author {
  std::string name;
  std::string comment;
};

/// What became of a change.
struct Outcome {
  uint64_t revision = 0;  ///< in force now; unchanged if nothing was changed
  bool changed = false;
  std::string warning;  ///< committed, but the data plane went away before it could be published
};

/// Any thread; one change at a time.
class Configuration {
 public:
  Configuration(Store& store, DataPlane& data_plane) : store_(store), data_plane_(data_plane) {}

  /// Reads the last revision from the store.
  [[nodiscard]] Result<void> load();

  /// The configuration in force, references by name, and its revision.
  struct View {
    uint64_t revision;
    v1::Config config;
  };
  [[nodiscard]] View view() const;

  /// Applies `edit` to a copy that has names for references. On any error nothing has changed. dry_run: validation alone.
  using Edit = std::function<Result<void>(v1::Config&)>;
  [[nodiscard]] Result<Outcome> change(const Author& author, const Edit& edit, bool dry_run);

  /// Gives the data plane the committed revision: at start, and whenever it is back.
  [[nodiscard]] Result<void> resume();

  [[nodiscard]] Result<std::vector<Revision>> revisions(unsigned limit) const;

  /// For an Edit, which runs under the lock: the revision that it starts from.
  [[nodiscard]] uint64_t revision_in_change() const { return revision_; }

 private:
  Store& store_;
  DataPlane& data_plane_;
  mutable std::mutex mutex_;  ///< guards everything below and the store
  uint64_t revision_ = 0;
  v1::Config config_;  ///< references by id
};

}  // namespace sluice::config
