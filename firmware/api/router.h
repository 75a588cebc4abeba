// The route table: what the API consists of. The page at / and every 404 and 405 come from it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/http.h"

namespace sluice::api {

/// Values of the placeholders of a route's pattern, in order.
using Arguments = std::vector<std::string>;

struct Route {
  std::string method;
  std::string pattern;  ///< "/api/v1/maps/{name}"
  std::string summary;  ///< one line for the page
  bool open = false;    ///< needs no token
  std::function<Response(const Request&, const Arguments&)> handle;
};

class Router {
 public:
  /// `authorise` is asked for every route that is not open.
  explicit Router(std::function<Result<void>(const Request&)> authorise) : authorise_(std::move(authorise)) {}

  void add(Route route) { routes_.push_back(std::move(route)); }
  [[nodiscard]] Response handle(const Request& request) const;
  /// Whether the request comes from somebody with authority, whatever it asks for.
  [[nodiscard]] bool is_authorised(const Request& request) const { return static_cast<bool>(authorise_(request)); }
  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

 private:
  std::function<Result<void>(const Request&)> authorise_;
  std::vector<Route> routes_;
};

}  // namespace sluice::api
