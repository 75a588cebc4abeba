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
  /// Time passes, and these are sent to all the while.
  void pass(unsigned milliseconds, const std::string& to) {
    for (unsigned ms = 0; ms < milliseconds; ms += 10, now += 10 * kMs) CHECK(sent_to() == to);
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

TEST_CASE("liveness: where the way is cut on which tools report, none hangs: no flow moves when it is cut, meanwhile, and when it is mended") {
  Room room(4);
  // Each reports every 250 ms, the one after the other.
  const auto report = [&](unsigned first, unsigned rounds) {
    for (unsigned n = 0; n < rounds * 4; ++n) {
      if (n >= first) room.say(n % 4, kUp);
      room.now += 62 * kMs;
      CHECK(room.sent_to() == "0123");
    }
  };
  report(0, 10);
  room.pass(5000, "0123");
  // Their connections come back one after the other, within a quarter of their time; one has hung meanwhile.
  for (const unsigned tool : {2U, 0U, 3U}) {
    room.say(tool, kUp);
    room.pass(80, "0123");
  }
  room.now += 9 * kMs;
  CHECK(room.sent_to() == "0123");
  room.now += 1 * kMs;
  CHECK(room.sent_to() == "0-23");
  room.say(1, kUp);
  CHECK(room.sent_to() == "0123");
}

TEST_CASE("liveness: a cut that is a little shorter than a word moves no flow, whoever is heard first after it") {
  for (unsigned cut = 300; cut < 2000; cut += 50) {
    CAPTURE(cut);
    Room room(3);
    for (unsigned n = 0; n < 12; ++n, room.now += 83 * kMs) room.say(n % 3, kUp);
    room.pass(cut, "012");
    for (const unsigned tool : {2U, 1U, 0U}) {
      room.say(tool, kUp);
      room.pass(80, "012");
    }
  }
}

TEST_CASE("liveness: one that fell silent long ago is waited for by nobody, and one that reports too rarely hides no other") {
  Room room(3);
  room.say(0, kUp);
  for (unsigned ms = 0; ms < 3000; ms += 250, room.now += 250 * kMs) room.say(1, kUp);
  CHECK(room.sent_to() == "-12");
  room.now += 1000 * kMs;
  CHECK(room.sent_to() == "--2");
  Room slow(2);
  slow.say(0, kUp);
  for (unsigned ms = 0; ms < 5000; ms += 1100, slow.now += 1100 * kMs) slow.say(1, kUp);
  slow.say(1, kUp);
  CHECK(slow.sent_to() == "-1");
}

TEST_CASE("liveness: a tool that hangs while others report is out when its word is over, and gets nothing while any member is well") {
  Room room(3);
  for (unsigned ms = 0; ms < 3000; ms += 250) {
    for (const unsigned tool : {0U, 1U, 2U})
      if (tool != 1 || ms < 1000) room.say(tool, kUp);
    for (unsigned step = 0; step < 250; step += 50) {
      CHECK(room.sent_to() == (ms + step < 1750 ? "012" : "0-2"));  // it said so at 750 ms
      room.now += 50 * kMs;
    }
  }
  room.without_link = {0, 2};
  CHECK(room.sent_to() == "-1-");  // better than none
  // A port that stands by and is well is better than a silent one.
  Room guarded(1, 1);
  guarded.say(0, kUp);
  guarded.now += 1001 * kMs;
  CHECK(guarded.sent_to() == "-1");
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
  restarted.say(1, kDown, 1000, true);
  restarted.say(0, kUp);
  CHECK(restarted.sent_to() == "0-");
  // What is remembered is no witness: while nobody has been heard, nobody hangs.
  Room rebooted(3);
  rebooted.say(0, kUp, 1000, true);
  rebooted.now += 600 * kMs;
  rebooted.say(1, kUp, 1000, true);
  rebooted.now += 5000 * kMs;
  CHECK(rebooted.sent_to() == "012");
  rebooted.say(1, kUp);
  CHECK(rebooted.sent_to() == "012");
  rebooted.now += 249 * kMs;
  CHECK(rebooted.sent_to() == "012");
  rebooted.now += 1 * kMs;
  CHECK(rebooted.sent_to() == "-12");
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
