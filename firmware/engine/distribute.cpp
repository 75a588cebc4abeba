#include "engine/distribute.h"

#include <numeric>
#include <vector>

namespace sluice {

void fill_buckets(Group& group, std::span<const uint32_t> weights) {
  const uint64_t total = std::accumulate(weights.begin(), weights.end(), uint64_t{0});
  group.buckets.fill(kNoMember);
  if (total == 0) return;
  // Smooth weighted round robin: everybody earns its weight each turn, the richest takes the bucket and pays the total.
  std::vector<int64_t> credit(weights.size());
  for (auto& bucket : group.buckets) {
    std::size_t richest = 0;
    for (std::size_t m = 0; m < weights.size(); ++m) {
      credit[m] += weights[m];
      if (credit[m] > credit[richest]) richest = m;
    }
    credit[richest] -= static_cast<int64_t>(total);
    bucket = static_cast<uint8_t>(richest);
  }
}

}  // namespace sluice
