// What a map would pass, measured on live traffic before it is in force.
#include <mutex>
#include <thread>

#include "api/handlers.h"
#include "config/validate.h"

namespace sluice::api {
namespace {

config::Collection maps() { return config::find_collection("maps"); }

/// The configuration with the candidate as its only map, references by id.
Result<v1::Config> only_map(Context& c, const Request& request, const std::string& name, const v1::MeasureRequest& body) {
  const auto view = view_of(c, request);
  if (!view) return view.error();
  const int known = config::find(view->config, maps(), name);
  if (!body.has_map() && known < 0) return no_such(maps(), name);
  const v1::Map& candidate = body.has_map() ? body.map() : view->config.maps(known);
  if (candidate.kind() == v1::MapKind::COLLECTOR)
    return Error{ErrorCode::kInvalid, "map.kind", "a COLLECTOR passes what other maps leave; it can't be measured alone"};
  auto config = c.configuration.candidate([&](v1::Config& next) -> Result<void> {
    next = view->config;
    next.clear_maps();
    *next.add_maps() = candidate;
    auto& map = *next.mutable_maps(0);
    map.set_name(known >= 0 ? view->config.maps(known).name() : name);
    map.set_id(known >= 0 ? view->config.maps(known).id() : "");
    return {};
  });
  if (!config) return config;
  config->mutable_maps(0)->clear_destinations();  // it sends nothing
  return config;
}

Response measure(Context& c, std::mutex& one_at_a_time, const Request& request, const std::string& name) {
  v1::MeasureRequest body;
  if (!request.body.empty())
    if (auto r = config::from_json(request.body, body); !r) return problem(r.error());
  if (body.has_map()) body.mutable_map()->set_name(name);
  if (auto r = config::validate_message(body); !r) return problem(r.error());
  config::fill_defaults(body);
  const auto as_sent = [](Error error) {
    if (error.field_path.starts_with("maps[0]")) error.field_path = "map" + error.field_path.substr(std::string("maps[0]").size());
    return problem(error);
  };
  const auto config = only_map(c, request, name, body);
  if (!config) return as_sent(config.error());
  const std::unique_lock turn(one_at_a_time, std::try_to_lock);
  if (!turn) return problem({ErrorCode::kConflict, "", "another measurement is running; it ends within five seconds"});
  if (auto r = c.telemetry.start_measurement(*config); !r) return as_sent(r.error());
  std::this_thread::sleep_for(std::chrono::milliseconds(body.milliseconds()));
  const auto measured = c.telemetry.end_measurement();
  return measured ? ok(*measured) : problem(measured.error());
}

}  // namespace

void add_measure_routes(Router& router, const Shared& c) {
  const auto one_at_a_time = std::make_shared<std::mutex>();
  router.add({"POST",
              "/api/v1/maps/{name}/measure",
              "what a map would pass, counted on live traffic for a moment: one in force, in a draft, or in the body; nothing is sent",
              Access::kOperator,
              {v1::MeasureRequest::descriptor()},
              {v1::Measurement::descriptor()},
              view_parameters(),
              200,
              [c, one_at_a_time](const auto& r, const auto& a) { return measure(*c, *one_at_a_time, r, a[0]); }});
}

}  // namespace sluice::api
