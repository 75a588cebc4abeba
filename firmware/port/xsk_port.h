// A port queue on an AF_XDP socket.
#pragma once

#include <memory>

#include "port/port_queue.h"
#include "port/xsk_socket.h"

namespace sluice {

class XskPort final : public PortQueue {
 public:
  struct Settings {
    Loan loan = 0;  ///< this opening of the port
    bool receives = false;
    uint32_t fill_reserve = 0;  ///< frames that may be lent for reception
    bool busy_poll = false;     ///< the kernel polls the device in our calls: they are made every loop
  };
  XskPort(std::unique_ptr<XskSocket> socket, const XskUmem& umem, const FrameMemory& memory, const Settings& settings)
      : socket_(std::move(socket)),
        memory_(memory),
        base_(umem.base()),
        first_(umem.first()),
        class_(umem.memory_class()),
        settings_(settings) {}

  void rx_burst(Burst& burst, FramePool& pool) override;
  void refill(FramePool& pool) override;
  unsigned tx_burst(std::span<const Frame> frames) override;
  bool tx_chain(std::span<const Frame> frames) override;
  unsigned reap(std::span<uint32_t> done) override;
  void kick() override;
  [[nodiscard]] int wait_fd() const override { return settings_.receives ? socket_->fd() : -1; }

  [[nodiscard]] const XskSocket& socket() const { return *socket_; }
  [[nodiscard]] MemoryClass memory_class() const { return class_; }
  [[nodiscard]] bool busy_polls() const { return settings_.busy_poll; }
  /// Between bursts. Fewer than before: what is lent beyond is used up first.
  void set_fill_reserve(uint32_t frames) { settings_.fill_reserve = frames; }

 private:
  [[nodiscard]] Frame frame_at(const xdp_desc& descriptor) const {
    return {base_ + descriptor.addr, descriptor.len, first_ + memory_.index_of(descriptor.addr)};
  }

  std::unique_ptr<XskSocket> socket_;
  const FrameMemory& memory_;
  const std::byte* base_;
  uint32_t first_;
  MemoryClass class_;
  Settings settings_;
  uint32_t outstanding_ = 0;  ///< posted, not yet completed
  uint32_t lent_ = 0;         ///< for reception, not yet received
};

}  // namespace sluice
