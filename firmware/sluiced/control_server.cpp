#include "sluiced/control_server.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include "sluice/v1/control.pb.h"
#include "system/message_socket.h"

namespace sluice {
namespace {

void set_error(v1::ControlReply& reply, const Error& error) {
  reply.mutable_error()->set_code(to_string(error.code));
  reply.mutable_error()->set_field_path(error.field_path);
  reply.mutable_error()->set_message(error.message);
}

v1::ControlReply handle(const v1::ControlRequest& request, Appliance& appliance) {
  v1::ControlReply reply;
  switch (request.request_case()) {
    case v1::ControlRequest::kPrepare:
      if (auto r = appliance.prepare(request.prepare()); !r) set_error(reply, r.error());
      else *reply.mutable_prepared() = std::move(*r);
      break;
    case v1::ControlRequest::kPublish:
      if (auto r = appliance.publish(request.publish().revision()); !r) set_error(reply, r.error());
      else reply.mutable_published()->set_revision(request.publish().revision());
      break;
    case v1::ControlRequest::kGetStatus: *reply.mutable_status() = appliance.status(); break;
    case v1::ControlRequest::kGetLedger: *reply.mutable_ledger() = appliance.ledger(); break;
    case v1::ControlRequest::kExplain:
      if (auto r = appliance.explain(request.explain()); !r) set_error(reply, r.error());
      else *reply.mutable_explanation() = std::move(*r);
      break;
    case v1::ControlRequest::kIdentify:
      if (auto r = appliance.identify(request.identify().device(), request.identify().seconds()); !r) set_error(reply, r.error());
      else reply.mutable_identified();
      break;
    case v1::ControlRequest::kStartMeasurement:
      if (auto r = appliance.start_measurement(request.start_measurement().config()); !r) set_error(reply, r.error());
      else reply.mutable_measuring();
      break;
    case v1::ControlRequest::kEndMeasurement:
      if (auto r = appliance.end_measurement(); !r) set_error(reply, r.error());
      else *reply.mutable_measurement() = std::move(*r);
      break;
    case v1::ControlRequest::kStartSurvey:
      appliance.start_survey();
      reply.mutable_surveying();
      break;
    case v1::ControlRequest::kEndSurvey:
      if (auto r = appliance.end_survey(); !r) set_error(reply, r.error());
      else *reply.mutable_dedup_advice() = std::move(*r);
      break;
    case v1::ControlRequest::kTakeOut:
      if (auto r = appliance.take_out(request.take_out()); !r) set_error(reply, r.error());
      else reply.mutable_taken_out();
      break;
    case v1::ControlRequest::kReportHealth:
      appliance.report_health(request.report_health());
      reply.mutable_heard();
      break;
    case v1::ControlRequest::REQUEST_NOT_SET: set_error(reply, {ErrorCode::kInvalid, "", "an empty request"}); break;
  }
  return reply;
}

}  // namespace

Result<ControlServer> ControlServer::listen(const std::string& path, uint32_t allowed_uid, Appliance& appliance) {
  auto listener = system::listen_unix(path);
  if (!listener) return listener.error();
  auto links = system::watch_links();
  if (!links) return links.error();
  return ControlServer(std::move(*listener), std::move(*links), allowed_uid, appliance);
}

void ControlServer::accept_peer() {
  UniqueFd peer(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!peer) return;
  const auto uid = system::peer_uid(peer.get());
  if (!uid || (*uid != 0 && *uid != allowed_uid_)) {
    spdlog::warn("refused a control connection from uid {}", uid ? std::to_string(*uid) : "unknown");
    return;
  }
  peers_.push_back(std::move(peer));
}

bool ControlServer::answer(int fd) {
  const auto message = system::receive_message(fd);
  if (!message) return false;
  v1::ControlRequest request;
  if (!request.ParseFromString(*message)) {
    spdlog::warn("a control message that is none: connection closed");
    return false;
  }
  return static_cast<bool>(system::send_message(fd, handle(request, appliance_).SerializeAsString()));
}

void ControlServer::serve(const volatile bool& stop) {
  constexpr int kTickMs = 20;
  while (!stop) {
    std::vector<pollfd> waiting{{listener_.get(), POLLIN, 0}, {links_.get(), POLLIN, 0}};
    for (const auto& peer : peers_) waiting.push_back({peer.get(), POLLIN, 0});
    if (poll(waiting.data(), waiting.size(), kTickMs) > 0) {
      // Peers first: accept_peer() makes the list longer than what was polled.
      for (std::size_t i = waiting.size(); i-- > 2;)
        if (waiting[i].revents && !answer(waiting[i].fd)) peers_.erase(peers_.begin() + static_cast<std::ptrdiff_t>(i - 2));
      if (waiting[0].revents) accept_peer();
      if (waiting[1].revents) {
        system::drain(links_.get());
        appliance_.links_changed();
      }
    }
    appliance_.tick(!peers_.empty());
  }
}

}  // namespace sluice
