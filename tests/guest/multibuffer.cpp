// Shows what this kernel makes of packets that consist of several AF_XDP descriptors: a private header followed by a payload that two
// outputs share, and packets longer than a chunk. Prints one JSON object a line; ends with 0 when nothing was worse than expected.
//
//   guest-multibuffer [--count N] [--only TEXT] veth|virtio ...
//
// --only runs the cases with this text in their name. "veth" makes its devices in the network namespace that it is started in; "virtio"
// wants in, in-far, out1 ... to be there.
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "guest/devices.h"
#include "guest/fan_out.h"

namespace {

using namespace guest;

const std::vector<std::string> kPorts = {"in", "out1", "out2"};

struct Case {
  Experiment experiment;
  int may_be_refused = 0;  ///< with this error
  unsigned mtu = 1500;     ///< of the devices
};

std::vector<Case> veth_cases() {
  const std::string p = "v-";
  for (const auto& port : kPorts) {
    ip("link add " + p + port + " type veth peer name " + p + port + "-far");
    set_up(p + port);
    set_up(p + port + "-far");
  }
  const uint16_t chains = XDP_COPY | XDP_USE_SG;
  Case received{{.name = "long packets received", .prefix = p, .flags = chains, .receive = true, .send = false}};
  Case forwarded{{.name = "long packets forwarded behind headers", .prefix = p, .flags = chains, .receive = true, .header = true}};
  for (Case* c : {&received, &forwarded}) {
    c->mtu = 9000;
    c->experiment.shortest = 2049;
    c->experiment.longest = 8900;
  }
  return {{{.name = "forward", .prefix = p, .flags = XDP_COPY, .receive = true}},
          {{.name = "header and shared payload", .prefix = p, .flags = chains, .header = true}},
          received,
          forwarded,
          {{.name = "sockets closed under way", .prefix = p, .flags = chains, .header = true, .abandon = true}},
          {{.name = "a wrong byte is noticed", .prefix = p, .flags = chains, .header = true, .spoil = true}}};
}

std::vector<Case> virtio_cases() {
  for (const auto& port : kPorts) {
    set_up(port);
    set_up(port + "-far");
  }
  return {
      {{.name = "forward", .flags = XDP_ZEROCOPY, .receive = true}},
      // The driver takes one segment a packet as long as it does not say more.
      {{.name = "header and shared payload", .flags = XDP_ZEROCOPY | XDP_USE_SG, .header = true}, EOPNOTSUPP},
      {{.name = "header and shared payload", .flags = XDP_COPY | XDP_USE_SG, .header = true}},
      {{.name = "header and shared payload, mode left to the kernel", .flags = XDP_USE_SG, .header = true}},
      {{.name = "forward", .flags = XDP_COPY, .receive = true}},
      {{.name = "sockets closed under way", .flags = XDP_COPY | XDP_USE_SG, .header = true, .abandon = true}},
      {{.name = "long packets received", .flags = XDP_COPY | XDP_USE_SG, .receive = true, .send = false, .shortest = 2049, .longest = 8900},
       0,
       9000},
      {{.name = "long packets forwarded behind headers",
        .flags = XDP_COPY | XDP_USE_SG,
        .receive = true,
        .header = true,
        .shortest = 2049,
        .longest = 8900},
       0,
       9000},
  };
}

bool report(const Case& c, const std::string& driver, uint32_t count) {
  for (const auto& port : kPorts)
    for (const char* end : {"", "-far"}) ip("link set " + c.experiment.prefix + port + end + " mtu " + std::to_string(c.mtu));
  utsname kernel{};
  uname(&kernel);
  guest::Result r = run(c.experiment, count);
  if (c.experiment.abandon)
    for (unsigned round = 1; round < 50 && r.why.empty(); ++round) r = run(c.experiment, count);
  const bool whole = r.why.empty() && (c.experiment.abandon || (r.sent == count && r.whole == count && r.completed == r.posted));
  const bool ok = r.refused ? r.refused == c.may_be_refused : whole != c.experiment.spoil;
  const bool zero_copy = r.refused ? (c.experiment.flags & XDP_ZEROCOPY) != 0 : r.zero_copy;
  std::printf(R"({"case": "%s", "driver": "%s", "mode": "%s", "kernel": "%s", "sent": %lu, "whole": %lu, "posted": %lu, "completed": %lu, )"
              R"("received": %lu, "fragments": %lu, "refused": %s, "ok": %s, "why": "%s"})"
              "\n",
              c.experiment.name.c_str(), driver.c_str(), zero_copy ? "ZERO_COPY" : "COPY", kernel.release, r.sent, r.whole, r.posted,
              r.completed, r.received, r.fragments, r.refused ? "true" : "false", ok ? "true" : "false", r.why.c_str());
  std::fflush(stdout);
  return ok;
}

}  // namespace

int main(int argc, char** argv) {
  uint32_t count = 2000;
  std::string only;
  bool ok = argc > 1;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--count" && i + 1 < argc) {
      count = static_cast<uint32_t>(std::stoul(argv[++i]));
    } else if (word == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else if (word == "veth" || word == "virtio") {
      for (const Case& c : word == "veth" ? veth_cases() : virtio_cases())
        if (c.experiment.name.find(only) != std::string::npos) ok = report(c, word == "veth" ? "veth" : "virtio_net", count) && ok;
    } else {
      std::fprintf(stderr, "guest-multibuffer [--count N] [--only TEXT] veth|virtio ...\n");
      return 2;
    }
  }
  return ok ? 0 : 1;
}
