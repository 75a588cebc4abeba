#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "port/capture_port.h"
#include "tests/fuzz/targets.h"

void sluice::fuzz::capture(Bytes bytes) {
  const int fd = memfd_create("capture", 0);
  if (write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) return;
  const FrameMemory memory(128, kCaptureChunkShift);
  FramePool pool({.workers = 1, .frames_per_worker = 128}, 0);
  pool.add(MemoryClass::kCopy);
  CaptureTimeline timeline(memory);
  auto source = CaptureSource::open("/proc/self/fd/" + std::to_string(fd), memory, timeline);
  static Burst burst;
  while (source && !(*source)->at_end()) {
    (*source)->rx_burst(burst, pool);
    for (unsigned i = 0; i < burst.size; ++i) pool.hold(burst.frames[i].index, 0);
  }
  if (pool.census().pool != 128) std::abort();
  close(fd);
}
