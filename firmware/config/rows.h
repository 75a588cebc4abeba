// A configuration as rows of the database: each resource's bytes, and where it stands among its kind.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sluice/v1/config.pb.h"

namespace sluice::config {

/// A resource as it is stored.
struct Row {
  std::string body;  ///< binary Protobuf
  int position = 0;
  bool operator==(const Row&) const = default;
};
/// The collection's name, or "system"; the resource's id.
using Key = std::pair<std::string, std::string>;
using Rows = std::map<Key, Row>;

/// What became of one resource.
struct Change {
  Key key;
  std::optional<Row> before;  ///< absent: it came into being
  std::optional<Row> after;   ///< absent: it ceased to be
  bool moved = false;         ///< of what stays: by hand; a revision's log doesn't know
};

/// Rows with changes made to them that were made to others.
struct Merged {
  Rows rows;
  std::vector<Change> conflicts;  ///< of resources that are neither as they were before nor as they are to be; made all the same
};
/// What the places in changes mean.
enum class Places {
  kAllTold,   ///< every place that differs, as revisions are logged: where resources came or went, the others' places only followed
  kMovesTold  ///< only of what is `moved`, as edits() tells it
};
[[nodiscard]] Merged merge(Rows present, const std::vector<Change>& changes, Places places);
/// What somebody did who made `after` of `before`. Resources that differ, and of those that stay the ones that were moved.
[[nodiscard]] std::vector<Change> edits(const Rows& before, const Rows& after);
/// The changes that undo these.
[[nodiscard]] std::vector<Change> inverse(std::vector<Change> changes);
/// Titles of the resources, with commas.
[[nodiscard]] std::string titles(const std::vector<Change>& changes);

[[nodiscard]] Rows rows_of(const v1::Config& config);
/// bytes: bytes_of() the configuration.
[[nodiscard]] Rows rows_of(const v1::Config& config, const std::string& bytes);
/// Errors: a row that cannot be read, or that was written by a newer version (it has fields that this one does not know).
[[nodiscard]] Result<v1::Config> config_of(const Rows& rows);
/// Gives each resource in `back` the place among its kind that its row there tells, or the last one; the others keep their order.
/// Afterwards all positions are counted anew.
void place_back(Rows& rows, const Rows& back);
/// BLAKE2b-256 over all rows: tells whether they are still as they were written.
[[nodiscard]] std::string digest(const Rows& rows);
/// "maps/web-to-ids" for a row's resource; its id in place of a name that cannot be read.
[[nodiscard]] std::string title(const Key& key, const std::string& body);

}  // namespace sluice::config
