#include "port/xsk_probe.h"

#include <linux/if_xdp.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "port/xsk_socket.h"

namespace sluice {
namespace {

struct Attempt {
  bool reached_bind;  ///< false: it failed before, for want of memory or descriptors, and says nothing about the queue
  int error;          ///< errno; 0: bound
};

/// Binds a socket on a UMEM of its own to the queue and lets go of it again.
Attempt try_bind(unsigned ifindex, uint32_t queue, unsigned flags) {
  constexpr std::size_t kChunk = 2048, kSize = 64 * kChunk;
  constexpr int kRing = 64;
  void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return {false, ENOMEM};
  Attempt attempt{false, 0};
  {
    const UniqueFd fd(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    const xdp_umem_reg reg{.addr = reinterpret_cast<uint64_t>(memory), .len = kSize, .chunk_size = kChunk, .headroom = 0, .flags = 0};
    const auto set = [&fd](int option, const auto& value) { return setsockopt(fd.get(), SOL_XDP, option, &value, sizeof value) == 0; };
    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    address.sxdp_ifindex = ifindex;
    address.sxdp_queue_id = queue;
    address.sxdp_flags = static_cast<uint16_t>(flags);
    attempt.reached_bind = fd && set(XDP_UMEM_REG, reg) && set(XDP_UMEM_FILL_RING, kRing) && set(XDP_UMEM_COMPLETION_RING, kRing) &&
                           set(XDP_RX_RING, kRing) && set(XDP_TX_RING, kRing);
    if (!attempt.reached_bind || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) attempt.error = errno;
  }
  munmap(memory, kSize);
  return attempt;
}

/// The same, but a queue that is being released is waited for, 200 ms at most.
int bind_patiently(unsigned ifindex, uint32_t queue, unsigned flags) {
  const uint64_t give_up = monotonic_ns() + 200'000'000;
  for (;;) {
    const Attempt attempt = try_bind(ifindex, queue, flags);
    if (attempt.error != EBUSY || monotonic_ns() > give_up) return attempt.error;
  }
}

}  // namespace

std::optional<MemoryClass> probe_memory_class(unsigned ifindex, uint32_t queue, bool multi_buffer) {
  const unsigned several = multi_buffer ? XDP_USE_SG : 0U;
  if (bind_patiently(ifindex, queue, XDP_USE_NEED_WAKEUP | XDP_ZEROCOPY | several) == 0) return memory_class_of(true, multi_buffer);
  if (bind_patiently(ifindex, queue, XDP_USE_NEED_WAKEUP | XDP_COPY | several) == 0) return memory_class_of(false, multi_buffer);
  return std::nullopt;
}

bool is_released(unsigned ifindex, uint32_t queue) {
  std::array<char, IF_NAMESIZE> name{};
  if (!if_indextoname(ifindex, name.data())) return true;
  // Any other refusal of bind() comes after the kernel has found no pool on the queue.
  const Attempt attempt = try_bind(ifindex, queue, XDP_COPY);
  return attempt.reached_bind && attempt.error != EBUSY;
}

}  // namespace sluice
