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

  /// Opens, closes and re-opens ports until they are as planned, as far as the devices are there. Ports that stay are not touched.
  void reconcile(const compile::Plan& plan);

  /// States of the planned ports, into the status.
  void report(const compile::Plan& plan, v1::Status& status) const;
  /// What ports lost outside the workers, since this daemon's start.
  [[nodiscard]] std::vector<compile::OutsideCounts> outside_counts(const compile::Plan& plan) const;

 private:
  struct Open {
    compile::PortPlan plan;
    system::Link link;  ///< as it was when the port was opened: the base of the counts
    std::unique_ptr<XdpProgram> program;
    std::vector<std::unique_ptr<XskPort>> queues;  ///< by worker
  };
  struct State {
    std::optional<Open> open;
    std::string fault;               ///< why it could not be opened
    compile::OutsideCounts closed;   ///< counts of earlier openings
  };

  Result<void> open(const compile::PortPlan& plan, const system::Link& link, State& state);
  void close(State& state, bool keep_program);
  [[nodiscard]] compile::OutsideCounts counts(const Open& open, const system::Link* now) const;

  XskUmem umem_;
  std::vector<std::unique_ptr<Worker>>& workers_;
  std::map<std::string, State> ports_;  ///< by port id
};

}  // namespace sluice
