// Rules of a map that no packet gets to: an earlier rule matches all that they match, or they ask for what no packet can be.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "engine/classify/classifier.h"

namespace sluice::compile {

struct Unreachable {
  std::size_t rule;               ///< position in the map's rules
  std::optional<std::size_t> by;  ///< the rule that matches every packet that it matches; none: it matches none
};

/// How much may be compared: of 16,384 ordinary rules a tenth.
inline constexpr std::size_t kMostCompared = std::size_t{1} << 22;

/// What is found by comparing rules two by two: where several rules together hide another, none is named. Rules with a remainder hide
/// nothing. compared: what was compared before in this configuration; beyond kMostCompared the search ends, and `ended` is set.
struct Shadows {
  std::vector<Unreachable> rules;
  bool ended = false;
};
[[nodiscard]] Shadows find_shadows(const std::vector<ClassifierRule>& rules, std::size_t& compared);

/// Of one map: the numbers that people know the classifier's rules by, who count disabled ones too.
struct CountedRules {
  std::string map;  ///< its name
  std::vector<int> numbers;
};
/// What is found in all maps, in sentences.
[[nodiscard]] std::vector<std::string> shadow_warnings(const std::vector<ClassifierMap>& maps, const std::vector<CountedRules>& counted);

}  // namespace sluice::compile
