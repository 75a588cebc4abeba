// What one configuration has that another has not: as data, and in words.
#pragma once

#include <string>
#include <vector>

#include "config/changed_rules.h"
#include "sluice/v1/api.pb.h"
#include "sluice/v1/config.pb.h"

namespace sluice::config {

/// Of one resource no more field changes than these are listed; `more_fields` counts the others.
inline constexpr int kMostFieldChanges = 200;

/// References in both by name; resources and rules are the same if their ids are.
/// changed: of `after` against `before`; the other rules, as named, are equal.
[[nodiscard]] std::vector<v1::ResourceChange> diff(const v1::Config& before, const v1::Config& after, const ChangedRules& changed = {});

/// One line a change: "map web-to-ids: sources.ports: in2 added".
[[nodiscard]] std::vector<std::string> in_words(const std::vector<v1::ResourceChange>& changes);

/// Names of the ports that a change takes down for a moment: another role, device or MTU, switched on or off, polled otherwise.
[[nodiscard]] std::vector<std::string> interrupted_ports(const std::vector<v1::ResourceChange>& changes);

}  // namespace sluice::config
