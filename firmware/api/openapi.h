// The API's description (OpenAPI 3.1), of the route table and the model: nothing in it is written by hand.
#pragma once

#include <string>

#include "api/router.h"

namespace sluice::api {

/// The document, as JSON.
[[nodiscard]] std::string render_openapi(const Router& router);

/// Every status that a route can answer with. 500 is none of them: it is a fault in Sluice.
[[nodiscard]] std::vector<unsigned> statuses_of(const Route& route);

}  // namespace sluice::api
