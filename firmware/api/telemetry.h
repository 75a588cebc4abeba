// What is asked of the data plane: by DataPlaneClient (sluice-mgmt), or a fake of a test.
#pragma once

#include "base/result.h"
#include "sluice/v1/config.pb.h"
#include "sluice/v1/control.pb.h"
#include "sluice/v1/status.pb.h"

namespace sluice::api {

class Telemetry {
 public:
  virtual ~Telemetry() = default;
  [[nodiscard]] virtual Result<v1::Status> status() = 0;
  [[nodiscard]] virtual Result<v1::Ledger> ledger() = 0;
  [[nodiscard]] virtual Result<v1::Explanation> explain(const v1::Explain& request) = 0;
  /// Counts what the only map of this configuration, references by id, would pass.
  [[nodiscard]] virtual Result<void> start_measurement(const v1::Config& config) = 0;
  [[nodiscard]] virtual Result<v1::Measurement> end_measurement() = 0;
  /// Looks for packets that come more than once.
  [[nodiscard]] virtual Result<void> start_survey() = 0;
  [[nodiscard]] virtual Result<v1::DedupAdvice> end_survey() = 0;
  /// A member of a tool group, by the group's id and the port's name, is out for so long, as if it had failed; 0: it is back.
  [[nodiscard]] virtual Result<void> take_out(const std::string& group, const std::string& port, uint32_t milliseconds) = 0;
  /// What the tool behind a port says of itself.
  [[nodiscard]] virtual Result<void> report_health(const v1::ReportHealth& report) = 0;
  /// Makes the light of a device blink, by its MAC or PCI address.
  [[nodiscard]] virtual Result<void> identify(const std::string& device, uint32_t seconds) = 0;
};

}  // namespace sluice::api
