// Requests and responses as handlers see them: no library's types.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/result.h"

namespace sluice::api {

struct Request {
  std::string method;                        ///< "GET"
  std::string path;                          ///< decoded, without query: "/api/v1/maps/web"
  std::map<std::string, std::string> query;  ///< decoded
  std::string authorization;                 ///< the header's value
  std::string if_match;
  std::string content_type;
  std::string body;
};

struct Response {
  unsigned status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::map<std::string, std::string> headers;
};

/// An error as RFC 9457 problem details. The one place that maps codes to HTTP.
[[nodiscard]] Response problem(const Error& error);
/// A problem of HTTP itself: no such route, wrong method.
[[nodiscard]] Response problem(unsigned status, const std::string& title, const std::string& detail);

/// As a value in a query: what is not unreserved (RFC 3986 section 2.3) becomes %XX.
[[nodiscard]] std::string percent_encoded(std::string_view text);

/// Decodes %XX and splits path and query of a request target; nothing if the target is malformed (a bad escape, a control character).
struct Target {
  std::string path;
  std::map<std::string, std::string> query;
};
[[nodiscard]] std::optional<Target> parse_target(std::string_view target);

}  // namespace sluice::api
