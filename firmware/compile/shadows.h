// Rules of a map that no packet gets to: an earlier rule matches all that they match, or they ask for what no packet can be.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
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
/// nothing.
struct Shadows {
  std::vector<Unreachable> rules;
  bool ended = false;        ///< not all were compared
  std::size_t compared = 0;  ///< to find them from nothing, more or less
};
/// What was found in the map before it was changed.
struct KnownShadows {
  const std::vector<ClassifierRule>& rules;
  const Shadows& found;
};
/// compared: what was compared before in this configuration; beyond kMostCompared the search ends. before: rules at the beginning and the
/// end that are the same are not compared with each other again; the result is the same.
[[nodiscard]] Shadows find_shadows(const std::vector<ClassifierRule>& rules, std::size_t& compared,
                                   const std::optional<KnownShadows>& before = std::nullopt);

/// Of one map: the numbers that people know the classifier's rules by, who count disabled ones too.
struct CountedRules {
  std::string map;  ///< its name
  std::vector<int> numbers;
};
/// Of a configuration.
struct MapShadows {
  std::shared_ptr<const std::vector<ClassifierMap>> maps;
  std::vector<Shadows> found;                ///< as maps
  std::map<std::string, std::size_t> place;  ///< among maps, by name
};
[[nodiscard]] MapShadows find_shadows(std::shared_ptr<const std::vector<ClassifierMap>> maps, const std::vector<CountedRules>& counted,
                                      const MapShadows& before);
/// In sentences.
[[nodiscard]] std::vector<std::string> shadow_warnings(const MapShadows& shadows, const std::vector<CountedRules>& counted);

}  // namespace sluice::compile
