// HTTP to the management daemon.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "sluicectl/login.h"

namespace sluice {

struct Answer {
  long status = 0;
  std::string body;
  std::map<std::string, std::string> headers;  ///< names in small letters
};

/// One thread. Errors of the network are errors; what the API refuses is an answer.
class Client {
 public:
  explicit Client(Login login) : login_(std::move(login)) {}

  /// path: from "/api/v1" on, with its query. body: JSON, or empty.
  [[nodiscard]] Result<Answer> ask(const std::string& method, const std::string& path, const std::string& body = "") const;
  /// Server-sent events, from now on: name and data of each, until it returns false or the server ends. An answer that is no stream is
  /// returned.
  using OnEvent = std::function<bool(const std::string& name, const std::string& data)>;
  [[nodiscard]] Result<Answer> listen(const std::string& path, const OnEvent& on_event) const;

 private:
  Login login_;
};

/// As part of a path or query: what is not unreserved (RFC 3986 section 2.3) becomes %XX.
[[nodiscard]] std::string escaped(const std::string& text);

}  // namespace sluice
