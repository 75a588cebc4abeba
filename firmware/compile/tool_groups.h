// Tool groups: who shares a load, by what, and what becomes of it when a member is out.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/distribute.h"
#include "sluice/v1/config.pb.h"

namespace sluice::compile {

/// Names that go with a Group.
struct GroupPlan {
  std::string id;
  std::string name;
  bool by_link = true;            ///< a member without a link is down
  uint32_t imbalance = 50;        ///< percent above its part that a member may have; 0: any
  bool by_report = false;         ///< one that says so, or falls silent, too
  std::vector<PortSlot> members;  ///< as Group::members: those that share the load, then those that stand by
  std::vector<bool> drained;      ///< of each
};

struct CompiledGroup {
  Group group;  ///< all members up, but for those that are drained
  GroupPlan plan;
  bool uses_ports = false;  ///< of outer headers: fragments are to be kept with their flow
};

/// tool(id, path): the slot of a port that may be sent to. Errors: kInvalid, kConflict with the field under `path`.
using FindTool = std::function<Result<PortSlot>(const std::string& id, const std::string& path)>;
[[nodiscard]] Result<CompiledGroup> compile_tool_group(const v1::ToolGroup& group, const std::string& path, const FindTool& tool);

}  // namespace sluice::compile
