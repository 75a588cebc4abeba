// The readable page at /.
#pragma once

#include <string>

#include "api/router.h"

namespace sluice::api {

/// HTML of the route table and of the model's fields and limits. No scripts, no other host.
[[nodiscard]] std::string render_page(const Router& router);

}  // namespace sluice::api
