#include "engine/measurement.h"

namespace sluice {

void Measurement::look_at(const Burst& burst, PortSlot port) {
  if (!classifier_.maps().front().ports[port]) return;
  classifier_.classify(burst, port, verdicts_);
  for (unsigned i = 0; i < burst.size; ++i) {
    const Tally packet{1, burst.lengths[i]};
    received += packet;
    for (uint32_t v = verdicts_.begin[i]; v < verdicts_.begin[i + 1]; ++v) {
      const Verdict& verdict = verdicts_.verdicts[v];
      if (verdict.rule != kNoRule) hits[verdict.rule] += packet;
      if (!verdict.pass) continue;
      passed += packet;
      if (verdict.rule == kNoRule) passed_by_default += packet;
    }
  }
}

}  // namespace sluice
