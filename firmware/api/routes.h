// The API's routes: configuration, revisions, status, ledger, explain.
#pragma once

#include "api/auth.h"
#include "api/events.h"
#include "api/router.h"
#include "api/telemetry.h"
#include "config/tool_reports.h"
#include "config/transaction.h"

namespace sluice::api {

/// Adds every route. The references must outlive the router.
void add_routes(Router& router, config::Configuration& configuration, Telemetry& telemetry, Auth& auth, Events& events,
                config::ToolReports& tool_reports);

}  // namespace sluice::api
