#include "api/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <future>
#include <map>
#include <thread>

namespace sluice::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using local = asio::local::stream_protocol;
using LocalStream = beast::basic_stream<local>;

constexpr auto kHandshakeTime = std::chrono::seconds(10);
constexpr auto kRequestTime = std::chrono::seconds(30);
constexpr std::size_t kMaxHeader = 16384;
/// How often a stream is asked for more.
constexpr auto kStreamPause = std::chrono::milliseconds(100);
/// Connections at once; more are closed at the door, so that nobody starves the daemon of descriptors.
constexpr int kMaxConnections = 256;
/// Of them from one address; and by the local socket, which must not depend on what strangers do.
constexpr int kMaxFromOne = 64, kMaxLocal = 32;

/// The other end of a connection.
struct Peer {
  std::string address;
  bool local = false;
};

Request to_request(const http::request<http::string_body>& message, const Target& target, const Peer& peer) {
  Request request;
  request.peer = peer.address;
  request.local = peer.local;
  request.method = std::string(message.method_string());
  request.path = target.path;
  request.query = target.query;
  request.authorization = std::string(message[http::field::authorization]);
  request.if_match = std::string(message[http::field::if_match]);
  request.content_type = std::string(message[http::field::content_type]);
  request.cookie = std::string(message[http::field::cookie]);
  request.origin = std::string(message[http::field::origin]);
  request.host = std::string(message[http::field::host]);
  request.last_event_id = std::string(message["Last-Event-ID"]);
  return request;
}

/// The other end's, IPv4 as such also where the socket is one of IPv6.
std::string address_of(const tcp::socket& socket) {
  boost::system::error_code gone;
  const auto address = socket.remote_endpoint(gone).address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  return address.to_string();
}

template <class Message>
void set_headers(Message& message, const Response& response) {
  message.result(response.status);
  message.set(http::field::server, "Sluice");
  if (!response.content_type.empty()) message.set(http::field::content_type, response.content_type);
  message.set(http::field::cache_control, "no-store");
  message.set(http::field::strict_transport_security, "max-age=31536000");
  message.set("X-Content-Type-Options", "nosniff");
  message.set("X-Frame-Options", "DENY");
  message.set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
  for (const auto& [name, value] : response.headers) message.set(name, value);
}

http::response<http::string_body> to_message(Response&& response, unsigned version, bool keep_alive, bool head) {
  http::response<http::string_body> message;
  message.version(version);
  set_headers(message, response);
  message.keep_alive(keep_alive);
  message.body() = std::move(response.body);
  message.prepare_payload();
  if (head) message.body().clear();
  return message;
}

}  // namespace

struct Server::State {
  explicit State(Handlers h) : handlers(std::move(h)) {}

  asio::awaitable<void> accept();
  asio::awaitable<void> accept_local();
  asio::awaitable<void> converse(beast::ssl_stream<beast::tcp_stream> stream);
  asio::awaitable<void> converse(LocalStream stream);
  template <class Connection>
  asio::awaitable<void> serve(Connection& stream, Peer peer);
  template <class Connection>
  asio::awaitable<void> send_on_and_on(Connection& stream, Response response, unsigned version);

  Handlers handlers;
  asio::io_context io{1};
  ssl::context tls{ssl::context::tls_server};
  tcp::acceptor acceptor{io};
  local::acceptor local_acceptor{io};
  asio::thread_pool workshop{4};               ///< handlers wait for the data plane and the disk; connections do not wait for them
  int connections = 0, local_connections = 0;  ///< io thread alone
  std::map<std::string, int> by_address;
  std::thread thread;
};

asio::awaitable<void> Server::State::accept() {
  for (;;) {
    boost::system::error_code error;
    tcp::socket socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) co_return;
    const auto from = error ? std::string() : address_of(socket);
    if (error || connections >= kMaxConnections || by_address[from] >= kMaxFromOne) continue;
    ++connections;
    ++by_address[from];
    asio::co_spawn(io, converse(beast::ssl_stream<beast::tcp_stream>(beast::tcp_stream(std::move(socket)), tls)),
                   [this, from](std::exception_ptr) {
                     --connections;
                     if (--by_address[from] == 0) by_address.erase(from);
                   });
  }
}

asio::awaitable<void> Server::State::accept_local() {
  for (;;) {
    boost::system::error_code error;
    local::socket socket = co_await local_acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) co_return;
    ucred who{};
    socklen_t size = sizeof who;
    // The socket's mode keeps others out; this does not depend on it.
    if (error || local_connections >= kMaxLocal || getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
        (who.uid != 0 && who.uid != geteuid()))
      continue;
    ++local_connections;
    asio::co_spawn(io, converse(LocalStream(std::move(socket))), [this](std::exception_ptr) { --local_connections; });
  }
}

/// One connection from handshake to close. A peer that is slow, rude or gone ends it; exceptions of the library end here.
asio::awaitable<void> Server::State::converse(beast::ssl_stream<beast::tcp_stream> stream) {
  auto& connection = beast::get_lowest_layer(stream);
  boost::system::error_code error;
  connection.expires_after(kHandshakeTime);
  co_await stream.async_handshake(ssl::stream_base::server, asio::use_awaitable);
  // Named: g++ 12 destroys a braced temporary among a coroutine's arguments twice.
  const Peer peer{address_of(connection.socket()), false};
  co_await serve(stream, peer);
  connection.expires_after(kHandshakeTime);
  co_await stream.async_shutdown(asio::redirect_error(asio::use_awaitable, error));
}

asio::awaitable<void> Server::State::converse(LocalStream stream) {
  const Peer peer{"local", true};
  co_await serve(stream, peer);
}

/// Requests and answers, until one side has enough.
template <class Connection>
asio::awaitable<void> Server::State::serve(Connection& stream, Peer peer) {
  // Bounded: neither a chunk's extensions nor the trailers behind the last chunk count as the body.
  beast::flat_buffer buffer(4 * kMaxHeader);
  for (;;) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(kMaxHeader);
    parser.body_limit(boost::none);  // depends on who sends it: known when the header is read
    beast::get_lowest_layer(stream).expires_after(kRequestTime);
    boost::system::error_code error;
    co_await http::async_read_header(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
    const auto& message = parser.get();
    const auto target = error ? std::nullopt : parse_target({message.target().data(), message.target().size()});
    if (target) {
      const std::size_t limit = handlers.body_limit(to_request(message, *target, peer));
      parser.body_limit(limit);  // counts chunks; a length that the header names was looked at with it
      if (parser.content_length().value_or(0) > limit) error = http::error::body_limit;
      else co_await http::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
    }
    Response response;
    bool keep_alive = message.keep_alive();
    if (error == http::error::body_limit || error == http::error::header_limit) {
      response = problem(413, "Too large", "a body may have 32 MiB, without a valid token 4 KiB; the header 16 KiB");
      keep_alive = false;
    } else if (error) {
      break;
    } else if (!target) {
      response = problem(400, "Bad request", "the request's target is malformed");
      keep_alive = false;
    } else {
      Request request = to_request(message, *target, peer);
      request.body = std::move(parser.get().body());
      // Bound to the workshop: a plain post() would come straight back to this coroutine's own executor.
      co_await asio::post(asio::bind_executor(workshop.get_executor(), asio::use_awaitable));
      try {
        response = handlers.handle(request);
      } catch (const std::exception& e) {
        response = problem({ErrorCode::kInternal, "", e.what()});
      }
      co_await asio::post(io, asio::use_awaitable);
    }
    if (response.stream && message.method() == http::verb::head) response.stream.reset();
    if (response.stream) {
      co_await send_on_and_on(stream, std::move(response), message.version());
      break;
    }
    const auto answer = to_message(std::move(response), message.version(), keep_alive, message.method() == http::verb::head);
    beast::get_lowest_layer(stream).expires_after(kRequestTime);
    co_await http::async_write(stream, answer, asio::use_awaitable);
    if (!keep_alive) break;
  }
}

template <class Connection>
asio::awaitable<void> Server::State::send_on_and_on(Connection& stream, Response response, unsigned version) {
  auto& connection = beast::get_lowest_layer(stream);
  const bool chunked = version >= 11;  // HTTP/1.0 has no chunks: there the end of the connection is the end
  http::response<http::empty_body> head;
  head.version(version);
  set_headers(head, response);
  head.chunked(chunked);
  http::response_serializer<http::empty_body> serializer(head);
  connection.expires_after(kRequestTime);
  co_await http::async_write_header(stream, serializer, asio::use_awaitable);
  asio::steady_timer pause(io);
  while (const auto part = response.stream->next()) {
    connection.expires_after(kRequestTime);
    if (!part->empty() && chunked) co_await asio::async_write(stream, http::make_chunk(asio::buffer(*part)), asio::use_awaitable);
    else if (!part->empty()) co_await asio::async_write(stream, asio::buffer(*part), asio::use_awaitable);
    pause.expires_after(kStreamPause);
    co_await pause.async_wait(asio::use_awaitable);
  }
  if (chunked) co_await asio::async_write(stream, http::make_chunk_last(), asio::use_awaitable);
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, Handlers handlers) try {
  auto state = std::make_unique<State>(std::move(handlers));
  state->tls.set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  SSL_CTX_set_min_proto_version(state->tls.native_handle(), TLS1_2_VERSION);
  state->tls.use_certificate_chain_file(options.certificate);
  state->tls.use_private_key_file(options.key, ssl::context::pem);
  if (options.listener >= 0) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(options.listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      return Error{ErrorCode::kInternal, "", "the socket that was handed over is none"};
    state->acceptor.assign(address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), options.listener);
  } else {
    const tcp::endpoint endpoint(asio::ip::make_address(options.address), options.port);
    state->acceptor.open(endpoint.protocol());
    state->acceptor.set_option(tcp::acceptor::reuse_address(true));
    state->acceptor.bind(endpoint);
    state->acceptor.listen();
  }
  if (!options.local_socket.empty()) {
    unlink(options.local_socket.c_str());
    const local::endpoint endpoint(options.local_socket);
    state->local_acceptor.open(endpoint.protocol());
    const mode_t before = umask(0177);
    state->local_acceptor.bind(endpoint);
    umask(before);
    state->local_acceptor.listen();
    asio::co_spawn(state->io, state->accept_local(), asio::detached);
  }
  asio::co_spawn(state->io, state->accept(), asio::detached);
  state->thread = std::thread([s = state.get()] { s->io.run(); });
  return std::unique_ptr<Server>(new Server(std::move(state)));
} catch (const std::exception& e) {
  return Error{ErrorCode::kInternal, "", "cannot serve https://" + options.address + ":" + std::to_string(options.port) + ": " + e.what()};
}

bool Server::responds(std::chrono::milliseconds patience) {
  const auto turn = std::make_shared<std::promise<void>>();
  auto done = turn->get_future();
  asio::post(state_->io, [turn, s = state_.get()] { asio::post(s->workshop, [turn] { turn->set_value(); }); });
  return done.wait_for(patience) == std::future_status::ready;
}

Server::~Server() {
  state_->workshop.join();
  state_->io.stop();
  state_->thread.join();
}

}  // namespace sluice::api
