#include "port/xsk_port.h"

#include <sys/socket.h>

#include <algorithm>

#include "base/clock.h"

namespace sluice {

void XskPort::rx_burst(Burst& burst, FramePool& pool) {
  burst.clear();
  if (!settings_.receives) return;
  uint32_t at = 0;
  const uint32_t count = xsk_ring_cons__peek(&socket_->rx, kBurst, &at);
  if (count == 0) return;
  const uint64_t now = wall_ns();
  std::array<Frame, kMaxChain> chain;
  uint32_t used = 0;  // descriptors of whole packets
  uint32_t size = 0;  // of the packet at hand
  for (uint32_t i = 0; i < count; ++i) {
    const xdp_desc* descriptor = xsk_ring_cons__rx_desc(&socket_->rx, at + i);
    chain[size++] = frame_at(*descriptor);
    if ((descriptor->options & XDP_PKT_CONTD) && size < kMaxChain) continue;
    for (uint32_t f = 0; f < size; ++f) pool.received(chain[f].index);
    burst.add(std::span(chain).first(size), now);
    used += size;
    size = 0;
  }
  // The rest of the last packet has not been shown yet: it is taken whole the next time.
  if (used < count) xsk_ring_cons__cancel(&socket_->rx, count - used);
  xsk_ring_cons__release(&socket_->rx, used);
  lent_ -= used;
}

void XskPort::refill(FramePool& pool) {
  if (!settings_.receives) return;
  // In batches: a ring update a frame would cost a shared cache line each.
  constexpr uint32_t kBatch = kBurst;
  for (;;) {
    const uint32_t reserve = settings_.fill_reserve - std::min(settings_.fill_reserve, lent_);
    const uint32_t count = std::min({xsk_prod_nb_free(&socket_->fill, kBatch), kBatch, pool.free(class_), reserve});
    if (count < kBatch / 2) break;
    uint32_t at = 0;
    xsk_ring_prod__reserve(&socket_->fill, count, &at);
    for (uint32_t i = 0; i < count; ++i)
      *xsk_ring_prod__fill_addr(&socket_->fill, at + i) =
          static_cast<uint64_t>(pool.lend(class_, settings_.loan) - first_) * memory_.chunk_size();
    xsk_ring_prod__submit(&socket_->fill, count);
    lent_ += count;
  }
}

unsigned XskPort::tx_burst(std::span<const Frame> frames) {
  const auto wanted = static_cast<uint32_t>(frames.size());
  const uint32_t count = std::min(wanted, xsk_prod_nb_free(&socket_->tx, wanted));
  if (count == 0) return 0;
  uint32_t at = 0;
  xsk_ring_prod__reserve(&socket_->tx, count, &at);
  for (uint32_t i = 0; i < count; ++i)
    *xsk_ring_prod__tx_desc(&socket_->tx, at + i) = {static_cast<uint64_t>(frames[i].data - base_), frames[i].length, 0};
  xsk_ring_prod__submit(&socket_->tx, count);
  outstanding_ += count;
  return count;
}

bool XskPort::tx_chain(std::span<const Frame> frames) {
  const auto count = static_cast<uint32_t>(frames.size());
  if (xsk_prod_nb_free(&socket_->tx, count) < count) return false;
  uint32_t at = 0;
  xsk_ring_prod__reserve(&socket_->tx, count, &at);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t options = i + 1 < count ? XDP_PKT_CONTD : 0;
    *xsk_ring_prod__tx_desc(&socket_->tx, at + i) = {static_cast<uint64_t>(frames[i].data - base_), frames[i].length, options};
  }
  xsk_ring_prod__submit(&socket_->tx, count);
  outstanding_ += count;
  return true;
}

unsigned XskPort::reap(std::span<uint32_t> done) {
  if (outstanding_ == 0) return 0;
  uint32_t at = 0;
  const uint32_t count = xsk_ring_cons__peek(&socket_->completion, static_cast<uint32_t>(done.size()), &at);
  for (uint32_t i = 0; i < count; ++i) done[i] = first_ + memory_.index_of(*xsk_ring_cons__comp_addr(&socket_->completion, at + i));
  if (count) xsk_ring_cons__release(&socket_->completion, count);
  outstanding_ -= count;
  return count;
}

void XskPort::kick() {
  const bool unsent = outstanding_ && __atomic_load_n(socket_->tx.consumer, __ATOMIC_ACQUIRE) != *socket_->tx.producer;
  if (unsent && (settings_.busy_poll || xsk_ring_prod__needs_wakeup(&socket_->tx)))
    sendto(socket_->fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);  // EAGAIN, EBUSY: the next loop asks again
  if (settings_.receives && (settings_.busy_poll || xsk_ring_prod__needs_wakeup(&socket_->fill)))
    recvfrom(socket_->fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

}  // namespace sluice
