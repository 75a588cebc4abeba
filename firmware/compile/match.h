// A rule's match: text of the model to numbers of the classifier.
#pragma once

#include <bitset>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/classify/classifier.h"
#include "sluice/v1/config.pb.h"

namespace sluice::compile {

/// The addresses of a set, and all others: shared by the rules that name it.
struct SetValues {
  std::shared_ptr<const Values> in, out;
};

/// What a match may refer to, by id.
struct MatchContext {
  std::map<std::string, SetValues> address_sets;
  std::shared_ptr<PayloadScanner> scanner = std::make_shared<PayloadScanner>();  ///< gets all expressions
  /// Ports of the map's TAP pairs that are their side A, and their side B.
  std::bitset<128> a, b;
};

/// Tells where something stands: of 16,384 rules nobody writes down all the places where something could have been wrong.
using Place = std::function<std::string()>;

/// `place` is the match's, for errors.
[[nodiscard]] Result<RuleMatch> compile_match(const v1::Match& match, const Place& place, const MatchContext& context);

/// Any of a filter's matches, or none of them. `path` is the filter's place.
[[nodiscard]] Result<RuleMatch> compile_filter(const v1::Filter& filter, const std::string& path, const MatchContext& context);

/// The addresses of a set.
[[nodiscard]] Result<SetValues> compile_address_set(const v1::AddressSet& set, const std::string& path);

/// A map's VLAN sources into the classifier's form.
[[nodiscard]] Result<void> compile_vlans(const v1::Sources& sources, const std::string& path, ClassifierMap& out);

}  // namespace sluice::compile
