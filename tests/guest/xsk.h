// The least of AF_XDP that the guest's programs need: one memory, sockets on it, a program that redirects to them. Multi-buffer packets
// (kernel Documentation/networking/af_xdp.rst) included. Errors are thrown as std::system_error.
#pragma once

#include <linux/if_xdp.h>
#include <xdp/xsk.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"

// Debian 12's headers are older.
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

namespace guest {

constexpr uint32_t kChunkShift = 11;
constexpr uint32_t kChunk = 1U << kChunkShift;
constexpr uint32_t kRing = 512;

class Memory {
 public:
  explicit Memory(uint32_t chunks);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] std::size_t size() const { return std::size_t{chunks_} << kChunkShift; }
  [[nodiscard]] uint32_t chunks() const { return chunks_; }

 private:
  uint32_t chunks_;
  std::byte* base_;
};

/// A part of a packet: an offset into the memory and a length.
struct Fragment {
  uint64_t address;
  uint32_t length;
};

class Xsk {
 public:
  /// The first socket on a memory passes the flags of its bind; later ones pass a bound sibling and have its mode.
  Xsk(Memory& memory, const std::string& device, uint16_t flags, const Xsk* sibling);
  ~Xsk();
  Xsk(const Xsk&) = delete;
  Xsk& operator=(const Xsk&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool zero_copy() const { return zero_copy_; }

  /// Gives the kernel chunks to receive into; returns how many it took.
  uint32_t fill(std::span<const uint64_t> addresses);
  /// One whole packet; false while none is there.
  bool receive(std::vector<Fragment>& packet);
  [[nodiscard]] uint32_t tx_room();
  /// Posts one packet; there must be room.
  void post(std::span<const Fragment> packet);
  /// Addresses whose sending is complete.
  uint32_t completed(std::span<uint64_t> addresses);
  /// Wakes the kernel where it asked for it.
  void kick();

 private:
  void map(const xdp_ring_offset& offsets, std::size_t entry_size, uint64_t page, auto& ring);
  struct Mapping {
    void* address;
    std::size_t size;
  };

  sluice::UniqueFd fd_;
  std::vector<Mapping> mappings_;
  bool zero_copy_ = false;
  xsk_ring_cons rx_{};
  xsk_ring_prod tx_{};
  xsk_ring_prod fill_{};
  xsk_ring_cons completion_{};
};

/// An XDP program, attached natively, that gives what queue 0 of a device receives to a socket. Attached before the socket is bound,
/// detached before it is closed.
class Redirect {
 public:
  /// fragments: the program declares that it can do with packets longer than one buffer.
  Redirect(const std::string& device, bool fragments);
  void direct(const Xsk& socket);

 private:
  sluice::UniqueFd map_;
  sluice::UniqueFd program_;
  sluice::UniqueFd link_;
};

}  // namespace guest
