#include "packet/checksum.h"

#include "base/endian.h"

namespace sluice {

uint32_t checksum_add(std::span<const std::byte> bytes, uint32_t sum) {
  std::size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) sum += read_be16(bytes.data() + i);
  if (i < bytes.size()) sum += static_cast<uint32_t>(bytes[i]) << 8;
  return sum;
}

uint16_t checksum_finish(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xFFFFU) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace sluice
