// What the rules of the configuration before were compiled to: whoever changes one of 16,384 does not wait until the others have been read
// again. A rule's match is the same if its bytes are, what it may refer to, and the sides of its map's TAP pairs.
#pragma once

#include <bitset>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "compile/match.h"
#include "compile/shadows.h"
#include "engine/classify/classifier.h"
#include "sluice/v1/config.pb.h"

namespace sluice::compile {

/// Of one configuration.
class KnownRules {
 public:
  struct Rule {
    std::shared_ptr<const RuleMatch> match;  ///< null: it is not known
    uint32_t slot = 0;                       ///< that it had, if `match` is
  };
  /// What of a rule was compiled.
  struct Made {
    uint32_t place = kNoRule;  ///< among the classifier's rules of its map; kNoRule: it is disabled
    uint32_t slot = 0;
  };
  using Side = std::bitset<128>;
  using Sets = std::map<std::string, SetValues>;

  KnownRules() = default;
  /// bytes: of the configuration. Empty: nothing will be known of it. before: of the one that from() is asked for.
  KnownRules(const v1::Config& config, std::string_view bytes, const KnownRules& before);

  /// The address sets of before, if they are the same: rules that are known share them with those that are not. Null: they are not.
  [[nodiscard]] const Sets* sets_from(const KnownRules& before) const { return same_sets_ ? &before.kept_sets_ : nullptr; }

  /// Of each rule of a map of this configuration, by its place in the list. a, b: sides of the map's TAP pairs.
  [[nodiscard]] std::vector<Rule> from(const KnownRules& before, int map, const Side& a, const Side& b) const;

  [[nodiscard]] const MapShadows& shadows() const { return shadows_; }

  // ---- As it is compiled ----
  /// classified: the map's place among the classifier's.
  void made(int map, uint32_t classified, const Side& a, const Side& b, std::vector<Made> rules);
  void keep(std::shared_ptr<const std::vector<ClassifierMap>> maps) { maps_ = std::move(maps); }
  void keep_sets(const Sets& sets) { kept_sets_ = sets; }
  void keep(MapShadows shadows) { shadows_ = std::move(shadows); }

 private:
  using Parts = std::vector<std::string_view>;
  struct Map {
    std::string id;
    Parts rules;  ///< bytes of each
    uint32_t classified = 0;
    Side a, b;
    std::vector<Made> made;
  };
  [[nodiscard]] std::shared_ptr<const RuleMatch> match_of(const Map& map, const Made& made) const;

  std::shared_ptr<const std::string> bytes_;
  Parts sets_, filters_;  ///< what rules may refer to
  bool same_sets_ = false, same_filters_ = false;  ///< as in the one before
  Sets kept_sets_;
  std::vector<Map> of_;   ///< by place in the list of maps
  std::unordered_map<std::string, std::size_t> place_of_;  ///< by id
  std::shared_ptr<const std::vector<ClassifierMap>> maps_;
  MapShadows shadows_;
};

}  // namespace sluice::compile
