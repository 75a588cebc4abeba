// An AF_XDP socket with its four rings on a UMEM shared by all sockets of its memory class (kernel Documentation/networking/af_xdp.rst).
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

// Debian 12's kernel headers (6.1) are older than these.
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)  // Linux 6.6
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)  // Linux 6.6
#endif

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
  /// What the kernel says of the bound socket, not what was asked for.
  [[nodiscard]] bool zero_copy() const { return zero_copy_; }
  /// The kernel's statistics of this socket. Any thread.
  [[nodiscard]] xdp_statistics statistics() const;
  /// Has the kernel poll the device in our own calls instead of by interrupt (kernel Documentation/networking/napi.rst). False where it
  /// can't.
  bool busy_poll(uint32_t budget);

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

/// One memory class's stretch of the frame memory, registered when its first socket opens. Control thread only. Must outlive its sockets.
class XskUmem {
 public:
  /// The frames [first, first + chunks).
  XskUmem(FrameMemory& memory, uint32_t first, uint32_t chunks, MemoryClass memory_class)
      : memory_(memory), first_(first), chunks_(chunks), class_(memory_class) {}

  /// Opens a socket and binds it to a queue. The first one registers the memory and names the class's mode, with no falling back; later
  /// ones share it through any bound sibling (never through a closed one: its device may be gone). A device that was just released is
  /// EBUSY for some milliseconds: tried again for at most 200 ms.
  [[nodiscard]] Result<std::unique_ptr<XskSocket>> open(unsigned ifindex, const std::string& netdev, uint32_t queue, const XskRings& rings);

  [[nodiscard]] MemoryClass memory_class() const { return class_; }
  /// First byte of the stretch: descriptors' addresses count from here.
  [[nodiscard]] const std::byte* base() const { return memory_.chunk(first_); }
  [[nodiscard]] uint32_t first() const { return first_; }

 private:
  friend class XskSocket;
  FrameMemory& memory_;
  uint32_t first_;
  uint32_t chunks_;
  MemoryClass class_;
  std::vector<const XskSocket*> bound_;
};

}  // namespace sluice
