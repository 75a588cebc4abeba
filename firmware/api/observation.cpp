// What is observed, and what would happen to a packet.
#include <cctype>

#include "api/handlers.h"
#include "config/proto_json.h"

namespace sluice::api {
namespace {

template <class T>
Response show(Result<T> observed) {
  return observed ? ok(*observed) : problem(observed.error());
}

Response show_events(Context& c, const Request& request) {
  Request who = request;
  who.body.clear();
  const auto may_listen = [&auth = c.auth, who] {
    const auto caller = auth.identify(who);
    return caller && !caller->restricted && caller->role >= v1::AccessRole::VIEWER;
  };
  auto stream = c.events.listen(request, may_listen);
  if (!stream) return problem(stream.error());
  Response response{200, "", "text/event-stream", {}};
  response.stream = *stream;
  return response;
}

Response list_devices(Context& c) {
  const auto status = c.telemetry.status();
  if (!status) return problem(status.error());
  return ok_list(status->devices(), [](const v1::DeviceStatus& device) { return device; });
}

Response identify(Context& c, const Request& request, const std::string& device) {
  v1::IdentifyRequest body;
  if (!request.body.empty())
    if (auto r = read_body(request, body); !r) return problem(r.error());
  config::fill_defaults(body);
  return done(c.telemetry.identify(device, body.seconds()));
}

Response identify_port(Context& c, const Request& request, const std::string& name) {
  const auto view = c.configuration.view();
  const auto* ports = config::find_collection("ports");
  const int i = config::find(view.config, ports, name);
  if (i < 0) return problem(no_such(ports, name));
  const std::string device = view.config.ports(i).device();
  if (device.empty()) return problem({ErrorCode::kConflict, "", "port \"" + name + "\" is bound to no device"});
  return identify(c, request, device);
}

/// The bytes that hexadecimal digits say; spaces, colons and line ends between them do not count.
Result<std::string> from_hex(const std::string& text) {
  std::string bytes;
  int high = -1;
  for (const char digit : text) {
    if (digit == ' ' || digit == ':' || digit == '\n') continue;
    const auto value = std::string_view("0123456789abcdef").find(static_cast<char>(std::tolower(static_cast<unsigned char>(digit))));
    if (value == std::string_view::npos) return Error{ErrorCode::kInvalid, "packet", "must be hexadecimal digits"};
    if (high < 0) high = static_cast<int>(value);
    else bytes += static_cast<char>(high * 16 + static_cast<int>(value)), high = -1;
  }
  if (high >= 0) return Error{ErrorCode::kInvalid, "packet", "has an odd number of digits"};
  return bytes;
}

Response explain(Context& c, const Request& request) {
  v1::ExplainRequest body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  v1::Explain what;
  what.set_port(body.port());
  if (body.has_fields()) {
    *what.mutable_fields() = body.fields();
  } else if (body.packet().empty()) {
    return problem({ErrorCode::kInvalid, "packet", "is required, or fields: what is the packet?"});
  } else {
    const auto bytes = from_hex(body.packet());
    if (!bytes) return problem(bytes.error());
    what.set_packet(*bytes);
  }
  return show(c.telemetry.explain(what));
}

}  // namespace

Result<v1::Status> observed_status(config::Configuration& configuration, Telemetry& telemetry) {
  auto status = telemetry.status();
  if (!status) return status;
  status->set_health("RUNNING");
  for (const auto& fault : configuration.faults()) {
    status->set_health("DEGRADED");
    status->add_reasons(fault);
  }
  for (const auto& group : status->tool_groups())
    for (const auto& member : group.members()) {
      if (member.state() != "DOWN") continue;
      status->set_health("DEGRADED");
      status->add_reasons("tool group " + group.name() + ": " + member.port() + " is down: " + member.reason());
    }
  return status;
}

void add_observation_routes(Router& router, const Shared& c) {
  router.add({"GET",
              "/api/v1/status",
              "what is observed: ports, queues, workers",
              Access::kViewer,
              {},
              {v1::Status::descriptor()},
              {},
              200,
              [c](const auto&, const auto&) { return show(observed_status(c->configuration, c->telemetry)); }});
  router.add({"GET",
              "/api/v1/devices",
              "every network device, bound to a port or not: what \"device\" of a port can be",
              Access::kViewer,
              {},
              {v1::DeviceStatus::descriptor(), true},
              {},
              200,
              [c](const auto&, const auto&) { return list_devices(*c); }});
  for (const bool of_port : {true, false})
    router.add({"POST",
                of_port ? "/api/v1/ports/{name}:identify" : "/api/v1/devices/{device}:identify",
                of_port ? "makes the light of a port blink, ten seconds without a body" : "the same of a device, by its MAC or PCI address",
                Access::kOperator,
                {v1::IdentifyRequest::descriptor()},
                {},
                {},
                204,
                [c, of_port](const auto& r, const auto& a) { return of_port ? identify_port(*c, r, a[0]) : identify(*c, r, a[0]); }});
  router.add({"GET",
              "/api/v1/ledger",
              "the account of every packet and copy",
              Access::kViewer,
              {},
              {v1::Ledger::descriptor()},
              {},
              200,
              [c](const auto&, const auto&) { return show(c->telemetry.ledger()); }});
  router.add({"GET",
              "/api/v1/events",
              "live data as server-sent events: rates and drops every second, changes of ports, health and revisions as they come",
              Access::kViewer,
              {},
              {},
              {},
              200,
              [c](const auto& r, const auto&) { return show_events(*c, r); },
              {429},
              {{"rates", v1::Rates::descriptor()},
               {"ports", v1::PortStates::descriptor()},
               {"health", v1::Health::descriptor()},
               {"revision", v1::Revision::descriptor()},
               {"missed", v1::Missed::descriptor()}}});
  router.add({"POST",
              "/api/v1/explain",
              "what would happen to a packet, and why",
              Access::kViewer,
              {v1::ExplainRequest::descriptor()},
              {v1::Explanation::descriptor()},
              {},
              200,
              [c](const auto& r, const auto&) { return explain(*c, r); }});
}

}  // namespace sluice::api
