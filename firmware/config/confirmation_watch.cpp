#include "config/confirmation_watch.h"

namespace sluice::config {

ConfirmationWatch::ConfirmationWatch(Configuration& configuration) : configuration_(configuration) {
  configuration_.on_unconfirmed([this] {
    const std::lock_guard lock(mutex_);
    look_ = true;
    changed_.notify_all();
  });
  thread_ = std::thread([this] { run(); });
}

ConfirmationWatch::~ConfirmationWatch() {
  configuration_.on_unconfirmed({});
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ConfirmationWatch::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    look_ = false;
    lock.unlock();
    const auto next = configuration_.undo_unconfirmed();
    lock.lock();
    const auto woken = [this] { return look_ || stop_; };
    if (next) changed_.wait_until(lock, *next, woken);
    else changed_.wait(lock, woken);
  }
}

}  // namespace sluice::config
