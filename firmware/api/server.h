// HTTPS: connections, TLS, limits and time-outs; what a request means is the handler's business.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "api/http.h"
#include "base/result.h"

namespace sluice::api {

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 8443;
  int listener = -1;         ///< a socket that listens already (socket activation), instead of address and port; becomes the server's
  std::string local_socket;  ///< path of a Unix socket beside it, for root and our own user; empty: none
  std::string certificate;   ///< PEM files
  std::string key;
};

/// A body may be this long; a whole configuration of 16,384 rules is about 4 MB.
inline constexpr std::size_t kMaxBody = 32U << 20;
/// From somebody who has not logged in: a login, and nothing larger.
inline constexpr std::size_t kMaxStrangersBody = 4096;

class Server {
 public:
  struct Handlers {
    /// How long a body this request may have, asked when its header is there. On the connections' thread: must not wait.
    std::function<std::size_t(const Request&)> body_limit;
    /// Called on threads of the server's own, several at once.
    std::function<Response(const Request&)> handle;
  };
  [[nodiscard]] static Result<std::unique_ptr<Server>> start(const ServerOptions& options, Handlers handlers);
  /// Whether connections and handlers still get their turn within this time. Any thread.
  [[nodiscard]] bool responds(std::chrono::milliseconds patience);
  /// Ends all connections and waits for the threads.
  ~Server();

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice::api
