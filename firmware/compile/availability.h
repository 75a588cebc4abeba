// What the model can say and this version's engine cannot do: refused by name, never ignored.
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "sluice/v1/config.pb.h"

namespace sluice::compile {

/// A field ("maps.rules.match.regex"), or one value of an enum field ("ports.role:HYBRID"). A field that holds its default is as
/// good as absent.
struct Unavailable {
  std::string_view field;
  std::string_view what;  ///< for people: "regular expressions over the payload"
};

[[nodiscard]] std::span<const Unavailable> unavailable();

/// The first use of an unavailable field, with its path; nothing if there is none.
[[nodiscard]] Result<void> check_available(const v1::Config& config);

}  // namespace sluice::compile
