// A configuration from somewhere else, onto the devices that are here: by a mapping that somebody gives, never by a guess.
#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <set>

#include "api/handlers.h"
#include "config/proto_json.h"

namespace sluice::api {
namespace {

namespace json = boost::json;

/// Devices that a port can be bound to, in the order of their places on PCI, in the lab of their MAC addresses.
std::vector<v1::DeviceStatus> usable(const v1::Status& status) {
  std::vector<v1::DeviceStatus> out;
  for (const auto& device : status.devices())
    if (!device.management()) out.push_back(device);
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return std::pair(a.pci(), a.mac()) < std::pair(b.pci(), b.mac()); });
  return out;
}

const v1::DeviceStatus* find(const std::vector<v1::DeviceStatus>& devices, const std::string& name) {
  const auto found = std::find_if(devices.begin(), devices.end(), [&](const auto& d) { return d.mac() == name || d.pci() == name; });
  return name.empty() || found == devices.end() ? nullptr : &*found;
}

Error bad(const std::string& port, const std::string& why) { return {ErrorCode::kInvalid, "port_map." + port, why}; }

/// Gives each port of the configuration its device here. missing: ports whose device is not here and that nothing was said about.
Result<void> bind(v1::Restore& body, const std::vector<v1::DeviceStatus>& devices, std::vector<std::string>& missing) {
  std::set<std::string> names;
  for (const auto& port : body.config().ports()) names.insert(port.name());
  for (const auto& [port, device] : body.port_map()) {
    if (!names.contains(port)) return bad(port, "is no port of the configuration");
    if (!device.empty() && !find(devices, device))
      return bad(port, "there is no device " + device + " here that a port can have; GET /api/v1/devices lists them");
  }
  std::map<const v1::DeviceStatus*, std::string> taken;
  for (auto& port : *body.mutable_config()->mutable_ports()) {
    const auto given = body.port_map().find(port.name());
    if (given != body.port_map().end()) port.set_device(given->second);
    if (port.device().empty()) continue;
    const auto* device = find(devices, port.device());
    if (!device) missing.push_back(port.name());
    else if (const auto [at, fresh] = taken.emplace(device, port.name()); !fresh)
      return bad(port.name(), device->mac() + " is the device of " + at->second + " as well");
  }
  return {};
}

/// For each port without a device here the next one that nobody has; none left: "", which leaves the port unbound.
json::object proposal(const v1::Config& config, const std::vector<v1::DeviceStatus>& devices, const std::vector<std::string>& missing) {
  std::set<const v1::DeviceStatus*> taken;
  for (const auto& port : config.ports()) taken.insert(find(devices, port.device()));
  json::object out;
  auto next = devices.begin();
  for (const auto& port : missing) {
    while (next != devices.end() && taken.contains(&*next)) ++next;
    out[port] = next == devices.end() ? "" : !next->mac().empty() ? next->mac() : next->pci();
    if (next != devices.end()) ++next;
  }
  return out;
}

/// Ids are of the appliance that made them: here, what is not known goes by its name.
void forget_foreign_ids(v1::Config& config, const v1::Config& present) {
  for (const auto* collection : config::collections()) {
    std::set<std::string> known;
    for (int i = 0; i < config::count(present, collection); ++i) known.insert(config::id_of(config::resource(present, collection, i)));
    for (int i = 0; i < config::count(config, collection); ++i) {
      auto& m = config::mutable_resource(config, collection, i);
      if (!known.contains(config::id_of(m))) m.GetReflection()->ClearField(&m, m.GetDescriptor()->FindFieldByName("id"));
    }
  }
}

Response restore(Context& c, const Request& request) {
  v1::Restore body;
  if (auto r = config::from_json(request.body, body); !r) return problem(r.error());
  if (!body.has_config()) return problem({ErrorCode::kInvalid, "config", "is required: what GET /api/v1/config gave"});
  const auto status = c.telemetry.status();
  if (!status) return problem(status.error());
  const auto devices = usable(*status);
  std::vector<std::string> missing;
  if (auto r = bind(body, devices, missing); !r) return problem(r.error());
  if (!missing.empty()) {
    std::string names;
    for (const auto& port : missing) names += (names.empty() ? "" : ", ") + port;
    Response response = problem({ErrorCode::kConflict, "port_map",
                                 "says nothing of " + names +
                                     ", whose devices are not here; nothing was changed. Look at the proposal, and send it as "
                                     "port_map if it is right (\"\" leaves a port unbound)"});
    auto told = json::parse(response.body).as_object();
    told["proposal"] = proposal(body.config(), devices, missing);
    response.body = json::serialize(told);
    return response;
  }
  const auto edit = [&](v1::Config& next) -> Result<void> {
    v1::Config wanted = body.config();
    forget_foreign_ids(wanted, next);
    next = std::move(wanted);
    return {};
  };
  const auto options = options_for_all(request);
  auto outcome = c.configuration.change(author_of(request), edit, options);
  if (!outcome && !outcome.error().field_path.empty())
    outcome = Error{outcome.error().code, "config." + outcome.error().field_path, outcome.error().message};
  return outcome ? report(c, *outcome, options.dry_run) : problem(outcome.error());
}

}  // namespace

void add_restore_routes(Router& router, const Shared& c) {
  router.add({"POST",
              "/api/v1/config:restore",
              "replaces the configuration by one of another appliance, onto the devices that are here",
              Access::kOperator,
              {v1::Restore::descriptor()},
              {v1::ChangeReport::descriptor()},
              commit_parameters(),
              200,
              [c](const auto& r, const auto&) { return restore(*c, r); }});
}

}  // namespace sluice::api
