// A worker: one thread, pinned to a core, that runs the pipeline over its floor until it is told to stop.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "base/unique_fd.h"
#include "engine/counters.h"
#include "engine/floor.h"
#include "engine/pipeline.h"
#include "engine/publish.h"

namespace sluice {

class Worker {
 public:
  /// Empty loops after which a worker goes to sleep.
  static constexpr unsigned kEmptyLoops = 200;
  /// A busy worker publishes its book this often, nanoseconds; before it sleeps it always does.
  static constexpr uint64_t kPublishEvery = 1'000'000;

  /// cpu: -1 not pinned. The publisher must outlive the worker.
  Worker(SnapshotPublisher& publisher, const FrameMemory& memory, const FrameLayout& layout, uint32_t index, int cpu);
  ~Worker();
  /// Ends the thread. Again: nothing. All workers that are each other's peers are stopped before one of them is destroyed.
  void stop();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Runs a task on the worker's thread between two bursts and returns when it is done. The one way to change a floor. A task
  /// must be short: packets wait meanwhile. Control thread.
  using Task = std::function<void(Floor&, Pipeline<Unwatched>&)>;
  void between_bursts(const Task& task);

  /// What the worker published last. Any thread.
  SlotCounts read(AccountBook& into) const { return published_.read(into); }
  [[nodiscard]] int cpu() const { return cpu_; }
  /// What wakes this worker when another has something for it. Any thread.
  [[nodiscard]] Doorbell& doorbell() { return doorbell_; }

 private:
  void run();
  void sleep();
  void publish_book();

  Floor floor_;
  Pipeline<Unwatched> pipeline_{floor_};
  SnapshotReader reader_;
  PublishedBook published_;
  SlotCounts used_;
  UniqueFd wake_;
  Doorbell doorbell_;
  std::atomic<const Task*> task_{nullptr};
  std::atomic<bool> stop_{false};
  uint64_t published_at_ = 0;
  int cpu_;
  std::thread thread_;
};

}  // namespace sluice
