#include "port/capture_port.h"

#include <pcap/pcap.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice {
namespace {
constexpr uint64_t kSecond = 1'000'000'000;
constexpr int kSnapshotLength = 1 << kCaptureChunkShift;
}  // namespace

bool CaptureTimeline::is_next(const CaptureSource* source) const {
  bool before_source = true;
  for (const auto* other : sources_) {
    if (other == source) {
      before_source = false;
      continue;
    }
    if (other->at_end()) continue;
    if (other->next_ns() < source->next_ns() || (before_source && other->next_ns() == source->next_ns())) return false;
  }
  return true;
}

bool CaptureTimeline::at_end() const {
  return std::all_of(sources_.begin(), sources_.end(), [](const auto* s) { return s->at_end(); });
}

Result<std::unique_ptr<CaptureSource>> CaptureSource::open(const std::string& path, const FrameMemory& memory, CaptureTimeline& timeline) {
  char reason[PCAP_ERRBUF_SIZE] = "";
  pcap_t* file = pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, reason);
  if (!file) return Error{ErrorCode::kInvalid, path, "cannot be read as a capture: " + std::string(reason)};
  auto source = std::unique_ptr<CaptureSource>(new CaptureSource(file, path, memory, timeline));
  if (const int type = pcap_datalink(file); type != DLT_EN10MB) {
    const char* name = pcap_datalink_val_to_name(type);
    return Error{ErrorCode::kInvalid, path,
                 "holds " + std::string(name ? name : "unknown") + " packets; only Ethernet captures can be replayed"};
  }
  source->advance();
  return source;
}

CaptureSource::CaptureSource(pcap* file, std::string path, const FrameMemory& memory, CaptureTimeline& timeline)
    : file_(file), path_(std::move(path)), memory_(memory), timeline_(timeline) {
  timeline_.add(this);
}

CaptureSource::~CaptureSource() { pcap_close(file_); }

void CaptureSource::advance() {
  pcap_pkthdr* header = nullptr;
  next_ = nullptr;
  const int outcome = pcap_next_ex(file_, &header, &next_);
  if (outcome != 1) {
    next_ = nullptr;
    if (outcome == PCAP_ERROR) damage_ = path_ + ": after packet " + std::to_string(count_) + ": " + pcap_geterr(file_);
    return;
  }
  next_length_ = std::min<uint32_t>(header->caplen, kSnapshotLength);
  next_ns_ = static_cast<uint64_t>(header->ts.tv_sec) * kSecond + static_cast<uint64_t>(header->ts.tv_usec);
}

void CaptureSource::rx_burst(Burst& burst, FramePool& pool) {
  burst.clear();
  while (burst.size < kBurst && next_ && pool.free(MemoryClass::kCopy) > 0 && timeline_.is_next(this)) {
    const uint32_t index = pool.lend(MemoryClass::kCopy, 0);
    pool.received(index);
    std::memcpy(memory_.chunk(index), next_, next_length_);
    timeline_.stamp(index) = next_ns_;
    burst.add({memory_.chunk(index), next_length_, index}, next_ns_);
    ++count_;
    advance();
  }
}

Result<std::unique_ptr<CaptureSink>> CaptureSink::create(const std::string& path, const CaptureTimeline& timeline) {
  pcap_t* handle = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, kSnapshotLength, PCAP_TSTAMP_PRECISION_NANO);
  pcap_dumper_t* dumper = handle ? pcap_dump_open(handle, path.c_str()) : nullptr;
  if (!dumper) {
    const std::string reason = handle ? pcap_geterr(handle) : "out of memory";
    if (handle) pcap_close(handle);
    return Error{ErrorCode::kInvalid, path, "cannot be written: " + reason};
  }
  return std::unique_ptr<CaptureSink>(new CaptureSink(handle, dumper, path, timeline));
}

CaptureSink::~CaptureSink() {
  pcap_dump_close(dumper_);
  pcap_close(handle_);
}

unsigned CaptureSink::tx_burst(std::span<const Frame> frames) {
  for (const auto& frame : frames) {
    pcap_pkthdr header{};
    const uint64_t captured = timeline_.stamp(frame.index);
    header.ts.tv_sec = static_cast<time_t>(captured / kSecond);
    header.ts.tv_usec = static_cast<suseconds_t>(captured % kSecond);  // nanoseconds: the handle's precision
    header.caplen = header.len = frame.length;
    pcap_dump(reinterpret_cast<u_char*>(dumper_), &header, reinterpret_cast<const u_char*>(frame.data));
    done_.push_back(frame.index);
  }
  return static_cast<unsigned>(frames.size());
}

unsigned CaptureSink::reap(std::span<uint32_t> done) {
  const auto count = std::min(done.size(), done_.size());
  std::copy_n(done_.begin(), count, done.begin());
  done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
  return static_cast<unsigned>(count);
}

Result<void> CaptureSink::finish() {
  if (pcap_dump_flush(dumper_) != 0 || ferror(pcap_dump_file(dumper_)))
    return Error{ErrorCode::kInternal, path_, std::string("could not be written completely: ") + std::strerror(errno)};
  return {};
}

}  // namespace sluice
