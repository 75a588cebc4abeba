// What a device's driver says of its XDP (generic netlink, family "netdev"; Linux 6.3).
#pragma once

#include <cstdint>
#include <optional>

namespace sluice::system {

/// NETDEV_A_DEV_XDP_FEATURES of include/uapi/linux/netdev.h, which Debian 12 does not have.
inline constexpr uint64_t kXdpZeroCopy = 1U << 3;
inline constexpr uint64_t kXdpReceivesSeveralBuffers = 1U << 5;

/// The features, or nothing where the kernel or the driver does not tell.
[[nodiscard]] std::optional<uint64_t> xdp_features(unsigned ifindex);

}  // namespace sluice::system
