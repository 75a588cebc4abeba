#include "engine/counters.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace sluice {
namespace {

/// Modulo 2^64, because gauges may be below zero.
uint64_t distance(uint64_t a, uint64_t b) { return std::min(a - b, b - a); }
uint64_t distance(const Tally& a, const Tally& b) { return distance(a.packets, b.packets) + distance(a.bytes, b.bytes); }

/// The stretches of the book that the slots in use cover: offset and length in words.
struct Stretch {
  std::size_t at;
  std::size_t words;
};
std::array<Stretch, 5> stretches(const SlotCounts& used) {
  return {{{AccountBook::kWorkerAt, sizeof(WorkerCounters) / 8},
           {AccountBook::kPortsAt, used.ports * sizeof(PortCounters) / 8},
           {AccountBook::kLegsAt, used.legs * sizeof(LegCounters) / 8},
           {AccountBook::kMapsAt, used.maps * sizeof(MapCounters) / 8},
           {AccountBook::kRulesAt, used.rules * sizeof(RuleCounters) / 8}}};
}

}  // namespace

PortCounters& PortCounters::operator+=(const PortCounters& other) {
  dequeued += other.dequeued;
  unmatched += other.unmatched;
  fanned_out += other.fanned_out;
  held += other.held;
  compared += other.compared;
  duplicates += other.duplicates;
  dedup_evicted_live += other.dedup_evicted_live;
  for (unsigned i = 0; i < kPacketDrops; ++i) dropped[i] += other.dropped[i];
  return *this;
}

uint64_t PortCounters::unaccounted() const {
  Tally ends = unmatched;
  ends += fanned_out;
  ends += held;
  for (const auto& d : dropped) ends += d;
  return distance(dequeued, ends);
}

LegCounters& LegCounters::operator+=(const LegCounters& other) {
  created += other.created;
  merged += other.merged;
  sent += other.sent;
  in_flight += other.in_flight;
  for (unsigned i = 0; i < kCopyDrops; ++i) dropped[i] += other.dropped[i];
  return *this;
}

uint64_t LegCounters::unaccounted() const {
  Tally ends = merged;
  ends += sent;
  ends += in_flight;
  for (const auto& d : dropped) ends += d;
  return distance(created, ends);
}

AccountBook::AccountBook() {
  void* memory = mmap(nullptr, kWords * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  words_.reset(static_cast<uint64_t*>(memory));
}

void AccountBook::Unmap::operator()(uint64_t* words) const { munmap(words, kWords * 8); }

void PublishedBook::publish(AccountBook& book, const SlotCounts& used) {
  const uint64_t sequence = sequence_.load(std::memory_order_relaxed);
  sequence_.store(sequence + 1, std::memory_order_relaxed);
  // Release on every word keeps it behind the odd number above; on x86 that is a plain store.
  used_[0].store(used.ports, std::memory_order_release);
  used_[1].store(used.legs, std::memory_order_release);
  used_[2].store(used.maps, std::memory_order_release);
  used_[3].store(used.rules, std::memory_order_release);
  for (const auto [at, words] : stretches(used))
    for (std::size_t i = at; i < at + words; ++i) std::atomic_ref(shared_.words()[i]).store(book.words()[i], std::memory_order_release);
  sequence_.store(sequence + 2, std::memory_order_release);
}

SlotCounts PublishedBook::read(AccountBook& into) const {
  for (;;) {
    const uint64_t before = sequence_.load(std::memory_order_acquire);
    if (before & 1) continue;
    const SlotCounts used{used_[0].load(std::memory_order_acquire), used_[1].load(std::memory_order_acquire),
                          used_[2].load(std::memory_order_acquire), used_[3].load(std::memory_order_acquire)};
    if (used.ports > kMaxSlots.ports || used.legs > kMaxSlots.legs || used.maps > kMaxSlots.maps || used.rules > kMaxSlots.rules) continue;
    for (const auto [at, words] : stretches(used))
      for (std::size_t i = at; i < at + words; ++i) into.words()[i] = std::atomic_ref(shared_.words()[i]).load(std::memory_order_acquire);
    if (sequence_.load(std::memory_order_relaxed) == before) return used;
  }
}

}  // namespace sluice
