// What a change needs of the data plane. The management daemon implements it over the control socket.
#pragma once

#include <string>

#include "base/result.h"
#include "sluice/v1/status.pb.h"

namespace sluice::config {

/// What a preparation is for.
enum class Purpose {
  kTry,     ///< a dry run: nothing is kept
  kChange,  ///< about to be committed: all that can fail fails here
  kResume,  ///< committed before: what a device cannot do today is that port's fault, and refuses nothing
};

class DataPlane {
 public:
  virtual ~DataPlane() = default;
  /// Compiles the configuration, references by id, and keeps the result ready. config: bytes_of() it. Returns what it takes of the data
  /// plane, and warnings. Any thread, one at a time.
  [[nodiscard]] virtual Result<v1::Prepared> prepare(uint64_t revision, const std::string& config, Purpose purpose) = 0;
  /// Puts what was prepared in force.
  [[nodiscard]] virtual Result<void> publish(uint64_t revision) = 0;
};

}  // namespace sluice::config
