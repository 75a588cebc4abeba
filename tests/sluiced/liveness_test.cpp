#include "sluiced/liveness.h"

#include <doctest/doctest.h>

#include <set>

using namespace sluice;

namespace {

constexpr uint64_t kMs = 1'000'000;

/// A group of tools t0, t1 ... that are heeded, of the same weight, and the time that passes.
struct Room {
  compile::Plan plan;
  Snapshot snapshot;
  Liveness liveness;
  ToolWords words;
  std::set<PortSlot> without_link;
  uint64_t now = 1'000'000 * kMs;

  explicit Room(unsigned members, unsigned standing_by = 0) {
    compile::GroupPlan group{.id = "g", .name = "g", .by_report = true};
    Group compiled;
    for (unsigned m = 0; m < members + standing_by; ++m) {
      const auto slot = static_cast<PortSlot>(m);
      plan.ports.push_back({.id = "id" + std::to_string(m), .name = "t" + std::to_string(m), .slot = slot});
      group.members.push_back(slot);
      group.drained.push_back(false);
      compiled.members.push_back(slot);
      if (m < members) compiled.weights.push_back(1);
    }
    if (standing_by) compiled.failover = Failover::kStandby;
    compiled.home = homes(compiled.weights);
    compiled.table = std::make_unique<BucketTable>(compiled.home);
    plan.groups.push_back(std::move(group));
    snapshot.groups.push_back(std::move(compiled));
  }
  void say(unsigned member, v1::ToolState::Value state, uint32_t milliseconds = 1000, bool remembered = false) {
    v1::ReportHealth report;
    report.set_port("id" + std::to_string(member));
    report.set_state(state);
    report.set_milliseconds(milliseconds);
    report.set_remembered(remembered);
    words.hear(report, now);
  }
  /// Who is sent to, a letter each: a digit, or - for one who is not. The same however often it is asked.
  std::string sent_to() {
    const auto follow = [&] {
      liveness.follow(snapshot, plan, [&](PortSlot port, bool) { return std::string(without_link.contains(port) ? "no link" : ""); }, words, now);
      std::string out(plan.ports.size(), '-');
      for (const uint8_t member : snapshot.groups[0].table->in_force())
        if (member < out.size()) out[member] = static_cast<char>('0' + member);
      return out;
    };
    const std::string first = follow();
    for (unsigned again = 0; again < 3; ++again) CHECK(follow() == first);
    return first;
  }
  std::string reason_of(int member) {
    v1::Status status;
    liveness.report(snapshot, plan, status);
    return status.tool_groups(0).members(member).reason();
  }
};

constexpr auto kUp = v1::ToolState::UP, kDown = v1::ToolState::DOWN;

}  // namespace

TEST_CASE("liveness: a tool that never reported is sent to, one that reported and falls silent is not, and is again once it reports") {
  Room room(3);
  CHECK(room.sent_to() == "012");
  room.say(1, kUp);
  room.now += 999 * kMs;
  CHECK(room.sent_to() == "012");
  room.now += 1 * kMs;
  CHECK(room.sent_to() == "0-2");
  CHECK(room.reason_of(1) == "its tool has not reported within 1000 ms");
  room.now += 1000 * kMs;
  CHECK(room.sent_to() == "0-2");
  room.say(1, kUp);
  CHECK(room.sent_to() == "012");
  room.now += 500 * kMs;
  room.say(1, v1::ToolState::UNSPECIFIED);  // it reports no more
  room.now += 5000 * kMs;
  CHECK(room.sent_to() == "012");
}

TEST_CASE("liveness: a tool that says that it is down is out until it says otherwise, even if all are") {
  Room room(2);
  room.say(0, kDown);
  CHECK(room.sent_to() == "-1");
  room.now += 3'600'000 * kMs;
  CHECK(room.sent_to() == "-1");
  CHECK(room.reason_of(0) == "its tool reports that it is down");
  room.say(1, kUp);
  room.now += 1001 * kMs;
  CHECK(room.sent_to() == "-1");  // silence is better than that
  room.say(1, kDown);
  CHECK(room.sent_to() == "--");
  room.say(0, kUp);
  CHECK(room.sent_to() == "0-");
}

TEST_CASE("liveness: where all that could be sent to are silent, silence says nothing: they keep their flows, and one that reports again gets them") {
  Room room(3);
  for (unsigned m = 0; m < 3; ++m) room.say(m, kUp);
  room.now += 1001 * kMs;
  CHECK(room.sent_to() == "012");
  room.say(2, kUp);
  CHECK(room.sent_to() == "--2");
  room.without_link.insert(2);
  CHECK(room.sent_to() == "01-");
  // A port that stands by and is well is better than a silent one.
  Room guarded(1, 1);
  guarded.say(0, kUp);
  guarded.now += 1001 * kMs;
  CHECK(guarded.sent_to() == "-1");
  guarded.say(1, kUp);
  guarded.now += 1001 * kMs;
  CHECK(guarded.sent_to() == "0-");
}

TEST_CASE("liveness: a drained member is no reason to leave others out, and a group that is not told to heeds no report") {
  Room room(2);
  room.plan.groups[0].drained[1] = true;
  room.say(0, kUp);
  room.now += 1001 * kMs;
  CHECK(room.sent_to() == "0-");
  Room careless(2);
  careless.plan.groups[0].by_report = false;
  careless.say(0, kDown);
  CHECK(careless.sent_to() == "01");
}

TEST_CASE("tool words: time in which nobody could be heard does not count, and what was remembered is no word of now") {
  Room room(2);
  room.say(0, kUp);
  room.now += 900 * kMs;
  room.words.nobody_listened(room.now, room.now + 5000 * kMs, false);  // busy: what was left is left
  room.now += 5099 * kMs;
  CHECK(room.sent_to() == "01");
  room.now += 1 * kMs;
  CHECK(room.sent_to() == "-1");
  room.words.nobody_listened(room.now, room.now + 5000 * kMs, true);  // it was silent before
  room.now += 5000 * kMs;
  CHECK(room.sent_to() == "-1");

  room.say(0, kUp);
  room.now += 900 * kMs;
  for (unsigned tick = 0; tick < 100; ++tick) {  // the management daemon is away
    room.words.nobody_listened(room.now, room.now + 20 * kMs, true);
    room.now += 20 * kMs;
    CHECK(room.sent_to() == "01");
  }
  room.now += 999 * kMs;
  CHECK(room.sent_to() == "01");
  room.now += 1 * kMs;
  CHECK(room.sent_to() == "-1");
  room.say(0, kUp, 1000, true);  // it comes back, and tells what it remembers: we know better
  CHECK(room.sent_to() == "-1");

  Room restarted(2);  // and knows nothing of before
  restarted.say(0, kUp, 1000, true);
  CHECK(restarted.sent_to() == "01");
  restarted.now += 1000 * kMs;
  CHECK(restarted.sent_to() == "-1");
}

TEST_CASE("tool words: a port that is gone for a while has its word when it is back, and long after it has none") {
  Room room(2);
  room.say(0, kDown);
  const auto gone = [](const std::string&) { return false; };
  room.now += 600'000 * kMs;
  room.words.forget_gone(gone, room.now);
  CHECK(room.sent_to() == "-1");
  room.now += 3'600'000 * kMs;
  room.words.forget_gone([](const std::string&) { return true; }, room.now);
  CHECK(room.sent_to() == "-1");
  room.words.forget_gone(gone, room.now);
  CHECK(room.sent_to() == "01");
}
