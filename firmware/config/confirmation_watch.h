// Undoes, in time, what nobody confirmed.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "config/transaction.h"

namespace sluice::config {

/// A thread of its own, for as long as this lives; the configuration must outlive it.
class ConfirmationWatch {
 public:
  explicit ConfirmationWatch(Configuration& configuration);
  ~ConfirmationWatch();

 private:
  void run();

  Configuration& configuration_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool look_ = true;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace sluice::config
