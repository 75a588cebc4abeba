// Tries what a daemon of the appliance may not do, from inside its sandbox, and says of each attempt whether it came through: one line
// "escape NAME allowed" or "escape NAME refused REASON" each. It is started in the daemon's stead by a unit's drop-in; see test_image.py.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

namespace {

/// An attempt returns whether it came through; errno says why not.
using Attempt = std::function<bool()>;

void attempt(const char* name, const Attempt& what) {
  errno = 0;
  const bool allowed = what();
  if (allowed) printf("escape %s allowed\n", name);
  else printf("escape %s refused %s\n", name, strerror(errno));
  fflush(stdout);
}

bool can_open(const char* path, int flags) {
  const int fd = open(path, flags | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  close(fd);
  return true;
}

bool can_make_socket(int family, int type) {
  const int fd = socket(family, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  close(fd);
  return true;
}

bool can_listen(int family) {
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 address{};
  address.sin6_family = static_cast<sa_family_t>(family);
  const bool listens =
      fd >= 0 && bind(fd, reinterpret_cast<const sockaddr*>(&address), family == AF_INET ? sizeof(sockaddr_in) : sizeof address) == 0 &&
      listen(fd, 1) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  errno = error;
  return listens;
}

/// In a child, so that what comes through harms nothing here. The child ends with errno, 0 for success.
bool in_child(const Attempt& what) {
  const pid_t child = fork();
  if (child == 0) {
    errno = 0;
    _exit(what() ? 0 : (errno ? errno : 255));
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) < 0) return false;
  if (WIFSIGNALED(status)) {
    errno = EPERM;  // killed for it
    return false;
  }
  errno = WEXITSTATUS(status);
  return WEXITSTATUS(status) == 0;
}

bool can_run(const char* program, const char* option, const char* argument) {
  return in_child([=] {
    execl(program, program, option, argument, nullptr);
    return false;
  });
}

unsigned interfaces() {
  unsigned count = 0;
  if (auto* list = if_nameindex()) {
    for (auto* i = list; i->if_index; ++i) ++count;
    if_freenameindex(list);
  }
  return count;
}

}  // namespace

/// Argument: a path that is the other daemon's alone.
int main(int, char** argv) {
  const char* others = argv[1];
  attempt("tcp-listener", [] { return can_listen(AF_INET); });
  attempt("tcp-listener-ipv6", [] { return can_listen(AF_INET6); });
  attempt("udp-socket", [] { return can_make_socket(AF_INET, SOCK_DGRAM); });
  attempt("packet-socket", [] { return can_make_socket(AF_PACKET, SOCK_RAW); });
  attempt("netlink-socket", [] { return can_make_socket(AF_NETLINK, SOCK_RAW); });
  attempt("xdp-socket", [] { return can_make_socket(44 /* AF_XDP */, SOCK_RAW); });
  attempt("see-nics", [] { return interfaces() > 1; });
  attempt("run-shell", [] { return can_run("/bin/sh", "-c", ":"); });
  attempt("run-program", [] { return can_run("/usr/bin/ls", "--version", nullptr); });
  attempt("run-by-loader", [] {
    return in_child([] {
      execl("/usr/lib64/ld-linux-x86-64.so.2", "ld", "/usr/bin/true", nullptr);
      return false;
    });
  });
  attempt("run-systems-program", [] { return can_run("/usr/lib/systemd/systemd", "--version", nullptr); });
  attempt("run-from-memory", [] {
    const int fd = static_cast<int>(syscall(SYS_memfd_create, "escaped", 0x10 /* MFD_EXEC */));
    if (fd < 0) return false;
    close(fd);
    return true;
  });
  attempt("write-system", [] { return can_open("/usr/lib/escaped", O_WRONLY | O_CREAT); });
  attempt("write-etc", [] { return can_open("/etc/escaped", O_WRONLY | O_CREAT); });
  attempt("write-boot", [] { return can_open("/boot/escaped", O_WRONLY | O_CREAT); });
  attempt("read-boot", [] { return can_open("/boot/sluice.conf", O_RDONLY); });
  attempt("read-shadow", [] { return can_open("/etc/shadow", O_RDONLY); });
  attempt("read-others-state", [others] { return can_open(others, O_RDONLY); });
  attempt("open-disk", [] { return can_open("/dev/vda", O_RDONLY); });
  attempt("open-memory", [] { return can_open("/dev/mem", O_RDONLY); });
  attempt("open-kernel-log", [] { return can_open("/dev/kmsg", O_RDONLY); });
  attempt("write-sysctl", [] { return can_open("/proc/sys/kernel/core_pattern", O_WRONLY); });
  attempt("write-sysfs", [] { return can_open("/sys/class/net/lo/mtu", O_WRONLY); });
  attempt("write-cgroup", [] { return can_open("/sys/fs/cgroup/cgroup.procs", O_WRONLY); });
  attempt("see-first-process", [] { return can_open("/proc/1/cmdline", O_RDONLY); });
  attempt("signal-first-process", [] { return kill(1, 0) == 0; });
  attempt("trace", [] { return in_child([] { return ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0; }); });
  attempt("mount", [] { return in_child([] { return unshare(CLONE_NEWNS) == 0 && mount("none", "/tmp", "tmpfs", 0, nullptr) == 0; }); });
  attempt("namespace", [] { return in_child([] { return unshare(CLONE_NEWUSER) == 0; }); });
  attempt("become-root", [] { return in_child([] { return setuid(0) == 0 && getuid() == 0; }); });
  attempt("set-clock", [] {
    timeval now{};
    return gettimeofday(&now, nullptr) == 0 && settimeofday(&now, nullptr) == 0;
  });
  attempt("set-name", [] { return sethostname("escaped", 7) == 0; });
  attempt("load-module", [] {
    // An image that is none: who may load modules gets ENOEXEC.
    return syscall(SYS_init_module, "nothing", 7, "") == 0 || errno == ENOEXEC;
  });
  attempt("reboot", [] { return in_child([] { return reboot(RB_DISABLE_CAD) == 0; }); });
  attempt("keyring", [] { return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 1) >= 0; });
  attempt("bpf", [] {
    bpf_attr map{};
    map.map_type = BPF_MAP_TYPE_ARRAY;
    map.key_size = map.value_size = 4;
    map.max_entries = 1;
    return syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map) >= 0;
  });
  attempt("write-and-execute",
          [] { return mmap(nullptr, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED; });
  attempt("set-user-id-file", [] { return can_open("/tmp/escaped", O_WRONLY | O_CREAT) && chmod("/tmp/escaped", 04755) == 0; });
  attempt("realtime", [] {
    return in_child([] {
      const sched_param first{1};
      return sched_setscheduler(0, SCHED_FIFO, &first) == 0;
    });
  });
  attempt("device-node", [] { return mknod("/tmp/escaped-device", S_IFCHR | 0600, 0x0101) == 0; });
  return 0;
}
