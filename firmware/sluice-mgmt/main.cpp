// The management daemon: REST over TLS, the configuration and its store.
#include <jemalloc/jemalloc.h>
#include <signal.h>
#include <sodium.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "api/auth.h"
#include "api/certificate.h"
#include "api/routes.h"
#include "api/server.h"
#include "config/confirmation_watch.h"
#include "config/store.h"
#include "config/tool_reports.h"
#include "config/transaction.h"
#include "sluice-mgmt/data_plane_client.h"
#include "system/service.h"

namespace {

using namespace sluice;

struct Options {
  std::string control = "/run/sluice/control";
  std::string state = "/var/lib/sluice";
  api::ServerOptions server;
};

/// Until one of the signals says to end. Meanwhile the manager hears that the server still serves, and what is over ends.
void stay(api::Server& server, api::Auth& auth, const sigset_t& signals) {
  constexpr std::chrono::nanoseconds kTidyEvery = std::chrono::minutes(1);
  const auto watchdog = system::watchdog_ns();
  const auto third = watchdog ? std::min(std::chrono::nanoseconds(*watchdog / 3), kTidyEvery) : kTidyEvery;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(third);
  const timespec pause{seconds.count(), (third - seconds).count()};
  auth.tidy();
  while (sigtimedwait(&signals, nullptr, &pause) < 0) {
    auth.tidy();
    if (!watchdog) continue;
    // Twice, for it may just be busy: both within what the watchdog leaves.
    const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(third);
    if (server.responds(patience) || server.responds(patience)) system::notify_alive();
  }
}

Result<void> run(Options options, const sigset_t& signals) {
  auto activated = system::activated_socket();
  mkdir(options.state.c_str(), 0700);
  auto store = config::Store::open(options.state + "/sluice.sqlite");
  if (!store) return store.error();
  auto people = config::People::open(options.state + "/sluice.sqlite");
  if (!people) return people.error();
  auto tool_reports = config::ToolReports::open(options.state + "/sluice.sqlite");
  if (!tool_reports) return tool_reports.error();
  auto auth = api::Auth::open(**people, options.state + "/first-login");
  if (!auth) return auth.error();
  options.server.certificate = options.state + "/tls-certificate.pem";
  options.server.key = options.state + "/tls-key.pem";
  if (auto r = api::ensure_certificate(options.server.certificate, options.server.key); !r) return r;

  DataPlaneClient data_plane(options.control);
  config::Configuration configuration(**store, data_plane);
  if (auto r = configuration.load(); !r) return r;
  // Its thread calls the configuration: it ends first, however this function is left.
  struct StopFirst {
    DataPlaneClient& client;
    ~StopFirst() { client.stop(); }
  } const stop_first{data_plane};

  api::Router router([&](const api::Request& request) { return (*auth)->identify(request); });
  api::Events events(configuration, data_plane);
  api::add_routes(router, configuration, data_plane, **auth, events, **tool_reports);
  options.server.local_socket = options.state + "/api.sock";
  if (activated) options.server.listener = activated->release();
  const auto server = api::Server::start(
      options.server,
      {.body_limit = [&](const api::Request& request) { return router.is_authorised(request) ? api::kMaxBody : api::kMaxStrangersBody; },
       .handle = [&](const api::Request& request) { return router.handle(request); }});
  if (!server) return server.error();
  data_plane.start([&] {
    if (auto r = configuration.resume(); !r)
      spdlog::error("the data plane refuses the committed revision: {}: {}", r.error().field_path, r.error().message);
    // What tools said before, of ports that there are: their time begins now.
    const auto view = configuration.view();
    for (const auto& [port, word] : (*tool_reports)->all()) {
      if (std::none_of(view.config.ports().begin(), view.config.ports().end(), [&port = port](const auto& one) { return one.id() == port; })) continue;
      v1::ReportHealth report;
      report.set_port(port);
      report.set_state(word.down ? v1::ToolState::DOWN : v1::ToolState::UP);
      report.set_milliseconds(word.milliseconds);
      report.set_reason(word.reason);
      report.set_remembered(true);
      if (auto r = data_plane.report_health(report); !r) return;  // it is gone again
    }
  });
  const config::ConfirmationWatch watch(configuration);
  if (options.server.listener < 0) spdlog::info("sluice-mgmt serves https://{}:{}", options.server.address, options.server.port);
  else spdlog::info("sluice-mgmt serves HTTPS on the socket that it was given");
  system::notify_ready();
  stay(**server, **auth, signals);
  return {};
}

}  // namespace

/// One arena for all threads: what one change of many rules freed, the next one takes, whichever thread it is on.
const char* malloc_conf = "narenas:1";

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Sluice's management daemon: the REST API and the configuration behind it."};
  app.add_option("--control", options.control, "the data plane's control socket")->capture_default_str();
  app.add_option("--state", options.state, "folder for the database, the TLS key and the first-login secret")->capture_default_str();
  app.add_option("--address", options.server.address, "address to listen on")->capture_default_str();
  app.add_option("--port", options.server.port, "TCP port to listen on")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  if (sodium_init() < 0) return 1;
  // Before any thread starts, so that all of them leave these to sigwait().
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  if (auto r = run(options, signals); !r) {
    spdlog::critical("{}{}{}", r.error().field_path, r.error().field_path.empty() ? "" : ": ", r.error().message);
    return 1;
  }
  return 0;
}
