// What a map that is not in force would pass: counted beside the pipeline, on the packets that it works on.
#pragma once

#include <vector>

#include "engine/classify/classifier.h"
#include "engine/counters.h"

namespace sluice {

/// One worker's. Worker thread; it is given to a floor and taken from it between bursts.
class Measurement {
 public:
  /// classifier: of one map, which outlives this. rules: positions that its rules have.
  Measurement(const Classifier& classifier, std::size_t rules, uint32_t worker) : hits(rules), classifier_(classifier), verdicts_(1) {
    verdicts_.seen.thread = worker + 1;
  }

  /// The burst, which `port` received.
  void look_at(const Burst& burst, PortSlot port);

  [[nodiscard]] bool asks_upper_layer() const { return classifier_.asks_upper_layer(); }

  Tally received;  ///< by the map's source ports
  Tally passed;
  Tally passed_by_default;
  std::vector<Tally> hits;  ///< by position of the rule

 private:
  const Classifier& classifier_;
  VerdictBuffer verdicts_;
};

}  // namespace sluice
