#include "sluice-mgmt/data_plane_client.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include "system/message_socket.h"

namespace sluice {
namespace {
constexpr auto kRetry = std::chrono::milliseconds(100);
}

void DataPlaneClient::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    if (socket_) shutdown(socket_.get(), SHUT_RDWR);
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void DataPlaneClient::start(std::function<void()> connected) {
  connected_ = std::move(connected);
  thread_ = std::thread([this] { keep_connected(); });
}

/// Connects, says so, and waits for the connection's end, over and over.
void DataPlaneClient::keep_connected() {
  for (;;) {
    int fd = -1;
    {
      std::unique_lock lock(mutex_);
      if (stop_) return;
      if (auto socket = system::connect_unix(path_)) socket_ = std::move(*socket);
      if (!socket_) {
        changed_.wait_for(lock, kRetry, [this] { return stop_; });
        continue;
      }
      fd = socket_.get();
    }
    spdlog::info("connected to the data plane");
    connected_();
    for (bool hung_up = false; !hung_up;) {
      pollfd waiting{fd, POLLRDHUP, 0};
      poll(&waiting, 1, 1000);
      const std::lock_guard lock(mutex_);
      hung_up = stop_ || socket_.get() != fd || (waiting.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
    }
    const std::lock_guard lock(mutex_);
    socket_.reset();
    if (!stop_) spdlog::warn("the data plane is gone; forwarding resumes with the committed revision when it is back");
  }
}

Result<v1::ControlReply> DataPlaneClient::ask(const v1::ControlRequest& request) {
  const std::lock_guard lock(mutex_);
  if (!socket_) return Error{ErrorCode::kUnreachable, "", "the data plane is not running; nothing was changed"};
  v1::ControlReply reply;
  auto exchange = [&]() -> Result<void> {
    if (auto r = system::send_message(socket_.get(), request.SerializeAsString()); !r) return r;
    const auto message = system::receive_message(socket_.get());
    if (!message) return message.error();
    if (!reply.ParseFromString(*message)) return Error{ErrorCode::kInternal, "", "the data plane's answer cannot be read"};
    return {};
  };
  if (auto r = exchange(); !r) {
    // Out of step with the peer: only a new connection is in order again. keep_connected() closes this one.
    shutdown(socket_.get(), SHUT_RDWR);
    return r.error();
  }
  if (reply.has_error()) return Error{error_code_from(reply.error().code()), reply.error().field_path(), reply.error().message()};
  return reply;
}

Result<v1::Prepared> DataPlaneClient::prepare(uint64_t revision, const std::string& config, config::Purpose purpose) {
  v1::ControlRequest request;
  auto& prepare = *request.mutable_prepare();
  prepare.set_revision(revision);
  prepare.set_config(config);
  prepare.set_dry_run(purpose == config::Purpose::kTry);
  prepare.set_committed(purpose == config::Purpose::kResume);
  const auto reply = ask(request);
  if (!reply) return reply.error();
  return reply->prepared();
}

Result<void> DataPlaneClient::publish(uint64_t revision) {
  v1::ControlRequest request;
  request.mutable_publish()->set_revision(revision);
  const auto reply = ask(request);
  return reply ? Result<void>() : Result<void>(reply.error());
}

Result<v1::Status> DataPlaneClient::status() {
  v1::ControlRequest request;
  request.mutable_get_status();
  const auto reply = ask(request);
  if (!reply) return reply.error();
  v1::Status status = reply->status();
  status.set_version(SLUICE_VERSION);
  return status;
}

Result<v1::Ledger> DataPlaneClient::ledger() {
  v1::ControlRequest request;
  request.mutable_get_ledger();
  const auto reply = ask(request);
  if (!reply) return reply.error();
  return reply->ledger();
}

Result<v1::Explanation> DataPlaneClient::explain(const v1::Explain& what) {
  v1::ControlRequest request;
  *request.mutable_explain() = what;
  const auto reply = ask(request);
  if (!reply) return reply.error();
  return reply->explanation();
}

Result<void> DataPlaneClient::start_measurement(const v1::Config& config) {
  v1::ControlRequest request;
  *request.mutable_start_measurement()->mutable_config() = config;
  const auto reply = ask(request);
  return reply ? Result<void>() : Result<void>(reply.error());
}

Result<v1::Measurement> DataPlaneClient::end_measurement() {
  v1::ControlRequest request;
  request.mutable_end_measurement();
  const auto reply = ask(request);
  if (!reply) return reply.error();
  return reply->measurement();
}

Result<void> DataPlaneClient::start_survey() {
  v1::ControlRequest request;
  request.mutable_start_survey();
  const auto reply = ask(request);
  return reply ? Result<void>() : Result<void>(reply.error());
}

Result<v1::DedupAdvice> DataPlaneClient::end_survey() {
  v1::ControlRequest request;
  request.mutable_end_survey();
  const auto reply = ask(request);
  if (!reply) return reply.error();
  return reply->dedup_advice();
}

Result<void> DataPlaneClient::take_out(const std::string& group, const std::string& port, uint32_t milliseconds) {
  v1::ControlRequest request;
  auto& take_out = *request.mutable_take_out();
  take_out.set_tool_group(group);
  take_out.set_port(port);
  take_out.set_milliseconds(milliseconds);
  const auto reply = ask(request);
  return reply ? Result<void>() : Result<void>(reply.error());
}

Result<void> DataPlaneClient::report_health(const v1::ReportHealth& report) {
  v1::ControlRequest request;
  *request.mutable_report_health() = report;
  const auto reply = ask(request);
  return reply ? Result<void>() : Result<void>(reply.error());
}

Result<void> DataPlaneClient::identify(const std::string& device, uint32_t seconds) {
  v1::ControlRequest request;
  request.mutable_identify()->set_device(device);
  request.mutable_identify()->set_seconds(seconds);
  const auto reply = ask(request);
  return reply ? Result<void>() : Result<void>(reply.error());
}

}  // namespace sluice
