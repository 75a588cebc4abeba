// Port queues on capture files (pcap and pcapng by libpcap): the offline twin's front panel.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "port/frame_memory.h"
#include "port/port_queue.h"

struct pcap;
struct pcap_dumper;

namespace sluice {

/// Frames of a replay: as large as the largest packet that a capture may hold (libpcap's MAXIMUM_SNAPLEN).
inline constexpr unsigned kCaptureChunkShift = 18;

class CaptureSource;

/// The order in time of several captures: a source gives a packet only while no other source has an earlier one. Ties go to the
/// source that was added first, so that a replay is the same every time.
class CaptureTimeline {
 public:
  explicit CaptureTimeline(const FrameMemory& memory) : stamps_(memory.chunks()) {}
  void add(const CaptureSource* source) { sources_.push_back(source); }
  [[nodiscard]] bool is_next(const CaptureSource* source) const;
  [[nodiscard]] bool at_end() const;
  /// When the packet in this frame was captured, nanoseconds since the Unix epoch: a sink stamps its copy with it.
  uint64_t& stamp(uint32_t frame) { return stamps_[frame]; }
  [[nodiscard]] uint64_t stamp(uint32_t frame) const { return stamps_[frame]; }

 private:
  std::vector<const CaptureSource*> sources_;
  std::vector<uint64_t> stamps_;
};

/// Receives what a capture file holds, on the capture's own time.
class CaptureSource final : public PortQueue {
 public:
  /// Errors name the file and libpcap's reason. Only Ethernet captures.
  [[nodiscard]] static Result<std::unique_ptr<CaptureSource>> open(const std::string& path, const FrameMemory& memory,
                                                                   CaptureTimeline& timeline);
  ~CaptureSource() override;

  void rx_burst(Burst& burst, FramePool& pool) override;
  void refill(FramePool&) override {}
  unsigned tx_burst(std::span<const Frame>) override { return 0; }
  bool tx_chain(std::span<const Frame>) override { return false; }
  unsigned reap(std::span<uint32_t>) override { return 0; }
  void kick() override {}
  [[nodiscard]] int wait_fd() const override { return -1; }

  [[nodiscard]] bool at_end() const { return !next_; }
  /// Nanoseconds since the Unix epoch of the packet that comes next. Requires !at_end().
  [[nodiscard]] uint64_t next_ns() const { return next_ns_; }
  /// Empty, or why reading stopped before the file's end (a file cut short, a record that contradicts itself).
  [[nodiscard]] const std::string& damage() const { return damage_; }
  /// Packets read from the file.
  [[nodiscard]] uint64_t count() const { return count_; }

 private:
  CaptureSource(pcap* file, std::string path, const FrameMemory& memory, CaptureTimeline& timeline);
  void advance();

  pcap* file_;
  std::string path_;
  const FrameMemory& memory_;
  CaptureTimeline& timeline_;
  const unsigned char* next_ = nullptr;
  uint32_t next_length_ = 0;
  uint64_t next_ns_ = 0;
  uint64_t count_ = 0;
  std::string damage_;
};

/// Writes what is sent to it into a pcap file with nanoseconds, each packet stamped with the moment of its capture.
class CaptureSink final : public PortQueue {
 public:
  [[nodiscard]] static Result<std::unique_ptr<CaptureSink>> create(const std::string& path, const CaptureTimeline& timeline);
  ~CaptureSink() override;

  void rx_burst(Burst& burst, FramePool&) override { burst.clear(); }
  void refill(FramePool&) override {}
  unsigned tx_burst(std::span<const Frame> frames) override;
  /// A replay's frames hold whole packets: there are no chains.
  bool tx_chain(std::span<const Frame>) override { return false; }
  unsigned reap(std::span<uint32_t> done) override;
  void kick() override {}
  [[nodiscard]] int wait_fd() const override { return -1; }

  /// Writes everything out; an error if the disk refused any of it.
  [[nodiscard]] Result<void> finish();

 private:
  CaptureSink(pcap* handle, pcap_dumper* dumper, std::string path, const CaptureTimeline& timeline)
      : handle_(handle), dumper_(dumper), path_(std::move(path)), timeline_(timeline) {}

  pcap* handle_;
  pcap_dumper* dumper_;
  std::string path_;
  const CaptureTimeline& timeline_;
  std::vector<uint32_t> done_;
};

}  // namespace sluice
