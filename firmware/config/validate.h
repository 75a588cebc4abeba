// Is each resource well formed? Limits and formats of single fields, as the proto states them, and names. Whether the whole makes
// sense (roles, groups, budgets) is compile's question.
#pragma once

#include "base/result.h"
#include "config/changed_rules.h"
#include "sluice/v1/config.pb.h"
#include "sluice/v1/options.pb.h"

namespace sluice::config {

/// Whether any list is longer than the proto allows; asked before anything works on lists that may have no end.
[[nodiscard]] Result<void> validate_counts(const v1::Config& config, const ChangedRules& changed = {});

/// What a field's format asks for: "a number or a range such as 100-199, no more than 4095".
[[nodiscard]] std::string format_in_words(const v1::FieldLimits& limits);

/// A message that is no Config: limits and formats of its fields. Paths count from it.
[[nodiscard]] Result<void> validate_message(const google::protobuf::Message& message);

/// The first fault, with its path. What is not among `changed` was valid before.
[[nodiscard]] Result<void> validate(const v1::Config& config, const ChangedRules& changed = {});

}  // namespace sluice::config
