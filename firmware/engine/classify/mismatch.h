// Why a rule does not match a packet: for people, who ask explain.
#pragma once

#include <optional>
#include <vector>

#include "engine/classify/match.h"

namespace sluice {

/// A criterion that does not hold.
struct Mismatch {
  enum class Kind : uint8_t {
    kField,    ///< `where` has another value, or the packet has no such field
    kBytes,    ///< byte patterns
    kRegex,    ///< the expression over the payload
    kFilter,   ///< a negated filter matches
    kNothing,  ///< the rule asks for what no packet can be
  };
  Kind kind = Kind::kField;
  Where where{};
  std::optional<Value> value{};  ///< the packet's
};

/// Of the alternative that comes nearest, what does not hold. Empty: the rule matches.
[[nodiscard]] std::vector<Mismatch> mismatches(const RuleMatch& match, const PacketView& packet);

}  // namespace sluice
