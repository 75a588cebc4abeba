// Where in a message something stands, "maps[0].rules[17].match.ip.src[0]", written down only if there is an error to tell: a walk over
// 16,384 rules makes none of a hundred thousand strings.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>

namespace sluice::config {

/// Lives on the stack of the walk, as those that it is inside of do.
struct FieldPath {
  const FieldPath* outer = nullptr;
  const google::protobuf::FieldDescriptor* field = nullptr;  ///< null: the message that the walk began with
  int index = -1;                                            ///< of a repeated field's element; -1: the field itself

  [[nodiscard]] std::string text() const {
    if (!field) return "";
    const std::string before = outer ? outer->text() : "";
    return before + (before.empty() ? "" : ".") + field->name() + (index < 0 ? "" : "[" + std::to_string(index) + "]");
  }
};

}  // namespace sluice::config
