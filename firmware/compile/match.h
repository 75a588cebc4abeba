// A rule's match: text of the model to numbers of the classifier.
#pragma once

#include <string>

#include "base/result.h"
#include "engine/classify.h"
#include "sluice/v1/config.pb.h"

namespace sluice::compile {

/// `path` is the match's place, for errors.
[[nodiscard]] Result<RuleMatch> compile_match(const v1::Match& match, const std::string& path);

/// A map's VLAN sources into the classifier's form.
[[nodiscard]] Result<void> compile_vlans(const v1::Sources& sources, const std::string& path, ClassifierMap& out);

}  // namespace sluice::compile
