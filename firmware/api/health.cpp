// What tools say of themselves: each by a token of its own, which does nothing else.
#include <algorithm>

#include "api/handlers.h"
#include "config/validate.h"

namespace sluice::api {
namespace {

/// The port of this name or id, if the caller may speak for the tool behind it.
Result<const v1::Port*> port_of(const v1::Config& config, const Request& request, const std::string& name) {
  const int i = config::find(config, config::find_collection("ports"), name);
  const v1::Port* const port = i < 0 ? nullptr : &config.ports(i);
  if (!request.caller.port.empty() && (!port || port->id() != request.caller.port))
    return Error{ErrorCode::kForbidden, "", "this token is for another port than \"" + name + "\", or its port has another name now: its id stays the same"};
  if (!port) return no_such(config::find_collection("ports"), name);
  if (port->role() == v1::PortRole::NETWORK) return Error{ErrorCode::kConflict, "", "\"" + name + "\" is a network port: no tool is behind it"};
  return port;
}

Response put_health(Context& c, const Request& request, const std::string& name) {
  v1::HealthReport body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  config::fill_defaults(body);
  if (std::any_of(body.reason().begin(), body.reason().end(), [](char one) { return static_cast<unsigned char>(one) < 0x20 || one == 0x7F; }))
    return problem({ErrorCode::kInvalid, "reason", "has characters that are no text"});
  const auto view = c.configuration.view();
  const auto port = port_of(view.config, request, name);
  if (!port) return problem(port.error());
  v1::ReportHealth report;
  report.set_port((*port)->id());
  report.set_state(body.state());
  report.set_milliseconds(body.milliseconds());
  report.set_reason(body.reason());
  if (auto r = c.telemetry.report_health(report); !r) return problem(r.error());
  return done(c.tool_reports.remember(report.port(), {body.milliseconds(), body.state() == v1::ToolState::DOWN, body.reason()}));
}

Response remove_health(Context& c, const Request& request, const std::string& name) {
  const auto view = c.configuration.view();
  const auto port = port_of(view.config, request, name);
  if (!port) return problem(port.error());
  // The disk first: if the data plane cannot be told, it must not be reminded later.
  if (auto r = c.tool_reports.forget((*port)->id()); !r) return problem(r.error());
  v1::ReportHealth report;
  report.set_port((*port)->id());
  return done(c.telemetry.report_health(report));
}

}  // namespace

void add_health_routes(Router& router, const Shared& c) {
  const std::string path = "/api/v1/ports/{name}/health";
  router.add({"PUT",
              path,
              "what the tool behind this port says of itself, for so long",
              Access::kTool,
              {v1::HealthReport::descriptor()},
              {},
              {},
              204,
              [c](const auto& r, const auto& a) { return put_health(*c, r, a[0]); }});
  router.add({"DELETE",
              path,
              "the tool behind this port reports no more",
              Access::kTool,
              {},
              {},
              {},
              204,
              [c](const auto& r, const auto& a) { return remove_health(*c, r, a[0]); }});
}

}  // namespace sluice::api
