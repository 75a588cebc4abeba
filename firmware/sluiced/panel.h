// The front panel: ports as the plan wants them, reconciled with the devices that are there. Sockets are opened here and handed to the
// workers between bursts.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compile/budget.h"
#include "compile/compile.h"
#include "compile/report.h"
#include "engine/burst_watch.h"
#include "engine/worker.h"
#include "port/xdp_program.h"
#include "port/xsk_port.h"
#include "sluice/v1/status.pb.h"
#include "system/cable.h"
#include "system/links.h"

namespace sluice {

/// Control thread.
class Panel {
 public:
  /// reserved: MAC and PCI addresses of the management port; whatever has one of them is no port.
  Panel(FrameMemory& memory, const FrameLayout& layout, std::vector<std::unique_ptr<Worker>>& workers, std::vector<std::string> reserved);
  ~Panel();
  /// Closes every port, before the workers end. The programs stay pinned: the next daemon takes them over.
  void close_all();

  /// What of a plan the devices that are there can't do, known without touching them: an MTU that needs several buffers a packet, a port on
  /// the management port's device.
  [[nodiscard]] Result<void> check(const compile::Plan& plan) const;
  /// Bits per second of a port's link, by the device that is there; 0: not known.
  [[nodiscard]] static uint64_t speed_of(const compile::PortPlan& port, const std::vector<system::Link>& links);
  /// Opens the ports that are new in this plan and whose devices no open port has; touches no other. Before the plan is in force.
  void open_new(const compile::Plan& plan, const compile::Shares& shares);
  /// Opens, closes and re-opens ports until they are as planned, as far as the devices are there. Ports that stay are not touched.
  /// False: the devices could not be listed.
  bool reconcile(const compile::Plan& plan, const compile::Shares& shares);
  /// Closes and opens again what has not completed a posted frame for ten calls in a row, although its link is up: completions that are
  /// lost come no more, and only a socket that is closed gives its frames back. Called once a second.
  void restart_stalled(const compile::Plan& plan, const compile::Shares& shares);
  /// What tools were asked for by the millisecond since the last call. Called once a second.
  void look_for_bursts();
  /// Gives workers the frames back that the kernel held for closed ports, once it has let go of them. Whether any are still waited for.
  bool reclaim();

  /// Why nothing sent to this port arrives, by these devices; empty: it does, as far as is known here. by_link: not without a link.
  [[nodiscard]] std::string fault_of(const compile::PortPlan& port, const std::vector<system::Link>& links, bool by_link) const;

  /// States of the planned ports and the devices that ports may be bound to, into the status.
  /// idle: seconds since the last packet of each port that receives, by its id.
  void report(const compile::Plan& plan, const std::map<std::string, uint64_t>& idle, v1::Status& status) const;
  /// Makes the light of a device (MAC or PCI address) blink. Errors: none there, or it can't.
  [[nodiscard]] static Result<void> identify(const std::string& device, uint32_t seconds);
  /// What ports lost outside the workers, since this daemon's start.
  [[nodiscard]] std::vector<compile::OutsideCounts> outside_counts(const compile::Plan& plan) const;

 private:
  struct Open {
    compile::PortPlan plan;
    system::Link link;  ///< as it was when the port was opened: the base of the counts
    Loan loan = 0;
    MemoryClass memory_class = MemoryClass::kCopy;
    system::Rss rss = system::Rss::kNone;
    struct Progress {
      uint32_t completed = 0;
      unsigned stalled = 0;  ///< checks in a row that found frames posted and none completed
    };
    std::vector<Progress> progress;  ///< by queue
    std::vector<std::unique_ptr<Microbursts>> bursts;  ///< by worker, of a port that sends
    std::vector<std::unique_ptr<XskPort>>
        queues;  ///< worker w owns queue w; with fewer queues, worker w sends by queue w modulo their number
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
    BurstWatch bursts;
  };
  /// Sockets that are closed and whose queues the kernel may still work on.
  struct Closing {
    Loan loan;
    unsigned ifindex;
    uint32_t queues;
  };

  void try_open(const compile::PortPlan& plan, const system::Link& link, const compile::Shares& shares, State& state);
  Result<void> open(const compile::PortPlan& plan, const system::Link& link, const compile::Share& share, State& state);
  Result<void> open_sockets(Open& port, uint32_t queues);
  [[nodiscard]] bool is_reserved(const system::Link& link) const;
  [[nodiscard]] Result<void> check_reserved(const system::Link& link, const std::string& path) const;
  void report_devices(const compile::Plan& plan, const std::vector<system::Link>& links, v1::Status& status) const;
  [[nodiscard]] Loan new_loan();
  Result<void> await_release(const system::Link& link);
  void hand_over(Open& port, const compile::Share& share, XdpProgram& program);
  Result<void> attach(const system::Link& link, const compile::PortPlan& plan, State& state);
  static void detach(State& state);
  void close(State& state);
  void give_up(const Closing& closing);
  void set_shares(const compile::Shares& shares);
  [[nodiscard]] compile::OutsideCounts counts(const Open& open, const system::Link* now) const;
  [[nodiscard]] compile::OutsideCounts counts(const State& state, const std::vector<system::Link>* links) const;

  std::array<std::unique_ptr<XskUmem>, kMemoryClasses> umems_;
  FrameMemory& memory_;
  std::vector<std::unique_ptr<Worker>>& workers_;
  std::vector<std::string> reserved_;
  std::map<std::string, State> ports_;  ///< by port id
  std::vector<Closing> closing_;
  compile::Shares shares_;
  Loan next_loan_ = 0;
  system::ModuleWatch modules_;
};

}  // namespace sluice
