#include "config/order.h"

#include <algorithm>

namespace sluice::config {

std::set<int> moved(const std::vector<int>& order) {
  if (std::is_sorted(order.begin(), order.end())) return {};
  std::vector<int> tails, at(order.size()), previous(order.size(), -1);  // tails: index of the smallest end of a run of each length
  for (int i = 0; i < static_cast<int>(order.size()); ++i) {
    const auto place = std::lower_bound(tails.begin(), tails.end(), order[i], [&](int t, int value) { return order[t] < value; });
    if (place != tails.begin()) previous[i] = *std::prev(place);
    if (place == tails.end()) tails.push_back(i);
    else *place = i;
  }
  std::set<int> all(order.begin(), order.end());
  for (int i = tails.empty() ? -1 : tails.back(); i >= 0; i = previous[i]) all.erase(order[i]);
  return all;
}

}  // namespace sluice::config
