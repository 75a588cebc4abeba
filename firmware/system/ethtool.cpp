#include "system/ethtool.h"

#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace sluice::system {

int ethtool(const std::string& netdev, void* data) {
  // Any socket takes it: a Unix one, as nobody here may have one of the Internet.
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, netdev.c_str(), IFNAMSIZ - 1);
  request.ifr_data = static_cast<char*>(data);
  return ioctl(fd.get(), SIOCETHTOOL, &request) == 0 ? 0 : errno;
}

}  // namespace sluice::system
