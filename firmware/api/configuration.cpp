// The configuration as a whole, for automation that keeps it in a file; and what the appliance calls itself.
#include "api/handlers.h"
#include "config/proto_json.h"

namespace sluice::api {
namespace {

Response show_config(Context& c, const Request& request) {
  const auto view = view_of(c, request);
  if (!view) return problem(view.error());
  Response response = ok(view->config);
  response.headers["ETag"] = etag(*view);
  return response;
}

Response put_config(Context& c, const Request& request) {
  v1::Config body;
  if (auto r = config::from_json(request.body, body); !r) return problem(r.error());
  const auto edit = [&](v1::Config& next) -> Result<void> {
    next = body;
    return {};
  };
  const auto outcome = make_change(c, request, edit, options_for_all(request));
  return answer_change(c, request, outcome, "", [&] { return show_config(c, request); });
}

Response show_system(Context& c, const Request& request) {
  const auto view = view_of(c, request);
  if (!view) return problem(view.error());
  const auto& system = view->config.system();
  Response response = ok(system);
  response.headers["ETag"] = etag(system);
  return response;
}

Response change_system(Context& c, const Request& request, bool patch) {
  const auto edit = [&](v1::Config& next) -> Result<void> {
    if (auto r = check_if_match(request, etag(next.system())); !r) return r;
    v1::System body;
    auto r = patch ? merge_patch(next.system(), request.body, body) : config::from_json(request.body, body);
    if (r) *next.mutable_system() = body;
    return r;
  };
  return change(c, request, edit, "system", [&] { return show_system(c, request); });
}

}  // namespace

void add_configuration_routes(Router& router, const Shared& c) {
  const Body config{v1::Config::descriptor()}, system{v1::System::descriptor()};
  router.add({"GET",
              "/api/v1/config",
              "the whole configuration",
              Access::kViewer,
              {},
              config,
              view_parameters(),
              200,
              [c](const auto& r, const auto&) { return show_config(*c, r); }});
  router.add({"PUT", "/api/v1/config", "replaces the whole configuration", Access::kOperator, config, config, change_parameters(), 200,
              [c](const auto& r, const auto&) { return put_config(*c, r); }});
  router.add({"GET",
              "/api/v1/system",
              "what the appliance calls itself",
              Access::kViewer,
              {},
              system,
              view_parameters(),
              200,
              [c](const auto& r, const auto&) { return show_system(*c, r); }});
  router.add({"PUT", "/api/v1/system", "replaces that", Access::kOperator, system, system, change_parameters(), 200,
              [c](const auto& r, const auto&) { return change_system(*c, r, false); }});
  router.add({"PATCH", "/api/v1/system", "changes some of its fields (merge patch, RFC 7396)", Access::kOperator, system, system,
              change_parameters(), 200, [c](const auto& r, const auto&) { return change_system(*c, r, true); }});
}

}  // namespace sluice::api
