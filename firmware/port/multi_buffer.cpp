#include "port/multi_buffer.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <tuple>

namespace sluice {
namespace {

/// Proven by tests/guest from this kernel series on to that one, both included.
struct Proven {
  const char* driver;
  bool zero_copy;
  std::tuple<int, int> from;
  std::tuple<int, int> to;
};
constexpr std::array kProven{
    Proven{"veth", false, {7, 3}, {7, 3}},
    Proven{"virtio_net", false, {7, 3}, {7, 3}},
};

}  // namespace

bool sends_several_buffers(const std::string& driver, bool zero_copy, const std::string& kernel_release) {
  int major = 0, minor = 0;
  if (std::sscanf(kernel_release.c_str(), "%d.%d", &major, &minor) != 2) return false;
  const std::tuple kernel{major, minor};
  return std::any_of(kProven.begin(), kProven.end(),
                     [&](const Proven& p) { return driver == p.driver && zero_copy == p.zero_copy && p.from <= kernel && kernel <= p.to; });
}

bool sends_several_buffers(const std::string& driver, bool zero_copy) {
  utsname name{};
  return uname(&name) == 0 && sends_several_buffers(driver, zero_copy, name.release);
}

}  // namespace sluice
