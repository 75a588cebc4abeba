// How evenly tool groups share their load, and which flows make it uneven.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compile/compile.h"
#include "engine/counters.h"
#include "engine/flow_census.h"
#include "sluice/v1/status.pb.h"

namespace sluice {

/// Control thread.
class BalanceWatch {
 public:
  /// A plan is in force from now on. books: of all workers.
  void begin(const Snapshot& snapshot, const compile::Plan& plan, std::span<AccountBook> books);
  /// What the workers saw since then, or since the last call: seconds of it.
  void look(const Snapshot& snapshot, const compile::Plan& plan, const std::vector<std::unique_ptr<FlowCensus>>& censuses,
            std::span<AccountBook> books, double seconds);
  /// Adds to the members and groups that are in the status what was seen last.
  void report(v1::Status& status) const;

 private:
  struct Member {
    uint64_t bits_per_second = 0;
    uint64_t flows = 0;
    double share = 0;  ///< of what the group got
  };
  struct Seen {
    std::map<std::string, Member> members;  ///< by the port's name
    std::string warning;
    std::vector<v1::LargeFlow> largest;
  };
  using Bytes = std::vector<uint64_t>;  ///< by member
  static Bytes bytes_of(const compile::Plan& plan, const compile::GroupPlan& group, std::span<AccountBook> books);
  static Seen look_at(const Snapshot& snapshot, const compile::Plan& plan, std::size_t group, const std::vector<std::unique_ptr<FlowCensus>>& censuses,
                      const Bytes& bytes, double seconds);

  std::vector<Bytes> bytes_;          ///< that were made for members until the last call, as the plan's groups
  std::vector<Buckets> buckets_;      ///< at that time, likewise
  std::map<std::string, Seen> seen_;  ///< by the group's id
};

/// "10.0.0.1:40000 > 10.0.0.2:443 TCP"
[[nodiscard]] std::string text_of(const FlowName& flow);

}  // namespace sluice
