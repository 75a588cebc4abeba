#include "engine/worker.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <array>

#include "base/clock.h"

namespace sluice {

Worker::Worker(SnapshotPublisher& publisher, const FrameMemory& memory, const FrameLayout& layout, uint32_t index, int cpu)
    : floor_(layout, index), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), doorbell_(wake_.get()), cpu_(cpu) {
  floor_.memory = &memory;
  floor_.verdicts.seen.thread = floor_.filter_verdicts.seen.thread = index + 1;
  publisher.add(reader_);
  thread_ = std::thread([this] { run(); });
}

Worker::~Worker() { stop(); }

void Worker::stop() {
  if (!thread_.joinable()) return;
  stop_.store(true, std::memory_order_release);
  eventfd_write(wake_.get(), 1);
  thread_.join();
}

void Worker::between_bursts(const Task& task) {
  task_.store(&task, std::memory_order_release);
  eventfd_write(wake_.get(), 1);
  task_.wait(&task, std::memory_order_acquire);
}

void Worker::run() {
  if (cpu_ >= 0) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(cpu_, &cpus);
    pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
  }
  unsigned empty = 0;
  while (!stop_.load(std::memory_order_acquire)) {
    const Snapshot* snapshot = reader_.load();
    if (const Task* task = task_.load(std::memory_order_acquire)) {
      (*task)(floor_, pipeline_);
      if (snapshot) used_ = snapshot->used;
      publish_book();
      task_.store(nullptr, std::memory_order_release);
      task_.notify_all();
    }
    ++floor_.book.worker().loops;
    const bool worked = snapshot && pipeline_.run_once(*snapshot);
    if (snapshot) used_ = snapshot->used;
    if (worked) {
      ++floor_.book.worker().busy_loops;
      empty = 0;
      if (monotonic_ns() - published_at_ > kPublishEvery) publish_book();
    } else if (++empty >= kEmptyLoops) {
      sleep();
      empty = 0;
    }
  }
  publish_book();
}

void Worker::publish_book() {
  published_.publish(floor_.book, used_);
  published_at_ = monotonic_ns();
}

/// Until a packet arrives or somebody wakes us. Completions wake nobody, nor does time: while copies are posted or fragments wait, look
/// again after a millisecond.
void Worker::sleep() {
  ++floor_.book.worker().sleeps;
  publish_book();
  std::array<pollfd, kMaxPorts + 1> waiting{};
  nfds_t count = 0;
  waiting[count++] = {wake_.get(), POLLIN, 0};
  for (const Inlet& inlet : floor_.inlets)
    if (inlet.queue->wait_fd() >= 0 && count < waiting.size()) waiting[count++] = {inlet.queue->wait_fd(), POLLIN, 0};
  bool posted = !floor_.fragments.waiting().empty();
  for (const PortSlot port : floor_.open_outlets) posted |= !floor_.outlets[port].copies->empty();
  doorbell_.asleep(true);
  bool passed = false;  // before the others saw that we sleep
  for (const auto& peer : floor_.peers) passed |= peer && peer->waits();
  reader_.offline();
  if (!passed) poll(waiting.data(), count, posted ? 1 : 1000);
  doorbell_.asleep(false);
  eventfd_t ignored = 0;
  if (waiting[0].revents) eventfd_read(wake_.get(), &ignored);
}

}  // namespace sluice
