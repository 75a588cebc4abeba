// The data plane as a whole: workers, front panel, the compiled revision in force and the one that is prepared. What the control socket
// asks for, this does. Control thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "compile/compile.h"
#include "engine/publish.h"
#include "engine/worker.h"
#include "sluice/v1/control.pb.h"
#include "sluice/v1/status.pb.h"
#include "sluiced/balance_watch.h"
#include "sluiced/liveness.h"
#include "sluiced/panel.h"

namespace sluice {

struct ApplianceOptions {
  uint32_t workers = 1;
  uint32_t frames_per_worker = 65536;
  std::size_t dedup_memory = std::size_t{64} << 20;  ///< bytes for all deduplication domains together
  std::vector<int> cpus;              ///< one a worker; empty: not pinned
  std::vector<std::string> reserved;  ///< MAC and PCI addresses of devices that are no ports
};

class Appliance {
 public:
  explicit Appliance(const ApplianceOptions& options);
  ~Appliance();

  /// Compiles; keeps the result for publish() unless dry_run. Nothing in force changes.
  /// A committed one: what today's devices cannot do is left to Status.
  [[nodiscard]] Result<v1::Prepared> prepare(const v1::Prepare& request);
  /// Puts the prepared revision in force: ports that it needs are opened first, those that it no longer needs closed last.
  [[nodiscard]] Result<void> publish(uint64_t revision);

  [[nodiscard]] v1::Status status();
  [[nodiscard]] v1::Ledger ledger();
  /// What would happen to this packet on this port (by name or id), by the pipeline itself; nothing is sent or counted.
  [[nodiscard]] Result<v1::Explanation> explain(const v1::Explain& request) const;

  /// Counts what the only map of this configuration would pass, until end_measurement() or some seconds longer than that may take. Ends
  /// the one that runs.
  [[nodiscard]] Result<void> start_measurement(const v1::Config& config);
  /// Errors: kConflict if none runs.
  [[nodiscard]] Result<v1::Measurement> end_measurement();

  /// Looks for packets that come more than once, until end_survey(), some seconds longer than that may take, or a revision with other network ports is in force.
  /// Ends the one that runs.
  void start_survey();
  /// Status has it from then on. Errors: kConflict if none runs.
  [[nodiscard]] Result<v1::DedupAdvice> end_survey();

  /// A member of a tool group is as if it had failed, for so long. Errors: there is none such.
  [[nodiscard]] Result<void> take_out(const v1::TakeOut& request);

  /// What a tool says of itself.
  void report_health(const v1::ReportHealth& request);

  /// Makes the light of a device blink, by its MAC or PCI address.
  [[nodiscard]] Result<void> identify(const std::string& device, uint32_t seconds) const;

  /// Housekeeping, fifty times a second: members of tool groups that lost their link (of some the kernel tells only after a second), devices
  /// that came or went, accounts of what is no longer configured. Tells the service manager that this daemon is alive, once every worker has
  /// come round: one that hangs keeps the control thread here. managed: the management daemon is there.
  void tick(bool managed);
  void links_changed() { reconcile_wanted_ = true; }

 private:
  void connect_workers();
  void fold_retired();
  void follow_links();
  [[nodiscard]] Liveness::Fault faults(const compile::Plan& plan, const std::vector<system::Link>& links) const;
  void stop_measuring();
  void stop_surveying();
  std::vector<std::unique_ptr<FlowCensus>> change_censuses(bool any);
  void look_at_balance(uint64_t now);
  [[nodiscard]] std::vector<AccountBook> read_books() const;
  std::map<std::string, uint64_t> idle_seconds(const std::map<std::string, uint64_t>& received);

  ApplianceOptions options_;
  FrameLayout layout_;
  FrameMemory memory_;
  std::vector<std::unique_ptr<Lane>> lanes_;  ///< [from][to], null from one to itself
  SnapshotPublisher publisher_;
  std::vector<std::unique_ptr<Worker>> workers_;
  Panel panel_;
  Liveness liveness_;
  ToolWords words_;
  BalanceWatch balance_;
  std::vector<std::unique_ptr<FlowCensus>> censuses_;  ///< by worker; empty: there is no group
  uint64_t censuses_begun_ns_ = 0;
  uint64_t heard_ns_ = 0;  ///< monotonic: until then whatever tools said has been heard
  compile::Compiler compiler_;
  std::optional<compile::Compiled> prepared_;
  compile::Shares prepared_shares_;
  compile::Plan plan_;      ///< in force
  compile::Shares shares_;  ///< in force
  struct Measuring {
    compile::Compiled candidate;
    std::vector<Measurement> workers;
    uint64_t begin_ns;
  };
  std::unique_ptr<Measuring> measuring_;
  struct Surveying {
    explicit Surveying(unsigned count) : survey(count) {
      workers.reserve(count);
      for (unsigned w = 0; w < count; ++w) workers.emplace_back(survey);
    }
    DedupSurvey survey;
    std::vector<DedupSurveyor> workers;
    uint64_t begin_ns = 0;
  };
  std::unique_ptr<Surveying> surveying_;
  v1::DedupAdvice advice_;        ///< of the last survey
  uint64_t advice_ended_ns_ = 0;  ///< monotonic; 0: there was none
  bool retired_pending_ = false;
  bool reconcile_wanted_ = false;
  struct Heard {
    uint64_t packets, at_ns;
  };
  std::map<std::string, Heard> heard_;  ///< of ports that receive, by id
  uint64_t next_second_ns_ = 0;  ///< monotonic
  uint64_t started_ns_;
  uint64_t epoch_ns_;
};

}  // namespace sluice
