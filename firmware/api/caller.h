// Who asks.
#pragma once

#include <string>

#include "config/people.h"

namespace sluice::api {

struct Caller {
  std::string user;
  config::Role role = v1::AccessRole::UNSPECIFIED;
  std::string pass;         ///< id of the token or cookie; empty: came by the local socket
  bool restricted = false;  ///< may only change the first password
  std::string port = {};    ///< a tool: may only report the health of this port, by its id
};

}  // namespace sluice::api
