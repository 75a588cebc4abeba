// Failover drill: a member of a tool group is taken out for a moment, and what moved and what was lost is told.
#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>

#include "api/handlers.h"
#include "config/validate.h"

namespace sluice::api {
namespace {

template <class List>
auto* named(List& list, const std::string& name) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.name() == name; });
  return found == list.end() ? nullptr : &*found;
}
const v1::MemberStatus* member_of(const v1::ToolGroupStatus& group, const std::string& port) {
  const auto& members = group.members();
  const auto found = std::find_if(members.begin(), members.end(), [&](const auto& m) { return m.port() == port; });
  return found == members.end() ? nullptr : &*found;
}

v1::Tally difference(const v1::Tally& before, const v1::Tally& after) {
  v1::Tally out;
  out.set_packets(after.packets() - std::min(before.packets(), after.packets()));
  out.set_bytes(after.bytes() - std::min(before.bytes(), after.bytes()));
  return out;
}

/// Copies for the members of a group, of all maps that send to it, by port; and its copies that were dropped, by reason.
struct Account {
  std::map<std::string, v1::Tally> created;
  std::map<std::string, v1::Tally> dropped;
};
Account account_of(const v1::Ledger& ledger, const std::string& group) {
  Account out;
  const auto add = [](v1::Tally& sum, const auto& one) {
    sum.set_packets(sum.packets() + one.packets());
    sum.set_bytes(sum.bytes() + one.bytes());
  };
  for (const auto& map : ledger.maps())
    for (const auto& destination : map.destinations()) {
      if (destination.target() != group || destination.members().empty()) continue;
      for (const auto& member : destination.members()) add(out.created[member.port()], member.copies().created());
      for (const auto& drop : destination.copies().dropped()) add(out.dropped[drop.reason()], drop);
    }
  return out;
}

Result<v1::Drill> drill(Context& c, const std::string& name, const v1::DrillRequest& body) {
  const auto status = c.telemetry.status();
  if (!status) return status.error();
  const auto* group = named(status->tool_groups(), name);
  if (!group) return Error{ErrorCode::kNotFound, "", "there is no tool group \"" + name + "\" in force"};
  const auto* member = member_of(*group, body.member());
  if (!member) return Error{ErrorCode::kInvalid, "member", "the group has no member \"" + body.member() + "\""};
  if (member->buckets() == 0)
    return Error{ErrorCode::kConflict, "member", "has no flows that could move: it is " + member->state()};
  const auto before = c.telemetry.ledger();
  if (!before) return before.error();
  // Longer than it takes: we end it, and if we can't, it ends by itself.
  constexpr uint32_t kMargin = 2000;
  if (auto r = c.telemetry.take_out(group->id(), body.member(), body.milliseconds() + kMargin); !r) return r.error();
  const auto out_now = c.telemetry.status();
  const auto begun = c.telemetry.ledger();
  // As long as the operator asked for, on one of the server's threads for handlers: drills come one at a time.
  std::this_thread::sleep_for(std::chrono::milliseconds(body.milliseconds()));
  const auto after = c.telemetry.ledger();
  if (auto r = c.telemetry.take_out(group->id(), body.member(), 0); !r) return r.error();
  for (const Error* error : {out_now ? nullptr : &out_now.error(), begun ? nullptr : &begun.error(), after ? nullptr : &after.error()})
    if (error) return *error;
  const auto* meanwhile = named(out_now->tool_groups(), name);
  if (!meanwhile) return Error{ErrorCode::kConflict, "", "the tool group was removed during the drill"};

  v1::Drill out;
  out.set_tool_group(name);
  out.set_member(body.member());
  out.set_milliseconds(body.milliseconds());
  out.set_buckets_moved(member->buckets());
  out.set_buckets_without_member(meanwhile->buckets_without_member());
  const Account at_first = account_of(*before, name), moved = account_of(*begun, name), at_last = account_of(*after, name);
  const auto of = [](const std::map<std::string, v1::Tally>& all, const std::string& key) {
    const auto found = all.find(key);
    return found == all.end() ? v1::Tally() : found->second;
  };
  for (const auto& now : meanwhile->members()) {
    auto* line = out.add_members();
    line->set_port(now.port());
    const auto* was = member_of(*group, now.port());
    line->set_buckets_taken(now.buckets() - std::min(now.buckets(), was ? was->buckets() : 0));
    *line->mutable_copies() = difference(of(moved.created, now.port()), of(at_last.created, now.port()));
  }
  for (const auto& [reason, tally] : at_last.dropped) {
    const auto lost = difference(of(at_first.dropped, reason), tally);
    if (lost.packets() == 0) continue;
    auto* line = out.add_dropped();
    line->set_reason(reason);
    line->set_packets(lost.packets());
    line->set_bytes(lost.bytes());
  }
  return out;
}

}  // namespace

void add_drill_routes(Router& router, const Shared& c) {
  const auto one_at_a_time = std::make_shared<std::mutex>();
  router.add({"POST",
              "/api/v1/tool_groups/{name}:drill",
              "takes a member out for a moment, as if it had failed, and tells what moved and what was lost",
              Access::kOperator,
              {v1::DrillRequest::descriptor()},
              {v1::Drill::descriptor()},
              {},
              200,
              [c, one_at_a_time](const Request& request, const auto& a) {
                v1::DrillRequest body;
                if (auto r = read_body(request, body); !r) return problem(r.error());
                config::fill_defaults(body);
                const std::unique_lock turn(*one_at_a_time, std::try_to_lock);
                if (!turn) return problem({ErrorCode::kConflict, "", "another drill is running; it ends within 20 seconds"});
                const auto told = drill(*c, a[0], body);
                return told ? ok(*told) : problem(told.error());
              }});
}

}  // namespace sluice::api
