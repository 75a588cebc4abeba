#include "port/xsk_port.h"

#include <sys/socket.h>

#include <algorithm>

#include "base/clock.h"

namespace sluice {

void XskPort::rx_burst(Burst& burst, FramePool& pool) {
  burst.size = 0;
  if (!receives_) return;
  uint32_t at = 0;
  const uint32_t count = xsk_ring_cons__peek(&socket_->rx, kBurst, &at);
  if (count == 0) return;
  const uint64_t now = wall_ns();
  for (uint32_t i = 0; i < count; ++i) {
    const xdp_desc* descriptor = xsk_ring_cons__rx_desc(&socket_->rx, at + i);
    const uint32_t index = memory_.index_of(descriptor->addr);
    burst.frames[i] = {memory_.base() + descriptor->addr, descriptor->len, index};
    burst.received_ns[i] = now;
    pool.received(index);
  }
  xsk_ring_cons__release(&socket_->rx, count);
  burst.size = count;
}

void XskPort::refill(FramePool& pool) {
  if (!receives_) return;
  // In batches: a ring update a frame would cost a shared cache line each.
  constexpr uint32_t kBatch = kBurst;
  for (;;) {
    const uint32_t room = std::min(xsk_prod_nb_free(&socket_->fill, kBatch), kBatch);
    const uint32_t count = std::min(room, pool.free());
    if (count < kBatch / 2) break;
    uint32_t at = 0;
    xsk_ring_prod__reserve(&socket_->fill, count, &at);
    for (uint32_t i = 0; i < count; ++i)
      *xsk_ring_prod__fill_addr(&socket_->fill, at + i) = static_cast<uint64_t>(pool.lend(slot_)) * memory_.chunk_size();
    xsk_ring_prod__submit(&socket_->fill, count);
  }
}

unsigned XskPort::tx_burst(std::span<const Frame> frames) {
  const auto count =
      std::min<uint32_t>(static_cast<uint32_t>(frames.size()), xsk_prod_nb_free(&socket_->tx, static_cast<uint32_t>(frames.size())));
  if (count == 0) return 0;
  uint32_t at = 0;
  xsk_ring_prod__reserve(&socket_->tx, count, &at);
  for (uint32_t i = 0; i < count; ++i) {
    xdp_desc* descriptor = xsk_ring_prod__tx_desc(&socket_->tx, at + i);
    descriptor->addr = static_cast<uint64_t>(frames[i].data - memory_.base());
    descriptor->len = frames[i].length;
    descriptor->options = 0;
  }
  xsk_ring_prod__submit(&socket_->tx, count);
  outstanding_ += count;
  return count;
}

unsigned XskPort::reap(std::span<uint32_t> done) {
  if (outstanding_ == 0) return 0;
  uint32_t at = 0;
  const uint32_t count = xsk_ring_cons__peek(&socket_->completion, static_cast<uint32_t>(done.size()), &at);
  for (uint32_t i = 0; i < count; ++i) done[i] = memory_.index_of(*xsk_ring_cons__comp_addr(&socket_->completion, at + i));
  if (count) xsk_ring_cons__release(&socket_->completion, count);
  outstanding_ -= count;
  return count;
}

void XskPort::kick() {
  const bool unsent = outstanding_ && __atomic_load_n(socket_->tx.consumer, __ATOMIC_ACQUIRE) != *socket_->tx.producer;
  if (unsent && xsk_ring_prod__needs_wakeup(&socket_->tx))
    sendto(socket_->fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);  // EAGAIN, EBUSY: the next loop asks again
  if (receives_ && xsk_ring_prod__needs_wakeup(&socket_->fill)) recvfrom(socket_->fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

}  // namespace sluice
