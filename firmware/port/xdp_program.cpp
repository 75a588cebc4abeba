#include "port/xdp_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

extern "C" const char sluice_xdp_object[];      // NOLINT: defined in xdp_object.S
extern "C" const char sluice_xdp_object_end[];  // NOLINT

namespace sluice {
namespace {

namespace fs = std::filesystem;

/// One directory a device and network namespace: indices of devices are only unique within one.
std::string pin_directory(unsigned ifindex) {
  struct stat netns {};
  stat("/proc/self/ns/net", &netns);
  return "/sys/fs/bpf/sluice/" + std::to_string(netns.st_ino) + "-" + std::to_string(ifindex);
}

Error failed(const std::string& netdev, const std::string& what, int error) {
  return {ErrorCode::kUnreachable, "", netdev + ": " + what + ": " + std::strerror(error < 0 ? -error : error)};
}

/// The clsact program that keeps the host's stack off the wire.
Result<void> silence(bpf_object* object, unsigned ifindex, const std::string& netdev) {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = static_cast<int>(ifindex);
  hook.attach_point = BPF_TC_EGRESS;
  if (const int e = bpf_tc_hook_create(&hook); e != 0 && e != -EEXIST) return failed(netdev, "making the clsact hook", e);
  bpf_tc_opts options{};
  options.sz = sizeof options;
  options.prog_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "sluice_silence"));
  options.flags = BPF_TC_F_REPLACE;
  options.handle = 1;
  options.priority = 1;
  if (const int e = bpf_tc_attach(&hook, &options); e != 0) return failed(netdev, "attaching the egress program", e);
  return {};
}

}  // namespace

Result<std::unique_ptr<XdpProgram>> XdpProgram::attach(unsigned ifindex, const std::string& netdev, bool multi_buffer) {
  libbpf_set_print(nullptr);
  auto program = std::unique_ptr<XdpProgram>(new XdpProgram);
  program->ifindex_ = ifindex;
  program->multi_buffer_ = multi_buffer;
  program->pin_directory_ = pin_directory(ifindex);
  program->object_ = bpf_object__open_mem(sluice_xdp_object, static_cast<size_t>(sluice_xdp_object_end - sluice_xdp_object), nullptr);
  if (!program->object_) return failed(netdev, "opening the XDP program", errno);

  if (multi_buffer) bpf_program__set_flags(bpf_object__find_program_by_name(program->object_, "sluice_rx"), BPF_F_XDP_HAS_FRAGS);

  std::error_code ignored;
  fs::create_directories(program->pin_directory_, ignored);
  const std::string link_pin = program->pin_directory_ + "/link";
  const std::string misses_pin = program->pin_directory_ + "/misses";
  bpf_map* misses = bpf_object__find_map_by_name(program->object_, "misses");
  // A pin may be left from a device that is gone and whose index was given anew: its link is defunct then.
  int link = bpf_obj_get(link_pin.c_str());
  if (link >= 0) {
    bpf_link_info info{};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(link, &info, &size) != 0 || info.xdp.ifindex != ifindex) {
      close(link);
      link = -1;
      fs::remove_all(program->pin_directory_, ignored);
      fs::create_directories(program->pin_directory_, ignored);
    }
  }
  if (link >= 0)
    if (const int old = bpf_obj_get(misses_pin.c_str()); old >= 0) {
      bpf_map__reuse_fd(misses, old);
      close(old);
    }
  if (const int e = bpf_object__load(program->object_); e != 0) return failed(netdev, "loading the XDP program", e);
  program->misses_before_ = program->read_misses();
  if (auto r = silence(program->object_, ifindex, netdev); !r) return r.error();

  const int prog = bpf_program__fd(bpf_object__find_program_by_name(program->object_, "sluice_rx"));
  if (link >= 0) {
    if (const int e = bpf_link_update(link, prog, nullptr); e != 0) {
      close(link);
      return failed(netdev, "replacing the XDP program", e);
    }
    program->pinned_ = true;
  } else {
    LIBBPF_OPTS(bpf_link_create_opts, options);
    options.flags = XDP_FLAGS_DRV_MODE;
    link = bpf_link_create(prog, static_cast<int>(ifindex), BPF_XDP, &options);
    if (link < 0) {
      options.flags = XDP_FLAGS_SKB_MODE;
      link = bpf_link_create(prog, static_cast<int>(ifindex), BPF_XDP, &options);
    }
    if (link < 0) {
      const int error = errno;
      program->detach();  // the egress program is on the device already
      return failed(netdev, "attaching the XDP program", error);
    }
    fs::remove(misses_pin, ignored);
    program->pinned_ = bpf_obj_pin(link, link_pin.c_str()) == 0 && bpf_obj_pin(bpf_map__fd(misses), misses_pin.c_str()) == 0;
  }
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  program->native_ = bpf_xdp_query(static_cast<int>(ifindex), 0, &query) == 0 && query.attach_mode == XDP_ATTACHED_DRV;
  program->link_fd_ = link;
  return program;
}

XdpProgram::~XdpProgram() {
  if (link_fd_ >= 0) close(link_fd_);
  if (object_) bpf_object__close(object_);
}

Result<void> XdpProgram::direct(uint32_t queue, int socket_fd) {
  const int map = bpf_map__fd(bpf_object__find_map_by_name(object_, "sockets"));
  if (bpf_map_update_elem(map, &queue, &socket_fd, BPF_ANY) != 0)
    return Error{ErrorCode::kUnreachable, "", std::string("entering a socket into the XDP map: ") + std::strerror(errno)};
  return {};
}

void XdpProgram::undirect(uint32_t queue) { bpf_map_delete_elem(bpf_map__fd(bpf_object__find_map_by_name(object_, "sockets")), &queue); }

uint64_t XdpProgram::read_misses() const {
  const int map = bpf_map__fd(bpf_object__find_map_by_name(object_, "misses"));
  std::vector<uint64_t> per_cpu(static_cast<size_t>(libbpf_num_possible_cpus()));
  const uint32_t zero = 0;
  if (bpf_map_lookup_elem(map, &zero, per_cpu.data()) != 0) return 0;
  uint64_t sum = 0;
  for (const uint64_t n : per_cpu) sum += n;
  return sum;
}

uint64_t XdpProgram::misses() const { return read_misses() - misses_before_; }

void XdpProgram::detach() {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = static_cast<int>(ifindex_);
  hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);  // both: takes the clsact qdisc away
  bpf_tc_hook_destroy(&hook);
  std::error_code ignored;
  fs::remove_all(pin_directory_, ignored);
  pinned_ = false;
}

}  // namespace sluice
