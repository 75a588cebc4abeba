// A worker's floor: everything it owns and works with. The control thread changes it only between bursts (Worker::between_bursts).
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "engine/classify/classifier.h"
#include "engine/counters.h"
#include "engine/dedup/survey.h"
#include "engine/fragments.h"
#include "engine/handover.h"
#include "engine/flow_census.h"
#include "engine/measurement.h"
#include "engine/microbursts.h"
#include "engine/snapshot.h"
#include "engine/tool_queue.h"
#include "port/frame_pool.h"
#include "port/port_queue.h"

namespace sluice {

/// A port's queue that the worker receives from.
struct Inlet {
  PortSlot port;
  PortQueue* queue;
  MemoryClass memory_class = MemoryClass::kCopy;
  /// The port has fewer queues than there are workers: packets go to the worker of their address pair.
  bool spread = false;
};

/// The way to a tool port.
struct Outlet {
  bool open = false;
  PortQueue* queue = nullptr;         ///< this worker's own queue of the port; null: `owner` has the one that serves this worker
  std::unique_ptr<ToolQueue> copies;  ///< with queue
  uint32_t owner = 0;                 ///< a worker
  MemoryClass memory_class = MemoryClass::kCopy;
  uint32_t max_length = UINT32_MAX;  ///< bytes of the longest packet that the port takes
  uint32_t quota = kToolQueue;       ///< frames that its queue may hold
  Loan loan = 0;                     ///< this opening of the port
  Microbursts* bursts = nullptr;     ///< what this worker tells of it; null: nobody looks
  /// Frames that the line has room for: it has half of what the port may hold, for what is in it no priority overtakes. With queue.
  [[nodiscard]] uint32_t line_room() const {
    const uint32_t most = std::min(kLine, quota / 2);
    return most - std::min(copies->in_line(), most);
  }
  /// Why a copy is lost that finds no room.
  [[nodiscard]] CopyDrop full() const { return quota < kToolQueue ? CopyDrop::kBufferQuota : CopyDrop::kToolQueueFull; }
};

/// Copies of a port that was closed: the kernel may still read their frames.
struct Detained {
  Loan loan;
  PortSlot port;
  std::unique_ptr<ToolQueue> copies;
};

/// Copies of one burst for one tool port that are alike: one way, one shape.
struct Load {
  uint64_t packets;  ///< a bit each
  uint64_t bytes;    ///< of all of them together, as shaped
  uint32_t leg;
  uint32_t map;  ///< position in Snapshot::maps
  Priority priority;
  uint32_t next;  ///< the port's next load in the workbench; kNoLoad: none
  Slice slice;
};
inline constexpr uint32_t kNoLoad = 0xFFFFFFFF;

/// What the stages of a burst tell each other, emptied for every burst.
struct Workbench {
  Workbench();
  std::unique_ptr<uint64_t[]> passed;                     ///< by map position: the packets that it passes and may send
  std::array<uint64_t, kMaxSlots.maps / 64> maps{};       ///< a bit for each map that passes any
  std::vector<Load> loads;                                ///< room for all legs
  std::array<uint32_t, kMaxPorts> first_load, last_load;  ///< of a port; valid where loaded_ports has it
  std::array<uint64_t, kMaxPorts / 64> loaded_ports{};
  std::array<uint64_t, kMaxPorts> may_leave{};  ///< by port with an egress filter: the packets that it passes
  uint32_t longest = 0;                         ///< bytes of the burst's longest packet
  uint64_t now = 0;                             ///< when what is queued at present is queued, of Pipeline::now()
  struct Sum {
    uint64_t packets = 0;
    uint64_t bytes = 0;
    Slice slice;
  };
  Sum last_sum;                              ///< the bytes that were asked for last; reset when the burst changes
  HashChoice hash_choice;                    ///< of flow_hashes
  std::array<uint64_t, kBurst> flow_hashes;  ///< valid where hashed
  uint64_t hashed = 0;
  uint64_t duplicates = 0;  ///< packets that were seen before
  std::array<uint16_t, kBurst> references;                   ///< to the packet's first frame
  std::array<uint16_t, kBurst + kMaxChain> rest_references;  ///< to Burst::rest
  /// A packet of this burst that was copied for tools of another memory class.
  struct Copied {
    unsigned packet;
    MemoryClass memory_class;
    uint8_t size;
    std::array<uint16_t, kMaxChain> references;
    std::array<Frame, kMaxChain> frames;
  };
  std::vector<Copied> copied;
  /// Frames of copies that gave way in a full buffer, and who counts their references: given back once the burst's own are counted.
  std::vector<std::pair<uint32_t, uint32_t>> pushed_out;
  static constexpr std::size_t kMostPushedOut = 16384;
};

struct Floor {
  /// The frames are added by pool.add().
  Floor(const FrameLayout& layout, uint32_t worker);

  uint32_t worker;
  FrameLayout layout;
  FramePool pool;
  AccountBook book;
  const FrameMemory* memory = nullptr;  ///< for copies into another memory class; not needed where all ports are of one
  std::vector<Inlet> inlets;
  std::array<Outlet, kMaxPorts> outlets;
  std::vector<PortSlot> open_outlets;  ///< slots of outlets with a queue of this worker's
  std::vector<Detained> detained;
  std::vector<std::unique_ptr<Peer>> peers;  ///< by worker; null for this one. Empty: there is one worker
  Burst burst;
  VerdictBuffer verdicts;
  VerdictBuffer filter_verdicts;  ///< of port filters; Verdict::map is a port's slot
  Fragments fragments;
  std::optional<uint64_t> replay_ns;   ///< the time in the captures of a replay; none: packets are live
  Measurement* measurement = nullptr;  ///< of a map that is not in force; null: nobody measures
  DedupSurveyor* surveyor = nullptr;   ///< looks for packets that come again; null: nobody asked
  FlowCensus* flow_census = nullptr;   ///< of the groups of the snapshot in force; null: there are none
  bool limited = true;                 ///< rates are kept; false: an explained packet uses up nothing
  /// By domain, in the place of the snapshot's: what an explained packet is compared with, so that it leaves no trace. Empty: the snapshot's.
  std::vector<std::unique_ptr<DedupMemory>> dedup_apart;
  Workbench bench;
};

}  // namespace sluice
