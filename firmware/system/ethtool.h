// The ethtool ioctl.
#pragma once

#include <string>

namespace sluice::system {

/// 0, or the errno. The old interface: enough for what is asked here, and on every kernel.
[[nodiscard]] int ethtool(const std::string& netdev, void* data);

}  // namespace sluice::system
