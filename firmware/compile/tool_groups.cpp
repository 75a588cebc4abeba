#include "compile/tool_groups.h"

#include <algorithm>

namespace sluice::compile {
namespace {

HashChoice hash_choice(const v1::GroupHash& hash) {
  HashChoice out{.fields = 0, .inner = hash.layer() == v1::Layer::INNER};
  for (const int field : hash.fields()) {
    switch (field) {
      case v1::HashField::FIVE_TUPLE: out.fields |= hash_field::kFiveTuple; break;
      case v1::HashField::IP_PAIR: out.fields |= hash_field::kIpPair; break;
      case v1::HashField::VLAN: out.fields |= hash_field::kVlan; break;
      case v1::HashField::MAC_PAIR: out.fields |= hash_field::kMacPair; break;
      case v1::HashField::MPLS_LABEL: out.fields |= hash_field::kMplsLabel; break;
      case v1::HashField::GTP_TEID: out.fields |= hash_field::kGtpTeid; break;
      case v1::HashField::GRE_KEY: out.fields |= hash_field::kGreKey; break;
      case v1::HashField::VNI: out.fields |= hash_field::kVni; break;
      default: break;
    }
  }
  if (out.fields == 0) out.fields = hash_field::kFiveTuple;
  return out;
}

Failover failover(v1::Failover::Value value) {
  if (value == v1::Failover::STANDBY) return Failover::kStandby;
  return value == v1::Failover::DROP ? Failover::kDrop : Failover::kRebalance;
}

}  // namespace

Result<CompiledGroup> compile_tool_group(const v1::ToolGroup& group, const std::string& path, const FindTool& tool) {
  CompiledGroup out{.group = {.hash = hash_choice(group.hash()), .failover = failover(group.failover())},
                    .plan = {.id = group.id(), .name = group.name(), .by_link = !group.health().has_link() || group.health().link(), .imbalance = group.has_imbalance() ? group.imbalance() : 50, .by_report = group.health().report()}};
  auto& plan = out.plan;
  const auto item = [&path](const char* list, int i) { return path + "." + list + "[" + std::to_string(i) + "]"; };
  const auto add = [&](const std::string& port, const std::string& here) -> Result<void> {
    const auto slot = tool(port, here);
    if (!slot) return slot.error();
    if (std::find(plan.members.begin(), plan.members.end(), *slot) != plan.members.end())
      return Error{ErrorCode::kConflict, here, "is a member of this group already"};
    plan.members.push_back(*slot);
    return {};
  };
  if (group.members().empty()) return Error{ErrorCode::kInvalid, path + ".members", "must not be empty"};
  for (int m = 0; m < group.members_size(); ++m) {
    const auto& member = group.members(m);
    if (auto r = add(member.port(), item("members", m) + ".port"); !r) return r.error();
    out.group.weights.push_back(member.has_weight() ? member.weight() : 1);
    plan.drained.push_back(member.drained());
  }
  const bool stands_by = out.group.failover == Failover::kStandby;
  if (stands_by && group.standby().empty())
    return Error{ErrorCode::kInvalid, path + ".standby", "must name the ports that stand by, for failover STANDBY"};
  if (!stands_by && !group.standby().empty())
    return Error{ErrorCode::kInvalid, path + ".standby", "is for failover STANDBY alone: the ports would never get a packet"};
  for (int s = 0; s < group.standby_size(); ++s)
    if (auto r = add(group.standby(s), item("standby", s)); !r) return r.error();
  plan.drained.resize(plan.members.size());

  out.group.members = plan.members;
  out.group.home = homes(out.group.weights);
  std::vector<MemberState> states;
  for (const bool drained : plan.drained) states.push_back(drained ? MemberState::kDrained : MemberState::kUp);
  std::vector<uint8_t> stands_in;
  out.group.table = std::make_unique<BucketTable>(assign(out.group, states, stands_in));
  // What has none of the fields goes by five-tuple, and fragments where the choice looks into tunnels; every IP packet has an address pair.
  const auto& [fields, inner] = out.group.hash;
  using namespace hash_field;
  out.uses_ports = (fields & (kFiveTuple | kGtpTeid | kGreKey | kVni)) != 0 || (fields & kIpPair) == 0 || inner;
  return out;
}

}  // namespace sluice::compile
