// What moves when a list gets another order.
#pragma once

#include <set>
#include <vector>

namespace sluice::config {

/// Which of these numbers, all different, have to move for them to be in order: all but a longest increasing subsequence.
[[nodiscard]] std::set<int> moved(const std::vector<int>& order);

}  // namespace sluice::config
