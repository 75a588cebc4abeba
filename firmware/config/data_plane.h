// What a change needs of the data plane. The management daemon implements it over the control socket.
#pragma once

#include "base/result.h"
#include "sluice/v1/config.pb.h"

namespace sluice::config {

class DataPlane {
 public:
  virtual ~DataPlane() = default;
  /// Compiles the configuration and keeps the result ready; all that can fail fails here. dry_run keeps nothing.
  [[nodiscard]] virtual Result<void> prepare(uint64_t revision, const v1::Config& config, bool dry_run) = 0;
  /// Puts what was prepared in force.
  [[nodiscard]] virtual Result<void> publish(uint64_t revision) = 0;
};

}  // namespace sluice::config
