#include "guest/devices.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <vector>

namespace guest {

void ip(const std::string& arguments) {
  std::vector<std::string> words{"ip"};
  for (std::size_t at = 0; at < arguments.size();) {
    const auto end = std::min(arguments.find(' ', at), arguments.size());
    words.push_back(arguments.substr(at, end - at));
    at = end + 1;
  }
  const pid_t child = fork();
  if (child == 0) {
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    execvp("ip", argv.data());
    _exit(127);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) throw std::runtime_error("ip " + arguments + " failed");
}

void set_up(const std::string& device) {
  std::ofstream("/proc/sys/net/ipv6/conf/" + device + "/disable_ipv6") << 1;
  ip("link set " + device + " promisc on");
  ip("link set " + device + " up");
}

void set_up(std::span<const std::string> names) {
  for (const auto& name : names) {
    set_up(name);
    set_up(name + "-far");
  }
}

void make_veths(std::span<const std::string> names, unsigned mtu) {
  for (const auto& name : names) ip("link add " + name + " type veth peer name " + name + "-far");
  set_up(names);
  set_mtu(names, mtu);
}

void set_mtu(std::span<const std::string> names, unsigned mtu) {
  for (const char* end : {"", "-far"})
    for (const auto& name : names) ip("link set " + name + end + " mtu " + std::to_string(mtu));
}

}  // namespace guest
