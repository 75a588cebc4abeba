// A frame in memory and a burst of packets in a worker's hands.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "packet/parse.h"

namespace sluice {

/// Packets that a worker takes from a port at once.
inline constexpr unsigned kBurst = 64;

/// One packet's bytes in a frame of the worker's memory. The bytes are immutable once posted to any queue.
struct Frame {
  const std::byte* data = nullptr;  ///< first byte of the Ethernet header
  uint32_t length = 0;              ///< bytes, without FCS
  uint32_t index = 0;               ///< which frame of the frame memory
};

/// What a worker took from one port in one go, and what it found out about it.
struct Burst {
  unsigned size = 0;
  std::array<Frame, kBurst> frames;
  std::array<uint64_t, kBurst> received_ns;  ///< wall clock; 0: unknown
  std::array<Parsed, kBurst> parsed;
};

}  // namespace sluice
