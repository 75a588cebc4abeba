#include "engine/distribute.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice {
namespace {

/// Weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005): of those that could have a bucket, each
/// has the same chance in all circumstances, so that a further failure moves no bucket but those of who fails.
uint8_t heir(unsigned b, const Group& group, std::span<const MemberState> states) {
  uint8_t best = bucket::kNoMember;
  double least = 0;
  // Those that stand by, if nobody else is left.
  const std::size_t sharing = group.weights.size();
  const bool any = std::find(states.begin(), states.begin() + static_cast<std::ptrdiff_t>(sharing), MemberState::kUp) !=
                   states.begin() + static_cast<std::ptrdiff_t>(sharing);
  for (std::size_t m = any ? 0 : sharing; m < (any ? sharing : group.members.size()); ++m) {
    if (states[m] != MemberState::kUp) continue;
    uint64_t h = (uint64_t{b} << 32 | m) * 0x9E3779B97F4A7C15U;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93U;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93U;
    const double uniform = (static_cast<double>(h >> 11) + 0.5) * 0x1p-53;
    const double score = -std::log(uniform) / (m < sharing ? group.weights[m] : 1);
    if (best != bucket::kNoMember && score >= least) continue;
    best = static_cast<uint8_t>(m);
    least = score;
  }
  return best;
}

/// Ends what need not be stood in for any more, and finds somebody for whom it must.
void change_guard(const Group& group, std::span<const MemberState> states, std::vector<uint8_t>& stands_in) {
  const std::size_t sharing = group.weights.size();
  stands_in.resize(group.members.size(), bucket::kNoMember);
  for (std::size_t s = sharing; s < group.members.size(); ++s)
    if (stands_in[s] != bucket::kNoMember && (states[s] != MemberState::kUp || states[stands_in[s]] == MemberState::kUp)) stands_in[s] = bucket::kNoMember;
  if (group.failover != Failover::kStandby) return;
  for (std::size_t m = 0; m < sharing; ++m) {
    if (states[m] == MemberState::kUp || std::find(stands_in.begin(), stands_in.end(), m) != stands_in.end()) continue;
    for (std::size_t s = sharing; s < group.members.size(); ++s) {
      if (states[s] != MemberState::kUp || stands_in[s] != bucket::kNoMember) continue;
      stands_in[s] = static_cast<uint8_t>(m);
      break;
    }
  }
}

}  // namespace

Buckets homes(std::span<const uint32_t> weights) {
  const auto total = std::accumulate(weights.begin(), weights.end(), int64_t{0});
  // Smooth weighted round robin: everybody earns its weight each turn, the richest takes the bucket and pays the total.
  std::vector<int64_t> credit(weights.size());
  Buckets out;
  for (auto& home : out) {
    std::size_t richest = 0;
    for (std::size_t m = 0; m < weights.size(); ++m) {
      credit[m] += weights[m];
      if (credit[m] > credit[richest]) richest = m;
    }
    credit[richest] -= total;
    home = static_cast<uint8_t>(richest);
  }
  return out;
}

Buckets assign(const Group& group, std::span<const MemberState> states, std::vector<uint8_t>& stands_in) {
  change_guard(group, states, stands_in);
  Buckets out = group.home;
  for (unsigned b = 0; b < kBuckets; ++b) {
    const uint8_t home = out[b];
    if (states[home] == MemberState::kUp) continue;
    if (const auto substitute = std::find(stands_in.begin(), stands_in.end(), home); substitute != stands_in.end())
      out[b] = static_cast<uint8_t>(substitute - stands_in.begin());
    else if (group.failover == Failover::kDrop && states[home] == MemberState::kDown) out[b] = bucket::kMemberDown;
    else out[b] = heir(b, group, states);
  }
  return out;
}

}  // namespace sluice
