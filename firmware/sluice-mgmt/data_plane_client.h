// The management daemon's end of the control socket: keeps the connection up, and tells when the data plane is back.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "api/telemetry.h"
#include "base/unique_fd.h"
#include "config/data_plane.h"
#include "sluice/v1/control.pb.h"

namespace sluice {

/// Any thread; requests go one after the other.
class DataPlaneClient final : public config::DataPlane, public api::Telemetry {
 public:
  explicit DataPlaneClient(std::string path) : path_(std::move(path)) {}
  ~DataPlaneClient() override { stop(); }

  /// Ends the connection and the thread; no callback runs any more when it returns.
  void stop();

  /// Begins to connect. `connected` is called on a thread of this class whenever the data plane is there anew; it may make requests.
  void start(std::function<void()> connected);

  Result<v1::Prepared> prepare(uint64_t revision, const std::string& config, config::Purpose purpose) override;
  Result<void> publish(uint64_t revision) override;
  Result<v1::Status> status() override;
  Result<v1::Ledger> ledger() override;
  Result<v1::Explanation> explain(const v1::Explain& request) override;
  Result<void> start_measurement(const v1::Config& config) override;
  Result<v1::Measurement> end_measurement() override;
  Result<void> start_survey() override;
  Result<v1::DedupAdvice> end_survey() override;
  Result<void> take_out(const std::string& group, const std::string& port, uint32_t milliseconds) override;
  Result<void> report_health(const v1::ReportHealth& report) override;
  Result<void> identify(const std::string& device, uint32_t seconds) override;

 private:
  Result<v1::ControlReply> ask(const v1::ControlRequest& request);
  void keep_connected();

  std::string path_;
  std::function<void()> connected_;
  std::mutex mutex_;
  std::condition_variable changed_;
  UniqueFd socket_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace sluice
