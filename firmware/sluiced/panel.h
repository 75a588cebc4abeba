// The front panel: ports as the plan wants them, reconciled with the devices that are there. Sockets are opened here and handed to the
// workers between bursts.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compile/compile.h"
#include "compile/report.h"
#include "engine/worker.h"
#include "port/xdp_program.h"
#include "port/xsk_port.h"
#include "sluice/v1/status.pb.h"
#include "system/links.h"

namespace sluice {

/// Ring sizes of a port's queue: descriptors.
inline constexpr uint32_t kFillRing = 2048;
inline constexpr uint32_t kRxRing = 2048;
inline constexpr uint32_t kTxRing = 2048;

/// Control thread.
class Panel {
 public:
  /// Worker w owns queue w of every port.
  Panel(FrameMemory& memory, std::vector<std::unique_ptr<Worker>>& workers) : umem_(memory), workers_(workers) {}
  ~Panel();

  /// Opens the ports that are new in this plan and whose devices no open port has; touches no other. Before the plan is in force.
  void open_new(const compile::Plan& plan);
  /// Opens, closes and re-opens ports until they are as planned, as far as the devices are there. Ports that stay are not touched.
  /// False: the devices could not be listed.
  bool reconcile(const compile::Plan& plan);

  /// States of the planned ports, into the status.
  void report(const compile::Plan& plan, v1::Status& status) const;
  /// What ports lost outside the workers, since this daemon's start.
  [[nodiscard]] std::vector<compile::OutsideCounts> outside_counts(const compile::Plan& plan) const;

 private:
  struct Open {
    compile::PortPlan plan;
    system::Link link;                             ///< as it was when the port was opened: the base of the counts
    std::vector<std::unique_ptr<XskPort>> queues;  ///< by worker
  };
  struct State {
    std::optional<Open> open;
    /// On the device for as long as it is this port's, open or not: nobody else sees its packets.
    std::unique_ptr<XdpProgram> program;
    std::string program_device;
    uint64_t misses_base = 0;       ///< the program's count when this epoch began to be answerable for it
    std::string fault;              ///< why it could not be opened
    compile::OutsideCounts closed;  ///< counts of earlier openings
    bool opened_before = false;
  };

  void try_open(const compile::PortPlan& plan, const system::Link& link, State& state);
  Result<void> open(const compile::PortPlan& plan, const system::Link& link, State& state);
  Result<void> open_sockets(Open& port);
  void hand_over(Open& port, XdpProgram& program);
  Result<void> attach(const system::Link& link, const std::string& device, State& state);
  static void detach(State& state);
  void close(State& state);
  [[nodiscard]] compile::OutsideCounts counts(const Open& open, const system::Link* now) const;

  XskUmem umem_;
  std::vector<std::unique_ptr<Worker>>& workers_;
  std::map<std::string, State> ports_;  ///< by port id
};

}  // namespace sluice
