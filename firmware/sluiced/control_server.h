// The control socket: one request, one reply, in order, from a peer that the kernel vouches for.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "sluiced/appliance.h"

namespace sluice {

class ControlServer {
 public:
  /// allowed_uid: whose management daemon may connect, besides root's.
  [[nodiscard]] static Result<ControlServer> listen(const std::string& path, uint32_t allowed_uid, Appliance& appliance);

  /// Serves until a signal sets `stop`. Also the daemon's housekeeping.
  void serve(const volatile bool& stop);

 private:
  ControlServer(UniqueFd listener, UniqueFd links, uint32_t allowed_uid, Appliance& appliance)
      : listener_(std::move(listener)), links_(std::move(links)), allowed_uid_(allowed_uid), appliance_(appliance) {}
  void accept_peer();
  /// False: the peer is gone or talks nonsense.
  bool answer(int fd);

  UniqueFd listener_;
  UniqueFd links_;
  uint32_t allowed_uid_;
  Appliance& appliance_;
  std::vector<UniqueFd> peers_;
};

}  // namespace sluice
