// Ports whose packets are compared with each other.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/dedup/fingerprint.h"
#include "engine/dedup/table.h"

namespace sluice {

inline constexpr uint8_t kNoDomain = 0xFF;

/// What all workers together remember of a domain. It outlives changes of what is compared: other fingerprints are then looked for.
struct DedupMemory {
  explicit DedupMemory(DedupTable made) : table(std::move(made)) {}
  Fingerprints fingerprints;
  DedupTable table;
};

struct DedupDomain {
  Comparison comparison;
  uint64_t window_ns = 0;
  /// Null: nothing is compared. A part of the snapshot that changes, so that a domain and its memory come into force together.
  std::shared_ptr<DedupMemory> memory;
};

}  // namespace sluice
