#include "api/router.h"

#include <optional>
#include <string_view>

namespace sluice::api {
namespace {

/// The next "/segment" of a path, taken off its front.
std::string_view next_segment(std::string_view& path) {
  const auto end = path.find('/', 1);
  const auto segment = path.substr(0, end);
  path = end == std::string_view::npos ? std::string_view() : path.substr(end);
  return segment;
}

std::optional<Arguments> match(std::string_view pattern, std::string_view path) {
  Arguments arguments;
  while (!pattern.empty() && !path.empty()) {
    const auto expected = next_segment(pattern);
    const auto given = next_segment(path);
    if (expected.starts_with("/{")) {
      if (given.size() < 2) return std::nullopt;
      arguments.emplace_back(given.substr(1));
    } else if (expected != given) {
      return std::nullopt;
    }
  }
  return pattern.empty() && path.empty() ? std::optional(arguments) : std::nullopt;
}

}  // namespace

Response Router::handle(const Request& request) const {
  std::string allowed;
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  for (const auto& route : routes_) {
    const auto arguments = match(route.pattern, request.path);
    if (!arguments) continue;
    if (route.method != method) {
      allowed += (allowed.empty() ? "" : ", ") + route.method;
      continue;
    }
    if (!route.open)
      if (auto r = authorise_(request); !r) return problem(r.error());
    return route.handle(request, *arguments);
  }
  if (allowed.empty()) return problem(404, "Not found", "there is nothing at " + request.path + "; the page at / lists what there is");
  Response response = problem(405, "Method not allowed", request.method + " is not possible at " + request.path + "; possible: " + allowed);
  response.headers["Allow"] = allowed;
  return response;
}

}  // namespace sluice::api
