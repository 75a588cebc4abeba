#include "api/routes.h"

#include "api/handlers.h"
#include "api/openapi.h"
#include "api/page.h"

namespace sluice::api {

void add_routes(Router& router, config::Configuration& configuration, Telemetry& telemetry, Auth& auth, Events& events,
                config::ToolReports& tool_reports) {
  const auto c = std::make_shared<Context>(Context{configuration, telemetry, auth, events, tool_reports});
  router.add({"GET", "/", "this page", Access::kOpen, {}, {}, {}, 200, [&router](const auto&, const auto&) {
                return Response{200, render_page(router), "text/html; charset=utf-8", {}};
              }});
  router.add({"GET",
              "/api/v1/openapi.json",
              "this API as an OpenAPI 3.1 document",
              Access::kOpen,
              {},
              {},
              {},
              200,
              [&router](const auto&, const auto&) { return ok(render_openapi(router)); }});
  add_people_routes(router, c);
  add_configuration_routes(router, c);
  add_restore_routes(router, c);
  add_draft_routes(router, c);
  add_revision_routes(router, c);
  add_measure_routes(router, c);
  add_advise_routes(router, c);
  add_drill_routes(router, c);
  add_health_routes(router, c);
  add_observation_routes(router, c);
  add_collection_routes(router, c);
  add_rule_routes(router, c);
  add_address_set_routes(router, c);
}

}  // namespace sluice::api
