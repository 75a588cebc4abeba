// Length-prefixed messages over a Unix stream socket: four bytes of length in network order, then the message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace sluice::system {

/// A longer message is refused: nothing that we say is nearly as long.
inline constexpr uint32_t kMaxMessage = 64U << 20;

[[nodiscard]] Result<UniqueFd> listen_unix(const std::string& path);
/// What is sent or received on it waits 15 s at most.
[[nodiscard]] Result<UniqueFd> connect_unix(const std::string& path);
/// The user at the other end (SO_PEERCRED).
[[nodiscard]] Result<uint32_t> peer_uid(int fd);

/// Blocks. Errors: the other end went away.
[[nodiscard]] Result<void> send_message(int fd, std::string_view message);
[[nodiscard]] Result<std::string> receive_message(int fd);

}  // namespace sluice::system
