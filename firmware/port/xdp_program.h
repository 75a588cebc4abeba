// Our XDP program on one network device, and the silence on its way out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

struct bpf_object;

namespace sluice {

/// Attached natively through a bpf_link pinned below /sys/fs/bpf/sluice: when the daemon dies, the program stays and drops, so that
/// the host's stack never sees mirrored traffic. The next daemon takes the pinned maps and the link over. Control thread only.
class XdpProgram {
 public:
  /// Where the kernel cannot attach natively, the generic hook is used and native() is false. multi_buffer: packets of several buffers
  /// come too; drivers that have none of them refuse.
  [[nodiscard]] static Result<std::unique_ptr<XdpProgram>> attach(unsigned ifindex, const std::string& netdev, bool multi_buffer);
  ~XdpProgram();

  /// From now on the queue's frames go to this AF_XDP socket (until the socket closes).
  [[nodiscard]] Result<void> direct(uint32_t queue, int socket_fd);
  /// No more frames for this queue's socket: what arrives is a miss.
  void undirect(uint32_t queue);
  /// Frames that met no socket since this program was attached, and before that (an earlier daemon's time, the gap included).
  [[nodiscard]] uint64_t misses() const;
  [[nodiscard]] uint64_t misses_before() const { return misses_before_; }
  /// False where the pin could not be made: then a crash lets the host's stack see the traffic.
  [[nodiscard]] bool survives_crash() const { return pinned_; }
  [[nodiscard]] bool native() const { return native_; }
  [[nodiscard]] unsigned ifindex() const { return ifindex_; }
  [[nodiscard]] bool multi_buffer() const { return multi_buffer_; }
  /// The port is not ours any more: takes the program and its pins away.
  void detach();

 private:
  XdpProgram() = default;
  [[nodiscard]] uint64_t read_misses() const;

  bpf_object* object_ = nullptr;
  std::string pin_directory_;
  unsigned ifindex_ = 0;
  int link_fd_ = -1;
  uint64_t misses_before_ = 0;
  bool pinned_ = false;
  bool native_ = true;
  bool multi_buffer_ = false;
};

}  // namespace sluice
