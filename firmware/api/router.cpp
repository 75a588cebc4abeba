#include "api/router.h"

#include <algorithm>
#include <charconv>
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
    auto given = next_segment(path);
    if (expected.starts_with("/{")) {
      const auto verb = expected.substr(expected.find('}') + 1);  // ":rename"
      if (!given.ends_with(verb)) return std::nullopt;
      given.remove_suffix(verb.size());
      if (given.size() < 2) return std::nullopt;
      arguments.emplace_back(given.substr(1));
    } else if (expected != given) {
      return std::nullopt;
    }
  }
  return pattern.empty() && path.empty() ? std::optional(arguments) : std::nullopt;
}

/// A mistyped parameter must not be taken for its absence: "?dryrun=true" would change what it should only try.
Result<void> check_parameters(const Route& route, const Request& request) {
  for (const auto& given : request.query) {
    const std::string &name = given.first, &value = given.second;
    const auto known =
        std::find_if(route.parameters.begin(), route.parameters.end(), [&name](const Parameter& p) { return p.name == name; });
    if (known == route.parameters.end()) {
      std::string all;
      for (const auto& p : route.parameters) all += (all.empty() ? "" : ", ") + p.name;
      return Error{ErrorCode::kInvalid, name, "is no parameter of this route; " + (all.empty() ? "it has none" : "it has " + all)};
    }
    uint64_t n = 0;
    const auto [stop, failed] = std::from_chars(value.data(), value.data() + value.size(), n);
    switch (known->type) {
      case Parameter::Type::kFlag:
        if (value != "true" && value != "false") return Error{ErrorCode::kInvalid, name, "must be true or false"};
        break;
      case Parameter::Type::kNumber:
        if (failed != std::errc{} || stop != value.data() + value.size() || n < known->min || n > known->max)
          return Error{ErrorCode::kInvalid, name,
                       "must be a number from " + std::to_string(known->min) + " to " + std::to_string(known->max)};
        break;
      case Parameter::Type::kText:
        if (known->max && value.size() > known->max)
          return Error{ErrorCode::kInvalid, name, "is longer than " + std::to_string(known->max) + " bytes"};
    }
  }
  return {};
}

Result<void> check_access(Access access, const Caller& caller) {
  if (!caller.port.empty() && access != Access::kTool)
    return Error{ErrorCode::kForbidden, "", "this is a tool's token: it reports the health of its port, and does nothing else"};
  if (access == Access::kSelf) return {};
  if (caller.restricted)
    return Error{ErrorCode::kForbidden, "", "the first password has to be changed before anything else: PUT /api/v1/me/password"};
  const auto needed = access == Access::kViewer                                ? v1::AccessRole::VIEWER
                      : access == Access::kTool || access == Access::kOperator ? v1::AccessRole::OPERATOR
                                                                               : v1::AccessRole::ADMIN;
  if (caller.role >= needed) return {};
  return Error{ErrorCode::kForbidden, "",
               "needs the role " + v1::AccessRole::Value_Name(needed) + "; " + caller.user + " is here as " +
                   (caller.role ? v1::AccessRole::Value_Name(caller.role) : "nothing")};
}

}  // namespace

Response Router::handle(Request request) const {
  std::string allowed;
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  for (const auto& route : routes_) {
    const auto arguments = match(route.pattern, request.path);
    if (!arguments) continue;
    if (route.method != method) {
      allowed += (allowed.empty() ? "" : ", ") + route.method;
      continue;
    }
    if (route.access != Access::kOpen) {
      const auto caller = identify_(request);
      if (!caller) return problem(caller.error());
      if (auto r = check_access(route.access, *caller); !r) return problem(r.error());
      request.caller = *caller;
    }
    if (auto r = check_parameters(route, request); !r) return problem(r.error());
    return route.handle(request, *arguments);
  }
  if (allowed.empty()) return problem(404, "Not found", "there is nothing at " + request.path + "; the page at / lists what there is");
  Response response = problem(405, "Method not allowed", request.method + " is not possible at " + request.path + "; possible: " + allowed);
  response.headers["Allow"] = allowed;
  return response;
}

}  // namespace sluice::api
