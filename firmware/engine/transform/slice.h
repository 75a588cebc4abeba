// Slice: of a packet only its beginning goes to the tool. Nothing but a length: no byte is touched.
#pragma once

#include <algorithm>
#include <cstdint>

#include "packet/parse.h"

namespace sluice {

/// What a slice's length is counted from.
enum class Anchor : uint8_t { kFrame, kL3, kL4, kPayload };

struct Slice {
  uint32_t length = 0;  ///< bytes kept behind the anchor; 0: the whole packet
  Anchor after = Anchor::kFrame;
  friend bool operator==(const Slice&, const Slice&) = default;
};

/// Bytes of a packet of `total` bytes that a slice leaves. Anchors are the outer layer set's; a packet without the anchor's layer is
/// left whole, so that nothing is lost that nobody meant.
inline uint32_t sliced_length(const Slice& slice, const Parsed& parsed, uint32_t total) {
  if (slice.length == 0) return total;
  const LayerSet& set = parsed.outer;
  uint32_t begin = 0;
  switch (slice.after) {
    case Anchor::kFrame: break;
    case Anchor::kL3:
      if (set.l3 == L3::kNone) return total;
      begin = set.l3_offset;
      break;
    case Anchor::kL4:
      if (set.l4 == L4::kNone) return total;
      begin = set.l4_offset;
      break;
    case Anchor::kPayload: begin = set.payload_offset; break;
  }
  return std::min(total, begin + slice.length);
}

}  // namespace sluice
