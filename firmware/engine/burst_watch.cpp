#include "engine/burst_watch.h"

#include <algorithm>

namespace sluice {

void BurstWatch::look(std::span<const std::unique_ptr<Microbursts>> workers, uint64_t room, const Clocks& now, uint64_t late) {
  const uint64_t present = now.monotonic_ns / 1'000'000, behind = present + 1 - std::min(present + 1, late);
  // What nobody has any more is passed over.
  next_ms_ = std::max(next_ms_, behind - std::min<uint64_t>(behind, Microbursts::kKept - 2 * kLate));
  Look look{now.monotonic_ns, {}};
  Peak& peak = look.peak;
  const auto each = [&](const Microbursts& worker, auto&& f) {
    for (uint64_t ms = next_ms_; ms < behind; ++ms)
      if (const auto one = worker.read(ms)) f(ms, *one);
  };
  std::array<uint64_t, Microbursts::kKept> bytes{};
  for (const auto& worker : workers) {
    uint32_t deepest = 0;
    each(*worker, [&](uint64_t ms, const Microbursts::Millisecond& one) {
      bytes[ms % bytes.size()] += one.bytes;
      deepest = std::max(deepest, one.deepest);
      peak.longest_us = std::max(peak.longest_us, one.longest_us);
    });
    peak.deepest += deepest;
    peak.fullest = std::max(peak.fullest, static_cast<unsigned>(std::min<uint64_t>(100, uint64_t{deepest} * 100 / std::max<uint64_t>(room, 1))));
  }
  for (; next_ms_ < behind; ++next_ms_) {
    const uint64_t here = bytes[next_ms_ % bytes.size()];
    if (here <= peak.bytes) continue;
    peak.bytes = here;
    peak.at_unix_ns = now.unix_ns - (now.monotonic_ns - next_ms_ * 1'000'000);
  }
  looks_[next_] = look;
  next_ = (next_ + 1) % kSeconds;
}

BurstWatch::Peak BurstWatch::highest(uint64_t monotonic_ns) const {
  Peak out;
  for (const auto& [at_ns, peak] : looks_) {
    if (at_ns + uint64_t{kSeconds} * 1'000'000'000 < monotonic_ns) continue;
    if (peak.bytes > out.bytes) out.bytes = peak.bytes, out.at_unix_ns = peak.at_unix_ns;
    out.deepest = std::max(out.deepest, peak.deepest);
    out.fullest = std::max(out.fullest, peak.fullest);
    out.longest_us = std::max(out.longest_us, peak.longest_us);
  }
  return out;
}

}  // namespace sluice
