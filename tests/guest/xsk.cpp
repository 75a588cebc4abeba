#include "guest/xsk.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace guest {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

void set(int fd, int option, const auto& value, const char* name) {
  if (setsockopt(fd, SOL_XDP, option, &value, sizeof value) != 0) fail(name);
}

}  // namespace

Memory::Memory(uint32_t chunks) : chunks_(chunks) {
  void* memory = mmap(nullptr, size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("memory");
  base_ = static_cast<std::byte*>(memory);
}

Memory::~Memory() { munmap(base_, size()); }

void Xsk::map(const xdp_ring_offset& offsets, std::size_t entry_size, uint64_t page, auto& ring) {
  const std::size_t size = offsets.desc + kRing * entry_size;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), static_cast<off_t>(page));
  if (memory == MAP_FAILED) fail("mapping a ring");
  mappings_.push_back({memory, size});
  auto* base = static_cast<std::byte*>(memory);
  ring.mask = kRing - 1;
  ring.size = kRing;
  ring.producer = reinterpret_cast<uint32_t*>(base + offsets.producer);
  ring.consumer = reinterpret_cast<uint32_t*>(base + offsets.consumer);
  ring.flags = reinterpret_cast<uint32_t*>(base + offsets.flags);
  ring.ring = base + offsets.desc;
  // libxdp's accessors keep a producer's idea of the consumer one ring ahead.
  if constexpr (requires { xsk_ring_prod__submit(&ring, 0); }) ring.cached_cons = kRing;
}

Xsk::Xsk(Memory& memory, const std::string& device, uint16_t flags, const Xsk* sibling) {
  fd_.reset(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd_) fail("AF_XDP socket");
  if (!sibling) {
    const xdp_umem_reg registration{
        .addr = reinterpret_cast<uint64_t>(memory.base()), .len = memory.size(), .chunk_size = kChunk, .headroom = 0, .flags = 0};
    set(fd(), XDP_UMEM_REG, registration, "XDP_UMEM_REG");
  }
  set(fd(), XDP_UMEM_FILL_RING, kRing, "XDP_UMEM_FILL_RING");
  set(fd(), XDP_UMEM_COMPLETION_RING, kRing, "XDP_UMEM_COMPLETION_RING");
  set(fd(), XDP_RX_RING, kRing, "XDP_RX_RING");
  set(fd(), XDP_TX_RING, kRing, "XDP_TX_RING");
  setsockopt(fd(), SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &kRing, sizeof kRing);  // Linux 6.17; older ones send 32 a call
  xdp_mmap_offsets offsets{};
  socklen_t size = sizeof offsets;
  if (getsockopt(fd(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) != 0) fail("XDP_MMAP_OFFSETS");
  map(offsets.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING, fill_);
  map(offsets.cr, sizeof(uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING, completion_);
  map(offsets.rx, sizeof(xdp_desc), XDP_PGOFF_RX_RING, rx_);
  map(offsets.tx, sizeof(xdp_desc), XDP_PGOFF_TX_RING, tx_);

  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = if_nametoindex(device.c_str());
  address.sxdp_flags = sibling ? static_cast<uint16_t>(XDP_SHARED_UMEM) : static_cast<uint16_t>(flags | XDP_USE_NEED_WAKEUP);
  if (sibling) address.sxdp_shared_umem_fd = static_cast<uint32_t>(sibling->fd());
  // A queue that was just released is busy for some milliseconds.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (bind(fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (errno != EBUSY || std::chrono::steady_clock::now() > give_up) fail("bind to " + device);
    std::this_thread::yield();
  }
  xdp_options options{};
  size = sizeof options;
  if (getsockopt(fd(), SOL_XDP, XDP_OPTIONS, &options, &size) != 0) fail("XDP_OPTIONS");
  zero_copy_ = (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

Xsk::~Xsk() {
  fd_.reset();
  for (const auto& m : mappings_) munmap(m.address, m.size);
}

uint32_t Xsk::fill(std::span<const uint64_t> addresses) {
  uint32_t at = 0;
  const auto wanted = std::min(static_cast<uint32_t>(addresses.size()), xsk_prod_nb_free(&fill_, static_cast<uint32_t>(addresses.size())));
  if (wanted == 0) return 0;
  xsk_ring_prod__reserve(&fill_, wanted, &at);
  for (uint32_t i = 0; i < wanted; ++i) *xsk_ring_prod__fill_addr(&fill_, at + i) = addresses[i];
  xsk_ring_prod__submit(&fill_, wanted);
  return wanted;
}

bool Xsk::receive(std::vector<Fragment>& packet) {
  // The kernel publishes a packet's descriptors together, so the last one is there when the first is.
  packet.clear();
  uint32_t at = 0;
  while (xsk_ring_cons__peek(&rx_, 1, &at) == 1) {
    const xdp_desc desc = *xsk_ring_cons__rx_desc(&rx_, at);
    xsk_ring_cons__release(&rx_, 1);
    packet.push_back({desc.addr, desc.len});
    if ((desc.options & XDP_PKT_CONTD) == 0) return true;
  }
  if (!packet.empty()) throw std::runtime_error("a received packet ends in the middle of its chain");
  return false;
}

uint32_t Xsk::tx_room() { return xsk_prod_nb_free(&tx_, kRing); }

void Xsk::post(std::span<const Fragment> packet) {
  uint32_t at = 0;
  const auto n = static_cast<uint32_t>(packet.size());
  if (xsk_ring_prod__reserve(&tx_, n, &at) != n) throw std::logic_error("no room in the transmit ring");
  for (uint32_t i = 0; i < n; ++i)
    *xsk_ring_prod__tx_desc(&tx_, at + i) = {packet[i].address, packet[i].length, i + 1 < n ? uint32_t{XDP_PKT_CONTD} : 0};
  xsk_ring_prod__submit(&tx_, n);
}

uint32_t Xsk::completed(std::span<uint64_t> addresses) {
  uint32_t at = 0;
  const auto n = static_cast<uint32_t>(xsk_ring_cons__peek(&completion_, static_cast<uint32_t>(addresses.size()), &at));
  for (uint32_t i = 0; i < n; ++i) addresses[i] = *xsk_ring_cons__comp_addr(&completion_, at + i);
  if (n) xsk_ring_cons__release(&completion_, n);
  return n;
}

void Xsk::kick() {
  // What a kick could not move (EAGAIN, EBUSY, ENOBUFS) stays in the ring for the next one.
  if (xsk_ring_prod__needs_wakeup(&tx_)) sendto(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
  if (xsk_ring_prod__needs_wakeup(&fill_)) recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

Redirect::Redirect(const std::string& device, bool fragments) {
  map_.reset(bpf_map_create(BPF_MAP_TYPE_XSKMAP, "sockets", sizeof(uint32_t), sizeof(int), 1, nullptr));
  if (!map_) fail("BPF map");
  // return bpf_redirect_map(map, context->rx_queue_index, XDP_DROP)
  const std::array<bpf_insn, 6> code{{
      {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_1, .off = offsetof(xdp_md, rx_queue_index), .imm = 0},
      {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .off = 0, .imm = map_.get()},
      {.code = 0, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},  // second half of the load
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .src_reg = 0, .off = 0, .imm = XDP_DROP},
      {.code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = BPF_FUNC_redirect_map},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  }};
  LIBBPF_OPTS(bpf_prog_load_opts, options);
  options.prog_flags = fragments ? BPF_F_XDP_HAS_FRAGS : 0;
  program_.reset(bpf_prog_load(BPF_PROG_TYPE_XDP, "redirect", "GPL", code.data(), code.size(), &options));
  if (!program_) fail("BPF program");
  LIBBPF_OPTS(bpf_link_create_opts, link);
  link.flags = XDP_FLAGS_DRV_MODE;
  link_.reset(bpf_link_create(program_.get(), static_cast<int>(if_nametoindex(device.c_str())), BPF_XDP, &link));
  if (!link_) fail("attaching to " + device);
}

void Redirect::direct(const Xsk& socket) {
  const uint32_t queue = 0;
  const int fd = socket.fd();
  if (bpf_map_update_elem(map_.get(), &queue, &fd, BPF_ANY) != 0) fail("entering the socket into the BPF map");
}

}  // namespace guest
