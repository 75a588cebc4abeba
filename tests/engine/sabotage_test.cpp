// The ledger is only worth something if a lost increment is noticed. Here each one is left out in turn.
#include <doctest/doctest.h>

#include "engine/pipeline.cpp"  // the template's body: this test makes an instance of its own
#include "tests/builders/broker.h"
#include "tests/builders/worker_pair.h"

using namespace sluice;
using sluice::test::Broker;
using sluice::test::Packet;

namespace {

/// Forgets one line of the ledger.
struct Forgetful : Unwatched {
  Line forgotten = Line::kCount;
  [[nodiscard]] bool counts(Line line) const { return line != forgotten; }
};

/// Traffic that touches every line: sent, merged, dropped copies, unmatched and dropped packets.
v1::Ledger ledger_without(Line line) {
  Forgetful observer;
  observer.forgotten = line;
  Broker<Forgetful> broker(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"},
      {"name": "t1", "role": "TOOL"}, {"name": "t2", "role": "TOOL", "enabled": false}],
    "maps": [{"name": "a", "sources": {"ports": ["in1"]}, "rules": [{"match": {"ip": {"protocol": ["tcp"]}}, "action": "PASS"}],
              "destinations": [{"port": "t1"}, {"port": "t2"}]},
             {"name": "b", "sources": {"ports": ["in1"]}, "rules": [{"match": {"ip": {"protocol": ["tcp"]}}, "action": "PASS"}],
              "destinations": [{"port": "t1"}]}]})",
                           observer);
  broker.send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2));
  broker.send("in1", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2));
  // in2 is disabled by the next revision while packets are on their way in.
  broker.send("in2", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2));
  broker.compiled.snapshot->receiving.reset(broker.compiled.plan.ports[1].slot);
  broker.run();
  return broker.ledger();
}

/// Traffic of two workers that hand packets and copies over.
v1::Ledger ledger_of_two_without(Line line) {
  Forgetful observer;
  observer.forgotten = line;
  test::WorkerPair pair;
  Pipeline<Forgetful> one(*pair.floors[0], observer), two(*pair.floors[1], observer);
  for (unsigned i = 0; i < 100; ++i) pair.send(i, i);
  for (int loop = 0; loop < 50; ++loop) one.run_once(*pair.model.compiled.snapshot), two.run_once(*pair.model.compiled.snapshot);
  return pair.ledger();
}

}  // namespace

TEST_CASE("ledger: it balances when nothing is left out") {
  const auto ledger = ledger_without(Line::kCount);
  CHECK(ledger.unaccounted() == 0);
  CHECK(ledger.totals().dropped().packets() == 1);
  CHECK(ledger.totals().unmatched().packets() == 1);
  CHECK(ledger.totals().copies().merged().packets() == 1);
  CHECK(ledger_of_two_without(Line::kCount).unaccounted() == 0);
  CHECK(ledger_of_two_without(Line::kCount).quiescent());
}

TEST_CASE("ledger: unaccounted turns non-zero when any one increment is left out") {
  for (unsigned line = 0; line < static_cast<unsigned>(Line::kCount); ++line) {
    CAPTURE(line);
    CHECK(ledger_without(static_cast<Line>(line)).unaccounted() + ledger_of_two_without(static_cast<Line>(line)).unaccounted() != 0);
  }
}
