#include "api/events.h"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "api/rates.h"
#include "tests/builders/store.h"

using namespace sluice;

namespace {

v1::Ledger ledger(uint64_t received, uint64_t sent, uint64_t dropped) {
  v1::Ledger out;
  auto* port = out.add_ports();
  port->set_id("p");
  port->set_name("in1");
  port->mutable_received()->mutable_dequeued()->set_packets(received);
  port->mutable_received()->mutable_dequeued()->set_bytes(received * 100);
  port->mutable_received()->set_lost_in_kernel(dropped);
  auto* map = out.add_maps();
  map->set_id("m");
  map->set_name("web");
  map->mutable_passed()->set_packets(sent);
  auto* destination = map->add_destinations();
  destination->set_target("tool1");
  destination->mutable_copies()->mutable_sent()->set_packets(sent);
  auto* drop = destination->mutable_copies()->add_dropped();
  drop->set_packets(dropped);
  drop->set_bytes(dropped * 100);
  return out;
}

struct Telemetry final : api::Telemetry {
  std::atomic<bool> down{false};
  Result<v1::Status> status() override {
    if (down) return Error{ErrorCode::kUnreachable, "", "away"};
    v1::Status out;
    out.set_health("RUNNING");
    return out;
  }
  Result<v1::Ledger> ledger() override { return ::ledger(1, 1, 0); }
  Result<v1::Explanation> explain(const v1::Explain&) override { return v1::Explanation(); }
  Result<void> start_measurement(const v1::Config&) override { return {}; }
  Result<v1::Measurement> end_measurement() override { return v1::Measurement(); }
  Result<void> start_survey() override { return {}; }
  Result<v1::DedupAdvice> end_survey() override { return v1::DedupAdvice(); }
  Result<void> take_out(const std::string&, const std::string&, uint32_t) override { return {}; }
  Result<void> report_health(const v1::ReportHealth&) override { return {}; }
  Result<void> identify(const std::string&, uint32_t) override { return {}; }
};

/// Asks a stream for parts, as the server does, until this holds of one (nothing: it has ended); the count is a guard against hanging.
void ask_until(api::Stream& stream, const std::function<bool(const std::optional<std::string>&)>& holds) {
  constexpr auto kPause = std::chrono::milliseconds(10);  // between two looks
  for (int i = 0; i < 3000; ++i) {
    if (holds(stream.next())) return;
    std::this_thread::sleep_for(kPause);
  }
  FAIL("what was waited for did not come");
}

/// What a stream has said until it says this.
std::string until(api::Stream& stream, const std::string& wanted) {
  std::string said;
  ask_until(stream, [&](const std::optional<std::string>& part) {
    REQUIRE_MESSAGE(part, "the stream ended after: ", said);
    said += *part;
    return said.find(wanted) != std::string::npos;
  });
  return said;
}

std::string last_id(const std::string& said) {
  const auto at = said.rfind("id: ") + 4;
  return said.substr(at, said.find('\n', at) - at);
}

}  // namespace

TEST_CASE("rates: per second of what lies between two accounts, whatever the interval; a port that is new has none yet") {
  const auto rates = api::rates_between(ledger(100, 40, 1), ledger(1100, 340, 3), 500'000'000);
  REQUIRE(rates.ports_size() == 1);
  CHECK(rates.ports(0).received().packets() == 2000);
  CHECK(rates.ports(0).received().bits() == 2000 * 800);
  CHECK(rates.ports(0).lost() == 4);
  CHECK(rates.maps(0).passed().packets() == 600);
  CHECK(rates.maps(0).dropped().bits() == 4 * 800);
  CHECK(rates.destinations(0).sent().packets() == 600);
  CHECK(api::rates_between(v1::Ledger(), ledger(1, 1, 1), 1).ports_size() == 0);
  CHECK(api::rates_between(ledger(5, 5, 5), ledger(1, 1, 1), 1'000'000'000).ports(0).received().packets() == 0);
}

TEST_CASE("events: a client hears what is now, then what changes, and behind its last event what it missed") {
  test::Appliance appliance;
  Telemetry telemetry;
  api::Events events(*appliance.configuration, telemetry);
  api::Request request;
  auto first = events.listen(request, [] { return true; });
  REQUIRE(first);
  const auto begin = until(**first, "event: rates");
  CHECK(begin.find("event: health") != std::string::npos);
  CHECK(begin.find("event: missed") == std::string::npos);

  telemetry.down = true;
  const auto id = last_id(begin + until(**first, "\"DOWN\""));
  first->reset();
  telemetry.down = false;
  const auto changed = appliance.configuration->change({"ann", "why"}, [](v1::Config& next) -> Result<void> {
    next.mutable_system()->set_name("renamed");
    return {};
  });
  REQUIRE(changed);
  request.last_event_id = id;
  auto again = events.listen(request, [] { return true; });
  REQUIRE(again);
  const auto missed = until(**again, "\"author\":\"ann\"");
  CHECK(missed.find("event: missed") == std::string::npos);
  CHECK(missed.find("\"DOWN\"") == std::string::npos);  // it had that

  for (const char* unknown : {"1-1", "nonsense"}) {
    request.last_event_id = unknown;
    auto lost = events.listen(request, [] { return true; });
    REQUIRE(lost);
    CHECK(until(**lost, "event: missed").find(unknown) != std::string::npos);
  }
}

TEST_CASE("events: who may no longer listen is told no more, and there are no more listeners than allowed") {
  test::Appliance appliance;
  Telemetry telemetry;
  api::Events events(*appliance.configuration, telemetry);
  std::atomic<bool> may{true};
  auto stream = events.listen({}, [&may] { return may.load(); });
  REQUIRE(stream);
  (void)until(**stream, "event: rates");
  may = false;
  ask_until(**stream, [](const std::optional<std::string>& part) {
    if (part) CHECK(part->empty());
    return !part;
  });
  stream->reset();
  std::vector<std::shared_ptr<api::Stream>> all;
  for (unsigned user = 0; user < api::Events::kMostListeners / api::Events::kMostOfOneUser; ++user) {
    api::Request request;
    request.caller.user = std::to_string(user);
    for (unsigned i = 0; i < api::Events::kMostOfOneUser; ++i) all.push_back(*events.listen(request, [] { return true; }));
    CHECK(events.listen(request, [] { return true; }).error().code == ErrorCode::kTooMany);
  }
  CHECK(events.listen({}, [] { return true; }).error().code == ErrorCode::kTooMany);
  all.clear();
  CHECK(events.listen({}, [] { return true; }));
}
