#include "system/message_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/endian.h"

namespace sluice::system {
namespace {

/// Longer than any honest answer takes; a peer that hangs must not hang us.
constexpr int kPatienceSeconds = 15;

Error failed(const std::string& what, int error) { return {ErrorCode::kUnreachable, "", what + ": " + std::strerror(error)}; }

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{ErrorCode::kInvalid, "", "the socket path is too long: " + path};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<void> read_all(int fd, std::byte* into, std::size_t size) {
  while (size > 0) {
    const ssize_t n = recv(fd, into, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN)
      return Error{ErrorCode::kUnreachable, "", "no answer on the control socket within " + std::to_string(kPatienceSeconds) + " s"};
    if (n <= 0) return failed("the other daemon closed the control socket", n < 0 ? errno : ECONNRESET);
    into += n;
    size -= static_cast<std::size_t>(n);
  }
  return {};
}

Result<void> write_all(int fd, const char* from, std::size_t size) {
  while (size > 0) {
    const ssize_t n = send(fd, from, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("writing to the control socket", errno);
    from += n;
    size -= static_cast<std::size_t>(n);
  }
  return {};
}

}  // namespace

Result<UniqueFd> listen_unix(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return address.error();
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  unlink(path.c_str());
  const mode_t before = umask(0111);  // everybody may knock; peer_uid() decides who comes in
  const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
  const int error = errno;
  umask(before);
  if (bound != 0) return failed("making the control socket " + path, error);
  if (listen(fd.get(), 8) != 0) return failed("listening on " + path, errno);
  return fd;
}

Result<UniqueFd> connect_unix(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return address.error();
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
    return failed("connecting to the data plane at " + path, errno);
  const timeval patience{kPatienceSeconds, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

Result<uint32_t> peer_uid(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return failed("SO_PEERCRED", errno);
  return static_cast<uint32_t>(peer.uid);
}

Result<void> send_message(int fd, std::string_view message) {
  if (message.size() > kMaxMessage) return Error{ErrorCode::kTooLarge, "", "the message is longer than 64 MiB"};
  std::array<std::byte, 4> length;
  write_be32(length.data(), static_cast<uint32_t>(message.size()));
  if (auto r = write_all(fd, reinterpret_cast<const char*>(length.data()), length.size()); !r) return r;
  return write_all(fd, message.data(), message.size());
}

Result<std::string> receive_message(int fd) {
  std::array<std::byte, 4> prefix;
  if (auto r = read_all(fd, prefix.data(), prefix.size()); !r) return r.error();
  const uint32_t length = read_be32(prefix.data());
  if (length > kMaxMessage) return Error{ErrorCode::kTooLarge, "", "a message of " + std::to_string(length) + " bytes was announced"};
  std::string message(length, '\0');
  if (auto r = read_all(fd, reinterpret_cast<std::byte*>(message.data()), length); !r) return r.error();
  return message;
}

}  // namespace sluice::system
