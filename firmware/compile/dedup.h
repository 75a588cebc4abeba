// Deduplication domains: what they compare, and how much memory each needs to find every duplicate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/snapshot.h"
#include "sluice/v1/config.pb.h"
#include "sluice/v1/status.pb.h"

namespace sluice::compile {

/// Names and sizes of Snapshot::domains, in their order.
struct DomainPlan {
  std::string id;
  std::string name;
  uint32_t ports = 0;
  uint64_t window_ns = 0;
};

/// What a domain compares. Errors: kInvalid with the field under `path`.
[[nodiscard]] Result<Comparison> comparison_of(const v1::DedupDomain& domain, const std::string& path);

/// Bytes of each domain's table: what ports of 10GbE full of 64-byte packets fill, or, where that is more than `most`, its part of that.
/// Errors: kExhausted.
[[nodiscard]] Result<std::vector<std::size_t>> share_dedup_memory(const std::vector<DomainPlan>& domains, std::size_t most);

/// Gives each domain of a snapshot its memory: that of the same domain in force, if it is about as large, or a new one, all of
/// which is there when this returns. shared: there are several workers. Errors: kExhausted.
[[nodiscard]] Result<void> give_dedup_memory(Snapshot& snapshot, const std::vector<DomainPlan>& domains, const std::vector<std::size_t>& bytes,
                                             bool shared, const std::vector<DedupDomain>& in_force = {}, const std::vector<DomainPlan>& domains_in_force = {});

/// What that comes to, for people.
void report_cost(const std::vector<DomainPlan>& domains, const std::vector<std::size_t>& bytes, std::size_t most, v1::Cost& cost);

}  // namespace sluice::compile
