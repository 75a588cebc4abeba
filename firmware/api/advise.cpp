// Which packets come more than once, and which domains would drop them: found on live traffic, before anything is dropped.
#include <mutex>
#include <thread>

#include "api/handlers.h"
#include "config/validate.h"

namespace sluice::api {
namespace {

Response advise(Context& c, std::mutex& one_at_a_time, const Request& request) {
  v1::AdviseRequest body;
  if (!request.body.empty())
    if (auto r = config::from_json(request.body, body); !r) return problem(r.error());
  if (auto r = config::validate_message(body); !r) return problem(r.error());
  config::fill_defaults(body);
  const std::unique_lock turn(one_at_a_time, std::try_to_lock);
  if (!turn) return problem({ErrorCode::kConflict, "", "another survey is running; it ends within five seconds"});
  if (auto r = c.telemetry.start_survey(); !r) return problem(r.error());
  std::this_thread::sleep_for(std::chrono::milliseconds(body.milliseconds()));
  const auto advice = c.telemetry.end_survey();
  return advice ? ok(*advice) : problem(advice.error());
}

}  // namespace

void add_advise_routes(Router& router, const Shared& c) {
  const auto one_at_a_time = std::make_shared<std::mutex>();
  router.add({"POST",
              "/api/v1/dedup/advise",
              "which packets come more than once, on which ports, how much later and with what changed, and the domains that would drop them; looked at on live "
              "traffic for a moment; nothing is dropped",
              Access::kOperator,
              {v1::AdviseRequest::descriptor()},
              {v1::DedupAdvice::descriptor()},
              {},
              200,
              [c, one_at_a_time](const auto& r, const auto&) { return advise(*c, *one_at_a_time, r); }});
}

}  // namespace sluice::api
