// The firmware's own port classes and pipeline on this kernel's drivers: what class of memory a device has, packets by reference in
// zero-copy and copy mode and across the two, chains, a header of ours before a shared payload, sockets that close under way. Prints one
// JSON object a line; ends with 0 when every case went well.
//
//   guest-ports [--count N] veth|virtio
//
// "veth" makes its devices in the network namespace that it is started in; "virtio" wants in, in-far, out1 ... to be there, and makes a
// veth for the case across classes.
#include <net/if.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>

#include "base/clock.h"
#include "base/endian.h"
#include "compile/report.h"
#include "engine/pipeline.h"
#include "guest/devices.h"
#include "guest/far_end.h"
#include "port/xdp_program.h"
#include "port/xsk_port.h"
#include "port/xsk_probe.h"
#include "tests/builders/compiled.h"

namespace {

using namespace sluice;

constexpr uint64_t kPatience = 60'000'000'000;  // nanoseconds: a guard against hanging

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// What packet `number` looks like: of our EtherType, its number, bytes that follow from it.
std::vector<std::byte> packet(uint32_t number, std::size_t length) {
  std::vector<std::byte> bytes(length);
  static constexpr uint8_t kEthernet[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, guest::kEtherType >> 8, guest::kEtherType & 0xFF};
  std::memcpy(bytes.data(), kEthernet, sizeof kEthernet);
  write_be32(bytes.data() + 14, number);
  uint32_t state = number * 2654435761U;
  for (std::size_t i = 18; i < length; ++i) bytes[i] = static_cast<std::byte>((state = state * 1664525U + 1013904223U) >> 24);
  return bytes;
}

/// A port on a device as the panel opens it.
struct Device {
  Device(const std::string& device, bool receives, bool multi_buffer, FrameMemory& memory, const FrameLayout& layout,
         std::map<MemoryClass, std::unique_ptr<XskUmem>>& umems, Loan number)
      : name(device), ifindex(if_nametoindex(device.c_str())), loan(number) {
    program = must(XdpProgram::attach(ifindex, name, multi_buffer));
    const auto found = probe_memory_class(ifindex, 0, multi_buffer);
    if (!found) throw std::runtime_error(name + ": no class of memory");
    memory_class = *found;
    auto& umem = umems[memory_class];
    if (!umem) umem = std::make_unique<XskUmem>(memory, layout.first(memory_class, 0), layout.frames_per_class(), memory_class);
    const XskRings rings{.rx = receives ? 1024U : 0, .tx = receives ? 0 : 1024U, .fill = 1024, .completion = 1024};
    auto socket = must(umem->open(ifindex, name, 0, rings));
    zero_copy = socket->zero_copy();
    queue = std::make_unique<XskPort>(std::move(socket), *umem, memory,
                                      XskPort::Settings{.loan = loan, .receives = receives, .fill_reserve = 1024});
  }
  ~Device() {
    program->undirect(0);
    queue.reset();
    program->detach();
  }
  std::string name;
  unsigned ifindex;
  Loan loan;
  MemoryClass memory_class = MemoryClass::kCopy;
  bool zero_copy = false;
  std::unique_ptr<XdpProgram> program;
  std::unique_ptr<XskPort> queue;
};

/// in, out1 and out2 with a worker's floor, driven from here.
struct Rig {
  Rig(const std::array<std::string, 3>& names, bool multi_buffer) {
    floor.memory = &memory;
    in = std::make_unique<Device>(names[0], true, multi_buffer, memory, layout, umems, Loan{1});
    for (unsigned i = 0; i < 2; ++i)
      out[i] = std::make_unique<Device>(names[i + 1], false, multi_buffer, memory, layout, umems, static_cast<Loan>(2 + i));
    for (const Device* d : {in.get(), out[0].get(), out[1].get()}) floor.pool.add(d->memory_class);
    floor.inlets.push_back({.port = slot("in"), .queue = in->queue.get(), .memory_class = in->memory_class});
    for (unsigned i = 0; i < 2; ++i) {
      floor.outlets[slot(port(i))] = {.open = true,
                                      .queue = out[i]->queue.get(),
                                      .copies = std::make_unique<ToolQueue>(),
                                      .memory_class = out[i]->memory_class,
                                      .loan = out[i]->loan};
      floor.open_outlets.push_back(slot(port(i)));
    }
    in->queue->refill(floor.pool);
    must(in->program->direct(0, in->queue->socket().fd()));
    in_far = std::make_unique<guest::FarEnd>(names[0] + "-far");
    for (unsigned i = 0; i < 2; ++i) out_far[i] = std::make_unique<guest::FarEnd>(names[i + 1] + "-far");
  }
  [[nodiscard]] static std::string port(unsigned i) { return i == 0 ? "out1" : "out2"; }
  [[nodiscard]] PortSlot slot(const std::string& name) const {
    for (const auto& p : model.plan.ports)
      if (p.name == name) return p.slot;
    throw std::out_of_range(name);
  }
  void run_once() { pipeline.run_once(*model.snapshot); }
  [[nodiscard]] uint64_t unaccounted() {
    return compile::report_ledger(model.plan, {}, {&floor.book, 1}, model.snapshot->used, {}, floor.pool.census().lost()).unaccounted();
  }

  compile::Compiled model = test::compile_json(
      R"({"ports": [{"name": "in", "role": "NETWORK", "mtu": 9000}, {"name": "out1", "role": "TOOL", "mtu": 9000}, {"name": "out2", "role": "TOOL", "mtu": 9000}],
    "maps": [{"name": "all", "sources": {"ports": ["in"]}, "default_action": "PASS", "destinations": [{"port": "out1"}, {"port": "out2"}]}]})");
  FrameLayout layout{.workers = 1, .frames_per_worker = 4096, .classes = kMemoryClasses};
  FrameMemory memory{layout.total(), 11};
  std::map<MemoryClass, std::unique_ptr<XskUmem>> umems;
  Floor floor{layout, 0};
  Pipeline<Unwatched> pipeline{floor};
  std::unique_ptr<Device> in;
  std::array<std::unique_ptr<Device>, 2> out;
  std::unique_ptr<guest::FarEnd> in_far;
  std::array<std::unique_ptr<guest::FarEnd>, 2> out_far;
};

struct Report {
  std::string name, mode, why;
  uint64_t sent = 0, whole = 0;
};

/// The packet lengths of a case follow from the number.
std::size_t length_of(uint32_t number, bool long_ones) { return long_ones ? 60 + number * 977 % 8900 : 60 + number * 97 % 1400; }

/// Packets are sent into `in`, and judged at both outputs' far ends.
Report forward(const std::string& name, const std::array<std::string, 3>& names, bool multi_buffer, uint32_t count, bool copies = false) {
  constexpr uint32_t kWindow = 64;  // packets on their way: fewer than any queue on it holds
  Rig rig(names, multi_buffer);
  Report report{.name = name, .mode = {}, .why = {}};
  for (const Device* d : {rig.in.get(), rig.out[0].get(), rig.out[1].get()}) report.mode += d->zero_copy ? "Z" : "C";
  std::array<uint32_t, 2> arrived{};
  uint32_t sent = 0, first = 0;  // QEMU may let the first packets into a fresh queue overtake each other: they are not judged
  constexpr uint32_t kProbes = 8;
  const uint64_t begin = monotonic_ns();
  while (report.why.empty() && (arrived[0] < count + kProbes || arrived[1] < count + kProbes)) {
    const uint32_t window = sent < kProbes ? first + 1 : kWindow;
    while (sent < count + kProbes && sent < std::min(arrived[0], arrived[1]) + window &&
           rig.in_far->send(packet(sent, length_of(sent, multi_buffer))))
      ++sent;
    rig.run_once();
    for (unsigned i = 0; i < 2; ++i)
      for (auto frame = rig.out_far[i]->receive(); !frame.empty(); frame = rig.out_far[i]->receive()) {
        const auto expected = packet(arrived[i], length_of(arrived[i], multi_buffer));
        if (!std::equal(frame.begin(), frame.end(), expected.begin(), expected.end()))
          report.why = Rig::port(i) + ": packet " + std::to_string(arrived[i]) + " came otherwise";
        ++arrived[i];
      }
    if (monotonic_ns() - begin > kPatience) report.why = "nothing moved any more at " + std::to_string(std::min(arrived[0], arrived[1]));
  }
  for (uint64_t wait = monotonic_ns(); rig.floor.pool.census().held > 0 && monotonic_ns() - wait < kPatience;) rig.run_once();
  report.sent = sent;
  report.whole = std::min(arrived[0], arrived[1]);
  const auto census = rig.floor.pool.census();
  if (report.why.empty() && (census.held || census.worker || census.lost())) report.why = "frames did not come home";
  if (report.why.empty() && rig.unaccounted()) report.why = "the ledger does not balance";
  if (report.why.empty() && (rig.floor.book.worker().copied == sent) != copies)
    report.why = std::to_string(rig.floor.book.worker().copied) + " packets were copied";
  return report;
}

/// A header of ours and a payload that both outputs share go out as one packet each.
Report header_and_payload(const std::array<std::string, 3>& names, uint32_t count) {
  Report report{.name = "header and shared payload", .mode = {}, .why = {}};
  Rig rig(names, true);
  for (const auto& d : rig.out) report.mode += d->zero_copy ? "Z" : "C";
  constexpr uint32_t kHeader = 50, kWindow = 64;
  auto& pool = rig.floor.pool;
  const MemoryClass c = rig.out[0]->memory_class;
  const auto frame_with = [&](std::span<const std::byte> bytes) {
    const uint32_t index = pool.take(c);
    std::memcpy(rig.memory.chunk(index), bytes.data(), bytes.size());
    return Frame{rig.memory.chunk(index), static_cast<uint32_t>(bytes.size()), index};
  };
  std::array<uint32_t, 2> arrived{};
  uint32_t sent = 0;
  const uint64_t begin = monotonic_ns();
  while (report.why.empty() && (arrived[0] < count || arrived[1] < count || pool.census().held > 0)) {
    while (sent < count && sent < std::min(arrived[0], arrived[1]) + kWindow) {
      const auto whole = packet(sent, kHeader + 1000);
      const Frame payload = frame_with(std::span(whole).subspan(kHeader));
      pool.hold(payload.index, 2);
      for (auto& device : rig.out) {
        const Frame header = frame_with(std::span(whole).first(kHeader));
        pool.hold(header.index, 1);
        if (!device->queue->tx_chain(std::array{header, payload})) report.why = "no room in a ring";
      }
      ++sent;
    }
    for (unsigned i = 0; i < 2; ++i) {
      rig.out[i]->queue->kick();
      std::array<uint32_t, 64> done;
      for (const uint32_t frame : std::span(done).first(rig.out[i]->queue->reap(done))) pool.release(frame);
      for (auto frame = rig.out_far[i]->receive(); !frame.empty(); frame = rig.out_far[i]->receive()) {
        const auto expected = packet(arrived[i], kHeader + 1000);
        if (!std::equal(frame.begin(), frame.end(), expected.begin(), expected.end()))
          report.why = Rig::port(i) + ": a packet came otherwise";
        ++arrived[i];
      }
    }
    if (monotonic_ns() - begin > kPatience) report.why = "nothing moved any more";
  }
  report.sent = sent;
  report.whole = std::min(arrived[0], arrived[1]);
  return report;
}

/// A tool port closes with copies on their way: its frames stay held until the kernel has let go of the queue, and then all come home.
Report close_under_way(const std::array<std::string, 3>& names, uint32_t rounds) {
  Report report{.name = "closed under way", .mode = {}, .why = {}};
  uint64_t held_after_closing = 0, waited = 0;
  for (uint32_t round = 0; round < rounds && report.why.empty(); ++round) {
    Rig rig(names, false);
    report.mode = rig.out[0]->zero_copy ? "Z" : "C";
    // Every second time the device is down: what is posted stays posted.
    const bool is_down = round % 2 == 1;
    if (is_down) guest::ip("link set " + names[1] + " down");
    const uint64_t begin = monotonic_ns();
    for (uint32_t n = 0; n < 200 || rig.floor.pool.census().held == 0; ++n) {
      rig.in_far->send(packet(n, 500));
      rig.run_once();
      if (monotonic_ns() - begin > kPatience) throw std::runtime_error("nothing was ever on its way");
    }
    const PortSlot slot = rig.slot("out1");
    rig.pipeline.detain(slot);
    const unsigned ifindex = rig.out[0]->ifindex;
    rig.out[0]->queue.reset();
    held_after_closing += rig.floor.detained.empty() ? 0 : rig.floor.detained.front().copies->size();
    while (!is_released(ifindex, 0)) {
      ++waited;
      rig.run_once();
      if (monotonic_ns() - begin > kPatience) throw std::runtime_error("the queue is never released");
    }
    rig.pipeline.give_up(rig.out[0]->loan);
    if (is_down) guest::ip("link set " + names[1] + " up");
    while (rig.floor.pool.census().held > 0 && monotonic_ns() - begin < kPatience) rig.run_once();
    const auto census = rig.floor.pool.census();
    if (census.held || census.lost() || rig.unaccounted()) report.why = "frames or copies are missing";
    ++report.sent;
    report.whole += report.why.empty();
  }
  if (report.why.empty() && held_after_closing == 0) report.why = "no round had a copy on its way";
  // A pool is torn down some time after its socket: a rule that never waits is none.
  if (report.why.empty() && waited == 0) report.why = "the kernel never held on to a queue";
  return report;
}

bool print(const Report& r, const std::string& driver) {
  utsname kernel{};
  uname(&kernel);
  std::printf(R"({"case": "%s", "driver": "%s", "mode": "%s", "kernel": "%s", "sent": %lu, "whole": %lu, "why": "%s"})"
              "\n",
              r.name.c_str(), driver.c_str(), r.mode.c_str(), kernel.release, r.sent, r.whole, r.why.c_str());
  std::fflush(stdout);
  return r.why.empty();
}

}  // namespace

int main(int argc, char** argv) {
  uint32_t count = 2000;
  bool ok = argc > 1;
  const std::array<std::string, 3> veths{"v-in", "v-out1", "v-out2"}, virtios{"in", "out1", "out2"};
  const auto attempt = [&](const std::string& driver, auto&& work) {
    try {
      ok = print(work(), driver) && ok;
    } catch (const std::exception& error) {
      ok = print({.name = "failed", .mode = "", .why = error.what()}, driver) && false;
    }
  };
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--count" && i + 1 < argc) {
      count = static_cast<uint32_t>(std::stoul(argv[++i]));
    } else if (word == "veth") {
      guest::make_veths(veths, 1500);
      attempt(word, [&] { return forward("forward", veths, false, count); });
      attempt(word, [&] { return close_under_way(veths, 20); });
      guest::set_mtu(veths, 9000);
      attempt(word, [&] { return forward("long packets", veths, true, count); });
      attempt(word, [&] { return header_and_payload(veths, count); });
    } else if (word == "virtio") {
      guest::set_mtu(virtios, 1500);
      guest::set_up(virtios);
      attempt("virtio_net", [&] { return forward("forward", virtios, false, count); });
      attempt("virtio_net", [&] { return close_under_way(virtios, 20); });
      guest::make_veths(std::array<std::string, 1>{"x-out2"}, 1500);
      attempt("virtio_net", [&] { return forward("across classes", {"in", "out1", "x-out2"}, false, count, true); });
      attempt("virtio_net", [&] { return header_and_payload(virtios, count); });
    } else {
      std::fprintf(stderr, "guest-ports [--count N] veth|virtio ...\n");
      return 2;
    }
  }
  return ok ? 0 : 1;
}
