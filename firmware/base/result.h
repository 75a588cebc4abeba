// Errors of the control plane: a value or an Error, never an exception across a folder's border.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace sluice {

/// What kind of refusal; api/ maps each to one HTTP status, in one place.
enum class ErrorCode {
  kInvalid,       ///< the input is wrong: field_path names where
  kNotAvailable,  ///< right, but this version's engine cannot do it
  kNotFound,
  kConflict,      ///< refers to or is referred to by something that forbids it
  kStale,         ///< somebody else changed it meanwhile
  kUnauthorised,  ///< nobody that we know
  kForbidden,     ///< somebody that we know, who may not
  kTooMany,       ///< later
  kTooLarge,
  kExhausted,    ///< a budget (frames, slots) is used up
  kUnreachable,  ///< the other daemon or a device does not answer
  kInternal,
};

/// Short stable name of a code ("NOT_AVAILABLE"), as it goes over the control socket and into problems.
[[nodiscard]] const char* to_string(ErrorCode code);
/// The code of such a name; kInternal for a name nobody knows.
[[nodiscard]] ErrorCode error_code_from(const std::string& name);

/// Why something was refused. field_path is in API form: "maps[2].rules[0].match.ip.src[1]"; empty if no field is to blame.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string field_path;
  std::string message;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT: conversions are the point
  Result(Error error) : state_(std::move(error)) {}  // NOLINT
  explicit operator bool() const { return std::holds_alternative<T>(state_); }
  T& operator*() {
    assert(*this);
    return std::get<T>(state_);
  }
  const T& operator*() const {
    assert(*this);
    return std::get<T>(state_);
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }
  const Error& error() const {
    assert(!*this);
    return std::get<Error>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT
  explicit operator bool() const { return !error_; }
  const Error& error() const {
    assert(error_);
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace sluice
