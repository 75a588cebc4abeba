// The console's page, made anew from what is on the machine at this moment.
#pragma once

#include <string>

namespace sluice {

struct ConsolePaths {
  std::string state = "/var/lib/sluice";    ///< the management daemon's: certificate, first-login secret
  std::string setup = "/run/sluice-setup";  ///< what sluice-setup found
  std::string network = "/run/systemd/network";
};

/// Lines that end in "\r\n". Reads files and the devices' addresses; what is not there yet is said to be so.
[[nodiscard]] std::string console_page(const ConsolePaths& paths);

}  // namespace sluice
