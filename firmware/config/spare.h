// A copy of a configuration that costs, of its maps, what differs: a configuration that nobody uses any more is made the same as the one to be
// copied. Of 16,384 rules a copy is hundreds of thousands of small parts, which takes longer than to compile them.
#pragma once

#include <memory>

#include "config/changed_rules.h"

namespace sluice::config {

/// Of one owner; what it shares may be let go of on any thread.
class Spares {
 public:
  /// Shared by whoever reads it.
  [[nodiscard]] std::shared_ptr<const v1::Config> share(v1::Config config);
  /// What share() gave, to be changed, if nobody else has it; null: somebody has.
  [[nodiscard]] std::unique_ptr<v1::Config> take_back(std::shared_ptr<const v1::Config> config);

 private:
  struct Returns;
  std::shared_ptr<Returns> returns_;  ///< null: nothing was shared yet
};

/// Makes `out` equal to `wanted`. was, is: the bytes of their maps.
void make_equal(v1::Config& out, const MapBytes& was, const v1::Config& wanted, const MapBytes& is);

}  // namespace sluice::config
