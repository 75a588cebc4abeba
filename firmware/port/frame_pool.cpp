#include "port/frame_pool.h"

#include <sys/mman.h>

#include <new>

namespace sluice {

FramePool::FramePool(const FrameLayout& layout, uint32_t worker) : layout_(layout), worker_(worker) {
  const std::size_t bytes = layout.total() * sizeof(Record);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  records_ = static_cast<Record*>(memory);
  owned_records_ = {records_, Unmap{bytes}};
}

void FramePool::Unmap::operator()(Record* records) const { munmap(records, bytes); }

std::span<FramePool::Record> FramePool::own(MemoryClass c) const {
  return {records_ + layout_.first(c, worker_), layout_.frames_per_worker};
}

void FramePool::add(MemoryClass c) {
  const auto position = static_cast<unsigned>(c);
  if (added_[position]) return;
  added_[position] = true;
  auto& free = free_[position];
  free.reserve(layout_.frames_per_worker);
  homeward_.reserve(layout_.total());
  for (auto& record : own(c)) record = {Place::kPool, static_cast<uint8_t>(position + 1), 0};
  for (uint32_t i = layout_.frames_per_worker; i > 0; --i) free.push_back(layout_.first(c, worker_) + i - 1);
}

void FramePool::reclaim(Loan loan) {
  for (unsigned c = 0; c < layout_.classes; ++c) {
    if (!added_[c]) continue;
    const auto records = own(static_cast<MemoryClass>(c));
    for (uint32_t i = 0; i < records.size(); ++i)
      if (records[i].place == Place::kLent && records[i].count == loan) give(layout_.first(static_cast<MemoryClass>(c), worker_) + i);
  }
}

FrameCensus FramePool::census() const {
  FrameCensus census;
  for (unsigned c = 0; c < layout_.classes; ++c) {
    if (!added_[c]) continue;
    const auto memory_class = static_cast<MemoryClass>(c);
    census.total += layout_.frames_per_worker;
    census.pool += free_[c].size();
    for (const auto& record : own(memory_class)) {
      census.lent += record.place == Place::kLent;
      census.held += record.place == Place::kHeld;
      census.worker += record.place == Place::kWorker;
      census.away += record.place == Place::kAway;
    }
    const std::span all{records_ + layout_.first(memory_class, 0), layout_.frames_per_class()};
    for (const auto& record : all) census.guests += record.own_class == 0 && record.place != Place::kElsewhere;
  }
  return census;
}

}  // namespace sluice
