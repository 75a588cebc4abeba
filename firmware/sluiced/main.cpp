// The data-plane daemon.
#include <sched.h>
#include <jemalloc/jemalloc.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <thread>

#include "sluiced/appliance.h"
#include "sluiced/control_server.h"
#include "system/service.h"

namespace {
constexpr unsigned kMostWorkers = 8;
static_assert(kMostWorkers < sluice::PayloadScanner::kMostThreads);
volatile bool stop = false;  // NOLINT: set by the signal handler
}  // namespace

/// One arena for all threads: what one change of many rules freed, the next one takes, whichever thread it is on.
const char* malloc_conf = "narenas:1";

int main(int argc, char** argv) {
  std::string control = "/run/sluice/control";
  uint32_t allowed_uid = 0;
  sluice::ApplianceOptions options;
  CLI::App app{"Sluice's data plane: forwards packets as the management daemon says."};
  app.add_option("--control", control, "control socket")->capture_default_str();
  app.add_option("--peer-uid", allowed_uid, "user id of the management daemon")->capture_default_str();
  options.workers = std::clamp(std::thread::hardware_concurrency(), 2U, kMostWorkers + 1) - 1;
  app.add_option("--workers", options.workers, "packet threads; worker w owns queue w of every port that has so many")
      ->check(CLI::Range(1U, kMostWorkers))
      ->capture_default_str();
  app.add_option("--frames", options.frames_per_worker, "frames of 2,048 bytes a worker, of each kind of memory that its ports need")
      ->check(CLI::Range(4096, 1 << 20))
      ->capture_default_str();
  constexpr std::size_t kMebibyte = std::size_t{1} << 20;
  std::size_t dedup_mebibytes =
      std::max<std::size_t>(1, static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) / 8 * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) / kMebibyte);
  app.add_option("--dedup-memory", dedup_mebibytes, "MiB for what deduplication domains remember, all together")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  auto* cpus = app.add_option("--cpus", options.cpus, "processors to pin the workers to, one each");
  bool pin = false;
  app.add_flag("--pin", pin, "pins the workers to the last processors, one each, if at least one is left for the rest")->excludes(cpus);
  app.add_option("--reserve", options.reserved, "MAC and PCI address of the management port: what has one of them is no port");
  CLI11_PARSE(app, argc, argv);
  options.dedup_memory = dedup_mebibytes * kMebibyte;
  if (const unsigned processors = std::thread::hardware_concurrency(); pin && processors > options.workers)
    for (uint32_t w = 0; w < options.workers; ++w) options.cpus.push_back(static_cast<int>(processors - options.workers + w));

  // What is no packet thread, and whatever it starts, stays off their processors. They choose their own.
  cpu_set_t rest;
  if (sched_getaffinity(0, sizeof rest, &rest) == 0) {
    for (const int cpu : options.cpus) CPU_CLR(static_cast<unsigned>(cpu), &rest);
    if (CPU_COUNT(&rest) > 0) sched_setaffinity(0, sizeof rest, &rest);
  }

  struct sigaction action {};
  action.sa_handler = [](int) { stop = true; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);  // kernels before 5.11 charge BPF maps and UMEM here

  sluice::Appliance appliance(options);
  auto server = sluice::ControlServer::listen(control, allowed_uid, appliance);
  if (!server) {
    spdlog::critical("{}", server.error().message);
    return 1;
  }
  spdlog::info("sluiced is up: {} workers, {} frames each, control socket {}", options.workers, options.frames_per_worker, control);
  sluice::system::notify_ready();
  server->serve(stop);
  return 0;
}
