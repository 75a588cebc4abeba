// Requests and responses as handlers see them: no library's types.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "api/caller.h"
#include "base/result.h"

namespace sluice::api {

struct Request {
  std::string method;                                                                      ///< "GET"
  std::string path;                                                                        ///< decoded, without query: "/api/v1/maps/web"
  std::map<std::string, std::string> query;                                                ///< decoded
  std::string authorization, if_match, content_type, cookie, origin, host, last_event_id;  ///< the headers' values
  std::string peer;                                                                        ///< address of whoever sends it
  bool local = false;  ///< by the Unix socket, from a process of root's or of our own user
  Caller caller;       ///< filled in by the router
  std::string body;
};

/// A body that goes on and on: server-sent events.
class Stream {
 public:
  virtual ~Stream() = default;
  /// What there is to send by now; empty: nothing yet; nothing at all: it has ended. On the connections' thread: must not wait.
  [[nodiscard]] virtual std::optional<std::string> next() = 0;
};

struct Response {
  unsigned status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::map<std::string, std::string> headers;
  std::shared_ptr<Stream> stream = {};  ///< instead of the body
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
