#include "sluiced/liveness.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/clock.h"

namespace sluice {

namespace {

/// Adds to the faults of a group's members what their tools say. Silence of all is none of them: so it is where the way on which they report is
/// cut, and a tool that may be well is better than none.
void heed_words(const compile::GroupPlan& group, const compile::Plan& plan, const ToolWords& words, uint64_t heard_ns, std::vector<std::string>& faults) {
  const auto state_of = [&](std::size_t m) { return words.state_of(plan.port(group.members[m])->id, heard_ns); };
  bool is_any_well = false;
  for (std::size_t m = 0; m < faults.size(); ++m)
    is_any_well |= faults[m].empty() && !group.drained[m] && (state_of(m) == ToolWords::State::kUp || state_of(m) == ToolWords::State::kUnknown);
  for (std::size_t m = 0; m < faults.size(); ++m)
    if (faults[m].empty() && (is_any_well || state_of(m) == ToolWords::State::kDown)) faults[m] = words.fault_of(plan.port(group.members[m])->id, heard_ns);
}

}  // namespace

bool Liveness::follow(const Snapshot& snapshot, const compile::Plan& plan, const Fault& fault, const ToolWords& words, uint64_t heard_ns) {
  bool changed = false;
  if (monotonic_ns() >= drill_.until_ns) drill_ = {};
  std::erase_if(groups_, [&plan](const auto& known) {
    return std::none_of(plan.groups.begin(), plan.groups.end(), [&](const auto& group) { return group.id == known.first; });
  });
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const compile::GroupPlan& group = plan.groups[g];
    Known& known = groups_[group.id];
    const std::size_t sharing = snapshot.groups[g].weights.size();
    if (known.members != group.members || known.sharing != sharing) known = {.members = group.members, .sharing = sharing};
    std::vector<MemberState> states;
    std::vector<std::string> faults;
    for (const PortSlot member : group.members) {
      const bool drilled = group.id == drill_.group && member == drill_.member;
      faults.push_back(drilled ? "taken out for a drill" : fault(member, group.by_link));
    }
    if (group.by_report) heed_words(group, plan, words, heard_ns, faults);
    for (std::size_t m = 0; m < faults.size(); ++m)
      states.push_back(group.drained[m] ? MemberState::kDrained : faults[m].empty() ? MemberState::kUp : MemberState::kDown);
    if (states != known.states && !known.states.empty())
      for (std::size_t m = 0; m < states.size(); ++m)
        if (states[m] != known.states[m])
          spdlog::warn("tool group {}: {} is {}", group.name, plan.port(group.members[m])->name,
                       states[m] == MemberState::kUp        ? "up"
                       : states[m] == MemberState::kDrained ? "drained"
                                                            : "down: " + faults[m]);
    const Buckets buckets = assign(snapshot.groups[g], states, known.stands_in);
    known.states = std::move(states);
    known.faults = std::move(faults);
    if (buckets == snapshot.groups[g].table->in_force()) continue;
    snapshot.groups[g].table->publish(buckets);
    changed = true;
  }
  return changed;
}

void Liveness::report(const Snapshot& snapshot, const compile::Plan& plan, v1::Status& status) const {
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const compile::GroupPlan& group = plan.groups[g];
    const Group& compiled = snapshot.groups[g];
    const Buckets& buckets = compiled.table->in_force();
    auto* out = status.add_tool_groups();
    out->set_name(group.name);
    out->set_id(group.id);
    const auto count = [](const Buckets& in, std::size_t m) { return static_cast<uint32_t>(std::count(in.begin(), in.end(), m)); };
    out->set_buckets_without_member(count(buckets, bucket::kNoMember) + count(buckets, bucket::kMemberDown));
    const auto found = groups_.find(group.id);
    for (std::size_t m = 0; m < group.members.size(); ++m) {
      auto* member = out->add_members();
      member->set_port(plan.port(group.members[m])->name);
      member->set_buckets(count(buckets, m));
      member->set_home_buckets(count(compiled.home, m));
      if (found == groups_.end()) continue;
      const Known& known = found->second;
      const bool stands_by = m >= compiled.weights.size();
      if (known.states[m] == MemberState::kDrained) member->set_state("DRAINED");
      else if (known.states[m] == MemberState::kDown) member->set_state("DOWN"), member->set_reason(known.faults[m]);
      else if (!stands_by) member->set_state("ACTIVE");
      else if (known.stands_in[m] == bucket::kNoMember) member->set_state("STANDBY");
      else member->set_state("STANDS_IN"), member->set_stands_in_for(plan.port(group.members[known.stands_in[m]])->name);
    }
  }
}

}  // namespace sluice
