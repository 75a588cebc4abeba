#include "packet/frame.h"

namespace sluice {

void Burst::keep(uint64_t packets) {
  unsigned kept = 0, kept_rest = 0;
  uint64_t kept_chained = 0;
  for (unsigned i = 0; i < size; ++i) {
    if ((packets >> i & 1) == 0) continue;
    frames[kept] = frames[i];
    lengths[kept] = lengths[i];
    received_ns[kept] = received_ns[i];
    parsed[kept] = parsed[i];
    if (is_chained(i)) {
      const unsigned begin = rest_begin[i], count = rest_count[i];
      rest_begin[kept] = static_cast<uint8_t>(kept_rest);
      rest_count[kept] = static_cast<uint8_t>(count);
      for (unsigned r = 0; r < count; ++r) rest[kept_rest++] = rest[begin + r];
      kept_chained |= uint64_t{1} << kept;
    }
    ++kept;
  }
  size = kept;
  rest_size = kept_rest;
  chained = kept_chained;
}

}  // namespace sluice
