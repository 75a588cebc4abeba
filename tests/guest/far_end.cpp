#include "guest/far_end.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

namespace guest {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

FarEnd::FarEnd(const std::string& device) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)), buffer_(65536) {
  if (!fd_) fail("packet socket");
  const int room = 16 << 20, yes = 1;
  if (setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) fail("SO_RCVBUFFORCE");
  if (setsockopt(fd_.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes) != 0) fail("PACKET_IGNORE_OUTGOING");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(kEtherType);
  address.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("packet socket on " + device);
}

bool FarEnd::send(std::span<const std::byte> frame) {
  if (::send(fd_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size())) return true;
  if (errno != EAGAIN && errno != ENOBUFS) fail("sending");
  return false;
}

std::span<const std::byte> FarEnd::receive() {
  const ssize_t n = recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
  if (n < 0 && errno != EAGAIN) fail("receiving");
  return {buffer_.data(), static_cast<std::size_t>(n < 0 ? 0 : n)};
}

uint32_t FarEnd::lost() {
  tpacket_stats statistics{};
  socklen_t size = sizeof statistics;
  getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &statistics, &size);
  return statistics.tp_drops;
}

}  // namespace guest
