// An AF_XDP socket with its four rings on a UMEM shared by all sockets of the process (kernel Documentation/networking/af_xdp.rst).
// Rings are used through libxdp's accessors; the socket itself is ours, because libxdp's keeps the first socket's fd alive for the
// UMEM's sake, so that its queue could not be bound again after an unplug.
#pragma once

#include <linux/if_xdp.h>
#include <xdp/xsk.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "port/frame_memory.h"

namespace sluice {

/// Which of its rings a socket has.
struct XskRings {
  uint32_t rx = 0;  ///< descriptors, a power of two; 0: does not receive
  uint32_t tx = 0;  ///< 0: does not transmit
  uint32_t fill = 64;
  uint32_t completion = 64;
};

class XskUmem;

class XskSocket {
 public:
  ~XskSocket();
  XskSocket(const XskSocket&) = delete;
  XskSocket& operator=(const XskSocket&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool zero_copy() const { return zero_copy_; }
  /// The kernel's statistics of this socket. Any thread.
  [[nodiscard]] xdp_statistics statistics() const;

  xsk_ring_cons rx{};
  xsk_ring_prod tx{};
  xsk_ring_prod fill{};
  xsk_ring_cons completion{};

 private:
  friend class XskUmem;
  struct Mapping {
    void* address;
    std::size_t size;
  };
  XskSocket() = default;
  Result<void> map_rings(const XskRings& rings);
  Result<void> map_ring(const xdp_ring_offset& offsets, uint32_t entries, std::size_t entry_size, uint64_t page, auto& ring);

  XskUmem* umem_ = nullptr;
  UniqueFd fd_;
  bool zero_copy_ = false;
  std::vector<Mapping> mappings_;
};

/// Control thread only. Must outlive its sockets.
class XskUmem {
 public:
  explicit XskUmem(FrameMemory& memory) : memory_(memory) {}

  [[nodiscard]] FrameMemory& memory() const { return memory_; }

  /// Opens a socket and binds it to a queue. The first one registers the memory; later ones share it through any bound sibling
  /// (never through a closed one: its device may be gone). A device that was just released is EBUSY for some milliseconds:
  /// tried again for at most 200 ms.
  [[nodiscard]] Result<std::unique_ptr<XskSocket>> open(unsigned ifindex, const std::string& netdev, uint32_t queue, const XskRings& rings);

 private:
  friend class XskSocket;
  FrameMemory& memory_;
  std::vector<const XskSocket*> bound_;
};

}  // namespace sluice
