// What all rules and port filters of a configuration ask for: the sets and filters that they share, and the bounds that they keep together.
#pragma once

#include <bitset>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "compile/match.h"
#include "engine/snapshot.h"
#include "sluice/v1/config.pb.h"

namespace sluice::compile {

/// Of one compilation. Errors carry the paths of fields.
class Matches {
 public:
  explicit Matches(const v1::Config& config);

  /// The address sets; before all else. known: what they were read to before; null: they are not the same.
  [[nodiscard]] Result<void> read_sets(const std::map<std::string, SetValues>* known);
  [[nodiscard]] const std::map<std::string, SetValues>& sets() const { return context_.address_sets; }

  /// What follows is of another map, whose TAP pairs have these ports as their sides.
  void begin_map(const std::bitset<kMaxPorts>& a, const std::bitset<kMaxPorts>& b);
  /// Its own match, or a named filter's. `place` is the rule's. Errors: kInvalid.
  [[nodiscard]] Result<std::shared_ptr<const RuleMatch>> of_rule(const v1::Rule& rule, const Place& place);
  struct Size {
    uint32_t alternatives = 0;
    uint64_t ranges = 0;  ///< of values; not those of address sets, which are there once however many rules name them
  };
  [[nodiscard]] Size size_of(const RuleMatch& asked) const;
  /// One more. Keeps what all ask for within bounds while it is made: a few bytes of a configuration can ask for thousands of ranges. Errors:
  /// kExhausted with the first that is too much.
  [[nodiscard]] Result<void> within_bounds(const Size& size, const Place& place);
  /// A filter's, by its id, within bounds. `path` is the reference's place.
  [[nodiscard]] Result<RuleMatch> of_filter(const std::string& id, const std::string& path);

  /// All expressions that were asked for so far.
  [[nodiscard]] const std::shared_ptr<PayloadScanner>& scanner() const { return context_.scanner; }

 private:
  [[nodiscard]] Result<RuleMatch> named(const std::string& id, const std::string& path);

  const v1::Config& config_;
  std::map<std::string, int> filter_index_;  ///< by id
  MatchContext context_;
  std::map<std::string, RuleMatch> filters_of_map_;  ///< made once a map: the direction of a TAP is the map's
  std::set<const Values*> shared_;                   ///< of address sets
  std::size_t alternatives_ = 0, ranges_ = 0;
};

}  // namespace sluice::compile
