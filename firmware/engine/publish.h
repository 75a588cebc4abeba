// How a new snapshot reaches the workers, and when the old one may go: quiescent-state-based reclamation (QSBR; McKenney, "Is
// Parallel Programming Hard", section 9.5). A manual for both sides:
//
//   a worker    takes the snapshot once a loop with SnapshotReader::load() and does not keep it to the next loop;
//               says offline() before it sleeps, and calls load() first thing afterwards.
//   the control thread  calls publish(); it is noexcept and one store decides. retire() says when no worker can hold an older one.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "base/cache_line.h"
#include "engine/snapshot.h"

namespace sluice {

class SnapshotPublisher;

/// One worker's side. Worker thread.
class alignas(kCacheLine) SnapshotReader {
 public:
  /// The snapshot in force; null before the first. Whatever load() returned before may be freed from now on.
  const Snapshot* load();
  /// The worker holds nothing until it calls load() again.
  void offline() { seen_.store(kOffline, std::memory_order_release); }

 private:
  friend class SnapshotPublisher;
  static constexpr uint64_t kOffline = std::numeric_limits<uint64_t>::max();
  const SnapshotPublisher* publisher_ = nullptr;
  std::atomic<uint64_t> seen_{kOffline};
};

/// Control thread, but for what the readers read.
class SnapshotPublisher {
 public:
  /// Before the reader's thread starts; readers must outlive the publisher's use.
  void add(SnapshotReader& reader);
  void publish(std::unique_ptr<const Snapshot> snapshot) noexcept;
  /// Whether every reader has passed the last publish(); frees the older snapshots then. Does not wait.
  bool retire();
  [[nodiscard]] const Snapshot* current() const { return owned_.get(); }

 private:
  friend class SnapshotReader;
  std::atomic<const Snapshot*> current_{nullptr};
  std::atomic<uint64_t> epoch_{0};
  std::unique_ptr<const Snapshot> owned_;
  std::vector<std::unique_ptr<const Snapshot>> retired_;
  std::vector<SnapshotReader*> readers_;
};

inline const Snapshot* SnapshotReader::load() {
  // The total order of these two and of publish()'s two decides: either the publisher sees this epoch, or we see its snapshot.
  const uint64_t epoch = publisher_->epoch_.load(std::memory_order_acquire);
  if (seen_.load(std::memory_order_relaxed) != epoch) seen_.store(epoch, std::memory_order_seq_cst);
  return publisher_->current_.load(std::memory_order_seq_cst);
}

}  // namespace sluice
