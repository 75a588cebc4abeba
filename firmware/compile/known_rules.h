// What the rules of the configuration before were compiled to: whoever changes one of 16,384 does not wait until the others have been read
// again, nor compared with each other for shadows. A rule is known if its bytes are the same, what it may refer to, and the sides of its map's
// TAP pairs; and if nothing of it belongs to a database of expressions, which is each configuration's own.
#pragma once

#include <bitset>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "compile/matches.h"
#include "compile/shadows.h"
#include "engine/classify/classifier.h"
#include "sluice/v1/config.pb.h"

namespace sluice::compile {

/// Of one configuration.
class KnownRules {
 public:
  struct Rule {
    std::shared_ptr<const RuleMatch> match;  ///< null: the rule is not known
    Matches::Size size;                      ///< of the match
    uint32_t slot = 0;                       ///< that it had
    std::string_view id;                     ///< as long as this lives
    bool pass = false;
  };
  /// What of a rule was compiled.
  struct Made {
    uint32_t place = kNoRule;  ///< among the classifier's rules of its map; kNoRule: it is disabled
    uint32_t slot = 0;
    Matches::Size size;
    bool pass = false;
    bool lasting = false;  ///< the next configuration may have it as it is
  };
  using Side = std::bitset<128>;
  using Sets = std::map<std::string, SetValues>;

  KnownRules() = default;
  /// bytes: of the configuration. before: of the one that is known.
  KnownRules(std::string_view bytes, const KnownRules& before);

  /// The configuration. Rules whose bytes are as before, and which may be known therefore, are left empty. False: these are no configuration's
  /// bytes.
  [[nodiscard]] bool read(v1::Config& out) const;
  /// One that was left empty.
  [[nodiscard]] v1::Rule read_rule(int map, int rule) const;

  /// The address sets of before, if they are the same: rules that are known share them with those that are not. Null: they are not.
  [[nodiscard]] const Sets* sets_from(const KnownRules& before) const { return same_sets_ ? &before.kept_sets_ : nullptr; }

  /// A rule of this configuration, by its map's place in the list and its own. a, b: sides of the map's TAP pairs.
  [[nodiscard]] Rule from(const KnownRules& before, int map, int rule, const Side& a, const Side& b) const;
  /// Whether read() has left it empty.
  [[nodiscard]] bool was_left(int map, int rule) const;

  [[nodiscard]] const MapShadows& shadows() const { return shadows_; }
  [[nodiscard]] const std::shared_ptr<const CutPlan>& trees() const { return trees_; }

  // ---- As it is compiled ----
  /// classified: the map's place among the classifier's.
  void made(int map, uint32_t classified, const Side& a, const Side& b, std::vector<Made> rules);
  void keep(std::shared_ptr<const std::vector<ClassifierMap>> maps) { maps_ = std::move(maps); }
  void keep_sets(const Sets& sets) { kept_sets_ = sets; }
  void keep(MapShadows shadows) { shadows_ = std::move(shadows); }
  void keep(std::shared_ptr<const CutPlan> trees) { trees_ = std::move(trees); }

 private:
  using Parts = std::vector<std::string_view>;
  struct Map {
    std::string_view bytes, id;
    Parts rules;                     ///< bytes of each
    std::size_t was = 0;             ///< the place of the same map before
    std::size_t head = 0, tail = 0;  ///< rules at the beginning and at the end whose bytes are as they were there
    uint32_t classified = 0;
    Side a, b;
    std::vector<Made> made;
  };
  /// The place of a rule in the map before. Requires that its bytes are the same.
  [[nodiscard]] static std::size_t place_before(const Map& map, const Map& was, std::size_t rule);

  std::shared_ptr<const std::string> bytes_;
  Parts sets_, filters_;                 ///< what rules may refer to
  bool same_sets_ = false;               ///< as in the one before
  std::vector<std::vector<bool>> left_;  ///< of each map's rules: read() leaves it empty
  Sets kept_sets_;
  std::vector<Map> of_;                                         ///< by place in the list of maps
  std::unordered_map<std::string_view, std::size_t> place_of_;  ///< by id
  std::shared_ptr<const std::vector<ClassifierMap>> maps_;
  MapShadows shadows_;
  std::shared_ptr<const CutPlan> trees_;  ///< of the classifier
};

}  // namespace sluice::compile
