// A port queue on an AF_XDP socket.
#pragma once

#include <memory>

#include "port/port_queue.h"
#include "port/xsk_socket.h"

namespace sluice {

class XskPort final : public PortQueue {
 public:
  XskPort(std::unique_ptr<XskSocket> socket, const FrameMemory& memory, PortSlot slot, bool receives)
      : socket_(std::move(socket)), memory_(memory), slot_(slot), receives_(receives) {}

  void rx_burst(Burst& burst, FramePool& pool) override;
  void refill(FramePool& pool) override;
  unsigned tx_burst(std::span<const Frame> frames) override;
  unsigned reap(std::span<uint32_t> done) override;
  void kick() override;
  [[nodiscard]] int wait_fd() const override { return receives_ ? socket_->fd() : -1; }

  [[nodiscard]] const XskSocket& socket() const { return *socket_; }

 private:
  std::unique_ptr<XskSocket> socket_;
  const FrameMemory& memory_;
  PortSlot slot_;
  bool receives_;
  uint32_t outstanding_ = 0;  ///< posted, not yet completed
};

}  // namespace sluice
