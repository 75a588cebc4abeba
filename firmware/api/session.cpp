// Coming in.
#include "api/handlers.h"

namespace sluice::api {
namespace {

Response log_in(Context& c, const Request& request) {
  v1::Login body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  const auto token = c.auth.login(body.secret());
  if (!token) return problem(token.error());
  v1::LoggedIn answer;
  answer.set_token(*token);
  answer.set_type("Bearer");
  return ok(answer);
}

}  // namespace

void add_session_routes(Router& router, const Shared& c) {
  router.add({"POST",
              "/api/v1/login",
              "a bearer token for the first-login secret",
              true,
              {v1::Login::descriptor()},
              {v1::LoggedIn::descriptor()},
              {},
              200,
              [c](const auto& r, const auto&) { return log_in(*c, r); }});
}

}  // namespace sluice::api
