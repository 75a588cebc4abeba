#include "base/result.h"

#include <array>

namespace sluice {
namespace {
struct Name {
  ErrorCode code;
  const char* name;
};
constexpr std::array kNames{
    Name{ErrorCode::kInvalid, "INVALID"},
    Name{ErrorCode::kNotAvailable, "NOT_AVAILABLE"},
    Name{ErrorCode::kNotFound, "NOT_FOUND"},
    Name{ErrorCode::kConflict, "CONFLICT"},
    Name{ErrorCode::kStale, "STALE"},
    Name{ErrorCode::kUnauthorised, "UNAUTHORISED"},
    Name{ErrorCode::kForbidden, "FORBIDDEN"},
    Name{ErrorCode::kTooMany, "TOO_MANY"},
    Name{ErrorCode::kTooLarge, "TOO_LARGE"},
    Name{ErrorCode::kExhausted, "EXHAUSTED"},
    Name{ErrorCode::kUnreachable, "UNREACHABLE"},
    Name{ErrorCode::kInternal, "INTERNAL"},
};
}  // namespace

const char* to_string(ErrorCode code) {
  for (const auto& n : kNames)
    if (n.code == code) return n.name;
  return "INTERNAL";
}

ErrorCode error_code_from(const std::string& name) {
  for (const auto& n : kNames)
    if (name == n.name) return n.code;
  return ErrorCode::kInternal;
}

}  // namespace sluice
