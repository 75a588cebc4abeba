#include "system/service.h"

#include <systemd/sd-daemon.h>

namespace sluice::system {

void notify_ready() { sd_notify(0, "READY=1"); }

void notify_alive() { sd_notify(0, "WATCHDOG=1"); }

std::optional<uint64_t> watchdog_ns() {
  uint64_t microseconds = 0;
  if (sd_watchdog_enabled(0, &microseconds) <= 0) return std::nullopt;
  return microseconds * 1000;
}

std::optional<UniqueFd> activated_socket() {
  if (sd_listen_fds(1) < 1) return std::nullopt;
  return UniqueFd(SD_LISTEN_FDS_START);
}

}  // namespace sluice::system
