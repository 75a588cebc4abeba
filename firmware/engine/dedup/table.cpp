#include "engine/dedup/table.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/large_pages.h"

namespace sluice {
namespace {

__extension__ using Pair = unsigned __int128;

/// x86 orders loads and stores as acquire and release without an instruction more.
uint64_t load(uint64_t& word) { return std::atomic_ref(word).load(std::memory_order_acquire); }
void store(uint64_t& word, uint64_t value) { std::atomic_ref(word).store(value, std::memory_order_release); }

}  // namespace

Result<DedupTable> DedupTable::make(std::size_t bytes, bool shared) {
  std::byte* const memory = map_large_pages(bytes);
  const auto failed = [&] {
    return Error{ErrorCode::kExhausted, "", std::to_string(bytes >> 20) + " MiB of memory can't be had: " + std::strerror(errno)};
  };
  if (!memory) return failed();
  if (madvise(memory, bytes, MADV_POPULATE_WRITE) != 0) {
    if (errno != EINVAL) {
      const Error error = failed();
      unmap_large_pages(memory, bytes);
      return error;
    }
    std::memset(memory, 0, bytes);  // kernels before 5.14
  }
  return DedupTable(memory, bytes, shared);
}

DedupTable::DedupTable(void* memory, std::size_t bytes, bool shared)
    : entries_(static_cast<Entry*>(memory)),
      bytes_(bytes),
      shift_(64U - static_cast<unsigned>(std::countr_zero(bytes / kLineBytes))),
      shared_(shared) {}
DedupTable::DedupTable(DedupTable&& other) noexcept
    : entries_(std::exchange(other.entries_, nullptr)), bytes_(other.bytes_), shift_(other.shift_), shared_(other.shared_) {}
DedupTable::~DedupTable() {
  if (entries_) unmap_large_pages(entries_, bytes_);
}

/// False: another worker was here since `known` was read.
[[gnu::target("cx16")]] inline bool DedupTable::replace(Entry& entry, const Entry& known, const Entry& by) const {
  if (!shared_) {
    store(entry.stamp, by.stamp);
    store(entry.fingerprint, by.fingerprint);
    return true;
  }
  return __sync_bool_compare_and_swap(reinterpret_cast<Pair*>(&entry), std::bit_cast<Pair>(known), std::bit_cast<Pair>(by));
}

[[gnu::target("cx16")]] DedupTable::Answer DedupTable::look_up(uint64_t fingerprint, uint64_t now, uint64_t window) {
  now += kWays;  // stamp 0 is of a place that nothing was ever in: it is the oldest, also among stamps to four nanoseconds
  Entry* const line = line_of(fingerprint);
  for (;;) {
    // No branch but one depends on what is there: which place is the oldest nobody could foresee. Stamps to four nanoseconds, and the place.
    uint64_t oldest = ~uint64_t{0};
    unsigned same = 0;
#pragma GCC unroll 4
    for (unsigned w = 0; w < kWays; ++w) {
      const uint64_t stamp = load(line[w].stamp);  // before the fingerprint: never younger than what goes with it
      oldest = std::min(oldest, (stamp & ~uint64_t{kWays - 1}) | w);
      same |= unsigned{load(line[w].fingerprint) == fingerprint} << w;
    }
    if (same != 0) [[unlikely]] {
      Entry& entry = line[std::countr_zero(same)];
      const Entry known{fingerprint, load(entry.stamp)};
      if (load(entry.fingerprint) != fingerprint) continue;  // gone meanwhile, and the stamp perhaps another's
      const auto age = static_cast<int64_t>(now - known.stamp);
      const auto within = static_cast<int64_t>(window);
      if (age >= -within && age <= within) return Answer::kDuplicate;
      if (age < 0) return Answer::kFirstEvicted;  // it was seen later: this moment is forgotten
      if (replace(entry, known, {fingerprint, now})) return Answer::kFirst;
      continue;
    }
    Entry& victim = line[oldest % kWays];
    const uint64_t stamp = load(victim.stamp);
    const Entry known{load(victim.fingerprint), stamp};
    if (known.fingerprint == fingerprint || (stamp & ~uint64_t{kWays - 1}) != (oldest & ~uint64_t{kWays - 1})) continue;
    const bool live = known.fingerprint != 0 && static_cast<int64_t>(now - stamp) <= static_cast<int64_t>(window + kLateness);
    // Late beside all of the line: the stamp of a shared place does not go back.
    if (replace(victim, known, {fingerprint, shared_ ? std::max(now, stamp) : now})) return live ? Answer::kFirstEvicted : Answer::kFirst;
  }
}

}  // namespace sluice
