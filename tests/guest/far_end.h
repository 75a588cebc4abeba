// The other end of a cable: what is sent into it and what came out of it, by packet sockets of the kernel's own stack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace guest {

/// Of our numbered frames, and of those that only try whether a way is open: IEEE 802's numbers for local experiments.
constexpr uint16_t kEtherType = 0x88B5;
constexpr uint16_t kProbeType = 0x88B6;

class FarEnd {
 public:
  explicit FarEnd(const std::string& device);

  /// False while the device takes no more.
  bool send(std::span<const std::byte> frame);
  /// The next frame in order of arrival; empty while none is there. Valid until the next call.
  std::span<const std::byte> receive();
  /// Frames that the socket had no room for: then it is no evidence.
  [[nodiscard]] uint32_t lost();

 private:
  sluice::UniqueFd fd_;
  std::vector<std::byte> buffer_;
};

}  // namespace guest
