// What is observed, from the data plane.
#pragma once

#include "base/result.h"
#include "sluice/v1/status.pb.h"

namespace sluice::api {

class Telemetry {
 public:
  virtual ~Telemetry() = default;
  [[nodiscard]] virtual Result<v1::Status> status() = 0;
  [[nodiscard]] virtual Result<v1::Ledger> ledger() = 0;
  [[nodiscard]] virtual Result<v1::Explanation> explain(const v1::Explain& request) = 0;
};

}  // namespace sluice::api
