// ProtoJSON between text and the model, strictly: Boost.JSON reads and writes the text, this file maps it onto messages, so that
// every error has the path of the field and the reason. Differences from the standard mapping: names as written in the proto
// (snake_case) only, 64-bit numbers are written as JSON numbers (read as either), unknown or doubled fields are errors.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::config {

/// Fills `out`, which must be empty. Errors: kInvalid with the path, "maps[0].rules[2].match.l4.port[1]".
[[nodiscard]] Result<void> from_json(std::string_view text, google::protobuf::Message& out);

/// Whether a text is JSON, not too deep, with no key twice in an object.
[[nodiscard]] Result<void> check_json(std::string_view text);

/// Every field without presence is printed, a field with presence where it is set.
[[nodiscard]] std::string to_json(const google::protobuf::Message& message);

/// One value of a field; index: of a repeated one.
[[nodiscard]] std::string to_json(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field, int index = 0);

/// The same on several lines, for people.
[[nodiscard]] std::string to_json_pretty(const google::protobuf::Message& message);

}  // namespace sluice::config
