// Which members of tool groups can be sent to, and where the flows of the others go meanwhile.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "compile/compile.h"
#include "engine/snapshot.h"
#include "sluice/v1/status.pb.h"
#include "sluiced/tool_words.h"

namespace sluice {

/// Control thread.
class Liveness {
 public:
  /// Why a port can't be sent to; empty: it can. by_link: not without a link.
  using Fault = std::function<std::string(PortSlot port, bool by_link)>;

  /// Brings the bucket tables of a snapshot, in force or about to be, up to what ports can do now, and to what their tools said until
  /// heard_ns. Whether any had to change: the caller retires them.
  bool follow(const Snapshot& snapshot, const compile::Plan& plan, const Fault& fault, const ToolWords& words, uint64_t heard_ns);
  /// The member counts as down until then, on the monotonic clock: a drill. There is one at a time.
  void take_out(const std::string& group, PortSlot member, uint64_t until_ns) { drill_ = {group, member, until_ns}; }
  void report(const Snapshot& snapshot, const compile::Plan& plan, v1::Status& status) const;

 private:
  struct Known {
    std::vector<PortSlot> members;
    std::size_t sharing = 0;  ///< so many of them share the load
    std::vector<MemberState> states;
    std::vector<std::string> faults;
    std::vector<uint8_t> stands_in;
  };
  struct Drill {
    std::string group;
    PortSlot member = kNoPort;
    uint64_t until_ns = 0;  ///< 0: none
  };
  Drill drill_;
  std::map<std::string, Known> groups_;  ///< by id: survives a change of the configuration, so that who stands in goes on
};

}  // namespace sluice
