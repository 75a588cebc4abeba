// What a systemd service says to and gets from its manager. Without a manager (the lab) nothing is said and nothing is there.
#pragma once

#include <cstdint>
#include <optional>

#include "base/unique_fd.h"

namespace sluice::system {

/// This service is up: units that are ordered after it may start.
void notify_ready();
/// This service still does its work. Call it more often than watchdog_ns(), and only while that is true: who stays silent is killed and
/// started anew.
void notify_alive();
/// Nanoseconds after which the manager gives up on a silent service; absent: nobody watches.
[[nodiscard]] std::optional<uint64_t> watchdog_ns();
/// The listening socket that the manager opened for us (socket activation), if it did. Call once.
[[nodiscard]] std::optional<UniqueFd> activated_socket();

}  // namespace sluice::system
