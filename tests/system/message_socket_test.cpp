#include "system/message_socket.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>

using namespace sluice;

namespace {
std::pair<UniqueFd, UniqueFd> pair_of_sockets() {
  std::array<int, 2> fds{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds.data()) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}
}  // namespace

TEST_CASE("message socket: messages arrive whole and in order, empty ones too") {
  auto [a, b] = pair_of_sockets();
  REQUIRE(system::send_message(a.get(), "one"));
  REQUIRE(system::send_message(a.get(), ""));
  REQUIRE(system::send_message(a.get(), std::string(100'000, 'x')));
  CHECK(*system::receive_message(b.get()) == "one");
  CHECK(system::receive_message(b.get())->empty());
  CHECK(system::receive_message(b.get())->size() == 100'000);
}

TEST_CASE("message socket: a length that nobody means and a message cut short are errors") {
  {
    auto [a, b] = pair_of_sockets();
    REQUIRE(send(a.get(), "\xff\xff\xff\xff", 4, 0) == 4);
    CHECK(system::receive_message(b.get()).error().code == ErrorCode::kTooLarge);
  }
  auto [a, b] = pair_of_sockets();
  REQUIRE(send(a.get(), "\0\0\0\x09half", 8, 0) == 8);
  a.reset();
  CHECK(system::receive_message(b.get()).error().code == ErrorCode::kUnreachable);
}
