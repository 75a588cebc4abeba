// A paced AF_XDP generator for the far end of a cable, in that end's namespace:
//
//   xsk-generator DEVICE PPS SECONDS SIZE [CPU]   UDP frames of SIZE bytes, numbered, of 1,024 flows; PPS 0: as fast as it goes
//   xsk-generator --drop DEVICE                   drops whatever comes in on the device, for a far end that costs next to nothing
//
// Prints one JSON object: `completed` are the frames that the kernel says it has sent, `unfinished` those that it never said so of,
// `busy_ns` the processor time of posting and sending; that of waiting for the pace is left out. In copy mode the kernel does at the
// sender's expense whatever the frame sets off until another thread takes it.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "base/clock.h"
#include "port/frame_memory.h"
#include "port/xsk_socket.h"
#include "tests/builders/packet_builder.h"

namespace {

using namespace sluice;

constexpr uint32_t kRing = 2048;
constexpr uint32_t kBatch = 32;
constexpr uint32_t kFlows = 1024;
/// A generator that was kept from running does not make up for more than this, or it would send faster than its pace.
constexpr uint64_t kMostBehind = 200'000;
constexpr std::size_t kHeaders = 14 + 20 + 8;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "xsk-generator: %s\n", what.c_str());
  std::exit(1);
}

uint64_t processor_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

void drop_all(unsigned ifindex) {
  const bpf_insn program[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = XDP_DROP},
                              {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  const int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "drop", "GPL", program, std::size(program), nullptr);
  if (fd < 0) die(std::string("loading the program that drops: ") + std::strerror(errno));
  if (const int e = bpf_xdp_attach(static_cast<int>(ifindex), fd, XDP_FLAGS_DRV_MODE, nullptr); e != 0)
    die(std::string("attaching the program that drops: ") + std::strerror(-e));
}

class Generator {
 public:
  Generator(unsigned ifindex, const std::string& device, uint32_t size) : size_(size) {
    auto opened = umem_.open(ifindex, device, 0, {.rx = 0, .tx = kRing, .fill = 64, .completion = kRing});
    if (!opened) die(opened.error().message);
    socket_ = std::move(*opened);
    for (uint32_t i = 0; i < kRing; ++i) {
      test::Packet p;
      p.ethernet().ipv4("10." + std::to_string(i % kFlows / 256) + ".0." + std::to_string(i % 256), "192.168.0.1");
      const auto bytes = p.udp(static_cast<uint16_t>(1024 + i % kFlows), 9).pad_to(size).bytes();
      std::copy(bytes.begin(), bytes.end(), memory_.chunk(i));
      free_.push_back(i);
    }
  }

  /// `pps` 0: as fast as it goes.
  void run(double pps, double seconds) {
    const uint64_t begin = monotonic_ns();
    const uint64_t end = begin + static_cast<uint64_t>(seconds * 1e9);
    const uint64_t gap = pps > 0 ? static_cast<uint64_t>(kBatch * 1e9 / pps) : 0;
    uint64_t due = begin;
    for (uint64_t now = begin; now < end; now = monotonic_ns()) {
      if (now < due) continue;
      if (now > due + kMostBehind) due = now;
      due += gap;
      const uint64_t before = processor_ns();
      post();
      kick();
      reap();
      busy_ns_ += processor_ns() - before;
    }
    seconds_ = static_cast<double>(monotonic_ns() - begin) / 1e9;
    for (const uint64_t patience = monotonic_ns() + 2'000'000'000; free_.size() < kRing && monotonic_ns() < patience;) {
      kick();
      reap();
    }
  }

  void report() const {
    std::printf(R"({"completed": %llu, "unfinished": %zu, "seconds": %.6f, "busy_ns": %llu})"
                "\n",
                static_cast<unsigned long long>(completed_), kRing - free_.size(), seconds_, static_cast<unsigned long long>(busy_ns_));
  }

 private:
  /// A frame is numbered and posted; without room in the ring the batch is smaller, and the rate lower.
  void post() {
    const auto count = std::min<uint32_t>(kBatch, static_cast<uint32_t>(free_.size()));
    uint32_t at = 0;
    if (count == 0 || xsk_ring_prod__reserve(&socket_->tx, count, &at) != count) return;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t frame = free_.back();
      free_.pop_back();
      std::memcpy(memory_.chunk(frame) + kHeaders, &number_, sizeof number_);
      ++number_;
      xdp_desc* descriptor = xsk_ring_prod__tx_desc(&socket_->tx, at + i);
      *descriptor = {.addr = static_cast<uint64_t>(memory_.chunk(frame) - memory_.base()), .len = size_, .options = 0};
    }
    xsk_ring_prod__submit(&socket_->tx, count);
  }

  void kick() {
    if (free_.size() < kRing) sendto(socket_->fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);  // EAGAIN, EBUSY: the next round asks again
  }

  void reap() {
    uint32_t at = 0;
    const uint32_t count = xsk_ring_cons__peek(&socket_->completion, kRing, &at);
    for (uint32_t i = 0; i < count; ++i) free_.push_back(memory_.index_of(*xsk_ring_cons__comp_addr(&socket_->completion, at + i)));
    if (count) xsk_ring_cons__release(&socket_->completion, count);
    completed_ += count;
  }

  FrameMemory memory_{kRing, 11};
  XskUmem umem_{memory_, 0, kRing, MemoryClass::kCopy};
  std::unique_ptr<XskSocket> socket_;
  std::vector<uint32_t> free_;
  uint32_t size_;
  uint64_t number_ = 0, completed_ = 0, busy_ns_ = 0;
  double seconds_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const bool drop = argc == 3 && std::string(argv[1]) == "--drop";
  if (!drop && argc != 5 && argc != 6) die("DEVICE PPS SECONDS SIZE [CPU], or --drop DEVICE");
  const std::string device = drop ? argv[2] : argv[1];
  const unsigned ifindex = if_nametoindex(device.c_str());
  if (ifindex == 0) die("no device " + device);
  if (drop) {
    drop_all(ifindex);
    return 0;
  }
  const double pps = std::atof(argv[2]), seconds = std::atof(argv[3]);
  const int size = std::atoi(argv[4]);
  if (size < 60 || size > 1514 || seconds <= 0 || pps < 0) die("frames of 60 to 1514 bytes, a time above 0, a rate of 0 or more");
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(argc == 6 ? std::atoi(argv[5]) : 0, &cpus);
  if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) die("cannot run on that processor");
  Generator generator(ifindex, device, static_cast<uint32_t>(size));
  generator.run(pps, seconds);
  generator.report();
}
