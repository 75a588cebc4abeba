#include "engine/publish.h"

#include <algorithm>

namespace sluice {

void SnapshotPublisher::add(SnapshotReader& reader) {
  reader.publisher_ = this;
  readers_.push_back(&reader);
  retired_.reserve(16);
}

void SnapshotPublisher::publish(std::unique_ptr<const Snapshot> snapshot) noexcept {
  if (owned_) retired_.push_back(std::move(owned_));
  owned_ = std::move(snapshot);
  current_.store(owned_.get(), std::memory_order_seq_cst);
  epoch_.fetch_add(1, std::memory_order_seq_cst);
}

bool SnapshotPublisher::retire() {
  const uint64_t epoch = epoch_.load(std::memory_order_relaxed);
  const bool passed = std::all_of(readers_.begin(), readers_.end(),
                                  [epoch](const SnapshotReader* r) { return r->seen_.load(std::memory_order_seq_cst) >= epoch; });
  if (passed) retired_.clear();
  return passed;
}

}  // namespace sluice
