#include "port/xsk_socket.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/clock.h"

#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9  // Linux 6.17; Debian 12's headers are older
#endif

namespace sluice {
namespace {

Error failed(const std::string& what, int error) { return {ErrorCode::kUnreachable, "", what + ": " + std::strerror(error)}; }

template <class T>
bool set_option(int fd, int option, const T& value) {
  return setsockopt(fd, SOL_XDP, option, &value, sizeof value) == 0;
}

}  // namespace

XskSocket::~XskSocket() {
  fd_.reset();
  for (const auto& m : mappings_) munmap(m.address, m.size);
  if (umem_) std::erase(umem_->bound_, this);
}

bool XskSocket::busy_poll(uint32_t budget) {
  constexpr int kPrefer = 69, kMicroseconds = 46, kBudget = 70;  // SO_PREFER_BUSY_POLL, SO_BUSY_POLL, SO_BUSY_POLL_BUDGET
  const auto set = [this](int option, int value) { return setsockopt(fd_.get(), SOL_SOCKET, option, &value, sizeof value) == 0; };
  return set(kPrefer, 1) && set(kMicroseconds, 20) && set(kBudget, static_cast<int>(budget));
}

xdp_statistics XskSocket::statistics() const {
  xdp_statistics s{};
  socklen_t size = sizeof s;
  getsockopt(fd_.get(), SOL_XDP, XDP_STATISTICS, &s, &size);
  return s;
}

Result<void> XskSocket::map_ring(const xdp_ring_offset& offsets, uint32_t entries, std::size_t entry_size, uint64_t page, auto& ring) {
  const std::size_t size = offsets.desc + entries * entry_size;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), static_cast<off_t>(page));
  if (memory == MAP_FAILED) return failed("mapping an AF_XDP ring", errno);
  mappings_.push_back({memory, size});
  auto* base = static_cast<std::byte*>(memory);
  ring.mask = entries - 1;
  ring.size = entries;
  ring.producer = reinterpret_cast<uint32_t*>(base + offsets.producer);
  ring.consumer = reinterpret_cast<uint32_t*>(base + offsets.consumer);
  ring.flags = reinterpret_cast<uint32_t*>(base + offsets.flags);
  ring.ring = base + offsets.desc;
  ring.cached_prod = *ring.producer;
  ring.cached_cons = *ring.consumer;
  // libxdp keeps a producer's cached consumer one ring ahead, so that "free" is one subtraction.
  if constexpr (std::is_same_v<std::remove_reference_t<decltype(ring)>, xsk_ring_prod>) ring.cached_cons += entries;
  return {};
}

Result<void> XskSocket::map_rings(const XskRings& rings) {
  const int fd = fd_.get();
  if (!set_option(fd, XDP_UMEM_FILL_RING, rings.fill)) return failed("XDP_UMEM_FILL_RING", errno);
  if (!set_option(fd, XDP_UMEM_COMPLETION_RING, rings.completion)) return failed("XDP_UMEM_COMPLETION_RING", errno);
  if (rings.rx && !set_option(fd, XDP_RX_RING, rings.rx)) return failed("XDP_RX_RING", errno);
  if (rings.tx && !set_option(fd, XDP_TX_RING, rings.tx)) return failed("XDP_TX_RING", errno);
  xdp_mmap_offsets offsets{};
  socklen_t size = sizeof offsets;
  if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) != 0) return failed("XDP_MMAP_OFFSETS", errno);
  if (auto r = map_ring(offsets.fr, rings.fill, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING, fill); !r) return r;
  if (auto r = map_ring(offsets.cr, rings.completion, sizeof(uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING, completion); !r) return r;
  if (rings.rx)
    if (auto r = map_ring(offsets.rx, rings.rx, sizeof(xdp_desc), XDP_PGOFF_RX_RING, rx); !r) return r;
  if (rings.tx)
    if (auto r = map_ring(offsets.tx, rings.tx, sizeof(xdp_desc), XDP_PGOFF_TX_RING, tx); !r) return r;
  // Copy mode moves 32 descriptors a call unless told otherwise; older kernels don't know the option and keep 32.
  set_option(fd, XDP_MAX_TX_SKB_BUDGET, std::max(rings.tx, 32U));
  return {};
}

Result<std::unique_ptr<XskSocket>> XskUmem::open(unsigned ifindex, const std::string& netdev, uint32_t queue, const XskRings& rings) {
  const std::string where = netdev + " queue " + std::to_string(queue);
  auto socket = std::unique_ptr<XskSocket>(new XskSocket);
  socket->fd_.reset(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket->fd_) return failed("opening an AF_XDP socket for " + where, errno);
  if (bound_.empty()) {
    const xdp_umem_reg reg{.addr = reinterpret_cast<uint64_t>(memory_.chunk(first_)),
                           .len = chunks_ * memory_.chunk_size(),
                           .chunk_size = static_cast<uint32_t>(memory_.chunk_size()),
                           .headroom = 0,
                           .flags = 0};
    if (!set_option(socket->fd(), XDP_UMEM_REG, reg)) return failed("registering the frame memory", errno);
  }
  if (auto r = socket->map_rings(rings); !r) return Error{r.error().code, "", where + ": " + r.error().message};

  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = ifindex;
  address.sxdp_queue_id = queue;
  if (bound_.empty()) {
    const unsigned mode = is_zero_copy(class_) ? XDP_ZEROCOPY : XDP_COPY;
    address.sxdp_flags = static_cast<uint16_t>(XDP_USE_NEED_WAKEUP | mode | (is_multi_buffer(class_) ? XDP_USE_SG : 0));
  } else {
    address.sxdp_flags = XDP_SHARED_UMEM;
    address.sxdp_shared_umem_fd = static_cast<uint32_t>(bound_.front()->fd());
  }
  const uint64_t give_up = monotonic_ns() + 200'000'000;
  while (bind(socket->fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (errno != EBUSY || monotonic_ns() > give_up) return failed("binding an AF_XDP socket to " + where, errno);
    std::this_thread::yield();
  }
  xdp_options options{};
  socklen_t size = sizeof options;
  if (getsockopt(socket->fd(), SOL_XDP, XDP_OPTIONS, &options, &size) == 0)
    socket->zero_copy_ = (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  socket->umem_ = this;
  bound_.push_back(socket.get());
  return socket;
}

}  // namespace sluice
