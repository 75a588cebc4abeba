// Live data: what changes, as server-sent events (WHATWG HTML, section 9.2), once a second, to whoever listens.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "api/http.h"
#include "api/telemetry.h"
#include "config/transaction.h"
#include "sluice/v1/api.pb.h"

namespace sluice::api {

/// Looks once a second on a thread of its own. The other functions: any thread.
class Events {
 public:
  Events(config::Configuration& configuration, Telemetry& telemetry);
  ~Events();

  /// Goes on until `may_listen` says no, asked before every part. A request with Last-Event-ID goes on behind that event.
  /// Errors: kTooMany listeners, of this user or of all.
  [[nodiscard]] Result<std::shared_ptr<Stream>> listen(const Request& request, std::function<bool()> may_listen);

  static constexpr unsigned kMostListeners = 64, kMostOfOneUser = 16;
  /// Of what a client has missed, so much at once.
  static constexpr std::size_t kMostAtOnce = 256U << 10;
  /// What a client that was away can still have: no more events than these, nor bytes.
  static constexpr std::size_t kMostKept = 600, kMostKeptBytes = 8U << 20;

 private:
  class Listener;
  struct Event {
    uint64_t number;
    std::string name;
    std::string text;  ///< as it is sent
  };

  void look();
  void look_at_health(const Result<v1::Status>& status);
  void look_at_rates();
  void look_at_revisions();
  void tell(const std::string& name, const google::protobuf::Message& message);
  [[nodiscard]] std::string anew(const std::string& last_event_id) const;
  /// Whether events behind this one are forgotten already.
  [[nodiscard]] bool is_behind(uint64_t seen) const { return !kept_.empty() && seen + 1 < kept_.front().number; }
  [[nodiscard]] std::string id(uint64_t number) const { return epoch_ + "-" + std::to_string(number); }

  config::Configuration& configuration_;
  Telemetry& telemetry_;
  const std::string epoch_;  ///< numbers of another life of this daemon mean nothing

  // The looking thread's own.
  v1::Ledger ledger_;
  uint64_t ledger_ns_ = 0;  ///< monotonic; 0: there is none to compare with
  std::string health_, ports_;
  uint64_t revision_ = 0;                      ///< newest that was told
  std::map<uint64_t, std::string> unsettled_;  ///< revisions that wait for a confirmation, and their state as told

  std::mutex mutex_;  ///< guards what follows
  std::condition_variable ending_;
  bool end_ = false;
  std::deque<Event> kept_;
  std::size_t kept_bytes_ = 0;
  uint64_t number_ = 0;  ///< of the newest event
  std::map<std::string, Event> latest_;
  std::map<std::string, unsigned> listeners_;  ///< by user
  std::thread thread_;                         ///< last: starts when all else is there
};

}  // namespace sluice::api
