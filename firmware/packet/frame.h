// A frame in memory, and a burst of packets in a worker's hands.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "packet/parse.h"

namespace sluice {

/// Packets that a worker takes from a port at once; frames too, so that a burst's packets are fewer where some have several.
inline constexpr unsigned kBurst = 64;
/// Frames that one packet may have: what the kernel's copy mode takes (17 fragments and the head).
inline constexpr unsigned kMaxChain = 18;

/// Bytes of a packet in a frame of the workers' memory: all of it, or one stretch of a longer one. Immutable once posted to any queue.
struct Frame {
  const std::byte* data = nullptr;  ///< first byte
  uint32_t length = 0;              ///< bytes here, without FCS
  uint32_t index = 0;               ///< which frame of the frame memory
};

/// What a worker took from one port in one go, and what it found out about it. Packet i is frames[i], followed by rest_of(i) where it did
/// not fit into one frame.
struct Burst {
  unsigned size = 0;
  unsigned rest_size = 0;
  uint64_t chained = 0;  ///< bit i: packet i has further frames
  std::array<Frame, kBurst> frames;
  std::array<uint32_t, kBurst> lengths;      ///< bytes of the whole packet
  std::array<uint64_t, kBurst> received_ns;  ///< wall clock; 0: unknown
  std::array<Parsed, kBurst> parsed;
  std::array<uint8_t, kBurst> rest_begin;  ///< valid where chained
  std::array<uint8_t, kBurst> rest_count;
  std::array<Frame, kBurst + kMaxChain> rest;

  /// One bit for each packet.
  [[nodiscard]] uint64_t all() const { return size == kBurst ? ~uint64_t{0} : (uint64_t{1} << size) - 1; }
  [[nodiscard]] bool is_chained(unsigned i) const { return (chained >> i & 1) != 0; }
  /// The frames behind the first one.
  [[nodiscard]] std::span<const Frame> rest_of(unsigned i) const {
    if (!is_chained(i)) return {};
    return {&rest[rest_begin[i]], rest_count[i]};
  }
  /// Leaves these packets, a bit each, in their order.
  void keep(uint64_t packets);
  void clear() { size = rest_size = 0, chained = 0; }
  /// Adds a packet of one frame. Requires size < kBurst.
  void add(const Frame& frame, uint64_t ns) {
    frames[size] = frame;
    lengths[size] = frame.length;
    received_ns[size] = ns;
    ++size;
  }
  /// Adds a packet of several frames. Requires size < kBurst and room in rest.
  void add(std::span<const Frame> chain, uint64_t ns) {
    add(chain.front(), ns);
    if (chain.size() == 1) return;
    const unsigned i = size - 1;
    chained |= uint64_t{1} << i;
    rest_begin[i] = static_cast<uint8_t>(rest_size);
    rest_count[i] = static_cast<uint8_t>(chain.size() - 1);
    for (const Frame& frame : chain.subspan(1)) {
      rest[rest_size++] = frame;
      lengths[i] += frame.length;
    }
  }
};

}  // namespace sluice
