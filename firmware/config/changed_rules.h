// Which rules of a configuration have to be looked at: all but those that a map has, byte for byte, at the beginning or the end of its list
// as it is in force. Whoever changes one of 16,384 rules does not wait until the others have been checked again.
#pragma once

#include <google/protobuf/message.h>

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sluice/v1/config.pb.h"

namespace sluice::config {

/// The bytes of maps by their ids.
using MapBytes = std::unordered_map<std::string, std::string>;

/// Rules [begin, before_end) of a map have become rules [begin, end).
struct RuleWindow {
  int begin = 0, before_end = 0, end = 0;
};

class ChangedRules {
 public:
  /// All rules of all maps.
  ChangedRules() = default;
  /// Of `config`, references by name, against a configuration that is valid and complete, whose maps have the bytes `before`, references by
  /// name too. As long as this is used, maps stay where they are, in memory and in their list, and rules outside of the windows in their
  /// places; of those only the references may be rewritten.
  ChangedRules(const MapBytes& before, const v1::Config& config);

  /// Of the n elements of a repeated field those to look at: [first, second).
  [[nodiscard]] std::pair<int, int> range(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
                                          int n) const;
  /// Of the map at this place in the list; nothing: all its rules.
  [[nodiscard]] std::optional<RuleWindow> of_map(int place) const;
  /// bytes_of() the map at this place in the list. before: of the map that it was changed from, references as the map has them; of no
  /// account where of_map() has nothing. Only rules within the window are written out anew. The map is the same afterwards.
  [[nodiscard]] std::string bytes_of_map(v1::Map& map, int place, std::string_view before) const;

 private:
  std::vector<std::optional<RuleWindow>> by_place_;
  std::unordered_map<const google::protobuf::Message*, RuleWindow> by_map_;
};

/// Of all maps.
[[nodiscard]] MapBytes map_bytes(const v1::Config& config);

}  // namespace sluice::config
