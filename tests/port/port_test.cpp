#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "engine/tool_queue.h"
#include "port/capture_port.h"
#include "port/frame_pool.h"

using namespace sluice;

namespace {

/// Little-endian pcap with nanoseconds of these (time, length) packets, all bytes 0x5A.
std::string capture_of(const std::vector<std::pair<uint64_t, uint32_t>>& packets) {
  std::string out;
  const auto put = [&out](uint32_t v) { out.append(reinterpret_cast<const char*>(&v), 4); };
  for (const uint32_t v : {0xA1B23C4DU, 0x00040002U, 0U, 0U, 262144U, 1U}) put(v);
  for (const auto& [ns, length] : packets) {
    put(static_cast<uint32_t>(ns / 1'000'000'000));
    put(static_cast<uint32_t>(ns % 1'000'000'000));
    put(length);
    put(length);
    out.append(length, 'Z');
  }
  return out;
}

struct File {
  std::string path =
      (std::filesystem::temp_directory_path() / ("sluice-capture-" + std::to_string(getpid()) + "-" + std::to_string(++counter))).string();
  explicit File(const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }
  ~File() { std::filesystem::remove(path); }
  static inline int counter = 0;
};

}  // namespace

TEST_CASE("frame pool: every frame has one place, and the census counts the records, not a total") {
  constexpr auto kClass = MemoryClass::kZeroCopy;
  FramePool pool({.workers = 2, .frames_per_worker = 8, .classes = kMemoryClasses}, 1);
  pool.add(kClass);
  const auto places = [&](uint64_t in_pool, uint64_t lent, uint64_t held, uint64_t worker, uint64_t away = 0) {
    const auto c = pool.census();
    return c.total == 8 && c.pool == in_pool && c.lent == lent && c.held == held && c.worker == worker && c.away == away && c.lost() == 0;
  };
  CHECK(places(8, 0, 0, 0));
  const uint32_t a = pool.lend(kClass, 3);
  const uint32_t b = pool.lend(kClass, 4);
  CHECK(a == 24);  // the second worker's first frame of the second class
  CHECK(places(6, 2, 0, 0));
  pool.received(a);
  CHECK(places(6, 1, 0, 1));
  pool.hold(a, 2);
  CHECK(places(6, 1, 1, 0));
  pool.release(a);
  CHECK(places(6, 1, 1, 0));
  pool.release(a);
  CHECK(places(7, 1, 0, 0));
  pool.reclaim(3);
  CHECK(places(7, 1, 0, 0));
  pool.reclaim(4);
  CHECK(places(8, 0, 0, 0));
  (void)b;
}

TEST_CASE("frame pool: a frame that is handed over is away for its owner, a guest for the other, and comes home once") {
  const FrameLayout layout{.workers = 2, .frames_per_worker = 8};
  FramePool owner(layout, 0), other(layout, 1);
  owner.add(MemoryClass::kCopy);
  other.add(MemoryClass::kCopy);
  const uint32_t frame = owner.take(MemoryClass::kCopy);
  owner.send_away(frame);
  CHECK(owner.census().away == 1);
  other.adopt(frame);
  CHECK(other.census().guests == 1);
  other.hold(frame, 2);
  other.release(frame);
  CHECK(other.homeward().empty());
  other.release(frame);
  CHECK(other.homeward() == std::vector<uint32_t>{frame});
  CHECK(other.census().guests == 0);
  CHECK(other.census().lost() == 0);
  owner.returned(frame);
  CHECK(owner.census().away == 0);
  CHECK(owner.census().pool == 8);
}

TEST_CASE("tool queue: copies complete in order or not, and what a closed port leaves comes out oldest first") {
  ToolQueue queue;
  for (uint32_t i = 0; i < 5; ++i) queue.push({nullptr, 60, i}, {10 + i, 60, 0});
  CHECK(queue.next_to_post().frames.size() == 5);
  queue.mark_posted(4);
  const auto completed = [&queue](std::vector<uint32_t> frames) {
    std::vector<uint32_t> legs;
    queue.complete(frames, [&](uint32_t, ToolQueue::Note note) { legs.push_back(note.leg); });
    return legs;
  };
  CHECK(completed({2}) == std::vector<uint32_t>{12});
  CHECK(completed({0, 4, 99}) == std::vector<uint32_t>{10});  // 4 was never posted, and nobody has 99
  CHECK(queue.posted() == 2);
  CHECK(queue.waiting() == 1);
  CHECK(queue.abandon().note.leg == 11);
  CHECK(completed({3}) == std::vector<uint32_t>{13});
  CHECK(queue.abandon().note.leg == 14);
  CHECK(queue.empty());
  for (uint32_t i = 0; i < kLine; ++i) queue.push({nullptr, 60, i}, {i, 60, 0});
  CHECK(queue.in_line() == kLine);
}

TEST_CASE("tool queue: a copy of several frames is posted alone and in one piece, wherever in the ring it lies") {
  for (const uint32_t before : {0U, 1U, kLine - 2, kLine - 1}) {
    CAPTURE(before);
    ToolQueue queue;
    for (uint32_t i = 0; i < before; ++i) {  // the ring's positions move on
      queue.push({nullptr, 60, i}, {1, 60, 0});
      queue.mark_posted(1);
      const std::array done{i};
      queue.complete(done, [](uint32_t, ToolQueue::Note) {});
      REQUIRE(queue.empty());
    }
    queue.push({nullptr, 60, 7}, {1, 60, 0});
    for (uint32_t i = 0; i < 3; ++i) queue.push({nullptr, 2048, 10 + i}, {2, 6144, 0, i < 2});
    queue.push({nullptr, 60, 8}, {1, 60, 0});
    const auto next = [&queue] {
      const auto n = queue.next_to_post();
      std::vector<uint32_t> indices;
      for (const auto& f : n.frames) indices.push_back(f.index);
      queue.mark_posted(static_cast<uint32_t>(n.frames.size()));
      return std::pair(indices, n.is_chain);
    };
    CHECK(next() == std::pair(std::vector<uint32_t>{7}, false));
    CHECK(next() == std::pair(std::vector<uint32_t>{10, 11, 12}, true));
    CHECK(next() == std::pair(std::vector<uint32_t>{8}, false));
    CHECK(queue.waiting() == 0);
  }
}

TEST_CASE("capture port: several captures are received in the order of their time, ties by the order of the ports") {
  const File one(capture_of({{1'000, 60}, {3'000, 61}, {5'000, 62}}));
  const File two(capture_of({{2'000, 70}, {3'000, 71}, {4'000, 72}}));
  const FrameMemory memory(16, kCaptureChunkShift);
  FramePool pool({.workers = 1, .frames_per_worker = 16}, 0);
  pool.add(MemoryClass::kCopy);
  CaptureTimeline timeline(memory);
  auto a = CaptureSource::open(one.path, memory, timeline);
  auto b = CaptureSource::open(two.path, memory, timeline);
  REQUIRE(a);
  REQUIRE(b);
  std::vector<uint32_t> lengths;
  Burst burst;
  while (!timeline.at_end())
    for (auto* source : {a->get(), b->get()}) {
      source->rx_burst(burst, pool);
      for (unsigned i = 0; i < burst.size; ++i) {
        lengths.push_back(burst.frames[i].length);
        pool.hold(burst.frames[i].index, 0);
      }
    }
  CHECK(lengths == std::vector<uint32_t>{60, 70, 61, 71, 72, 62});
}

TEST_CASE("capture port: a capture cut at every byte is read up to the cut and says so, or is refused with the reason") {
  const std::string whole = capture_of({{1, 60}, {2, 0}, {3, 60}});
  const FrameMemory memory(8, kCaptureChunkShift);
  for (std::size_t length = 0; length <= whole.size(); ++length) {
    CAPTURE(length);
    const File file(whole.substr(0, length));
    FramePool pool({.workers = 1, .frames_per_worker = 8}, 0);
    pool.add(MemoryClass::kCopy);
    CaptureTimeline timeline(memory);
    auto source = CaptureSource::open(file.path, memory, timeline);
    if (length < 24) {
      CHECK_FALSE(source);
      continue;
    }
    REQUIRE(source);
    Burst burst;
    (*source)->rx_burst(burst, pool);
    const bool at_record = length == 24 || length == 100 || length == 116 || length == whole.size();
    CHECK((*source)->damage().empty() == at_record);
    CHECK(burst.size == (length >= whole.size() ? 3 : length >= 116 ? 2 : length >= 100 ? 1 : 0));
  }
}

namespace {

/// The packets of capture bytes, and whether the reader found damage; nothing if it refused the file.
std::optional<std::pair<unsigned, bool>> read_all(std::span<const char> bytes) {
  const int fd = memfd_create("capture", 0);
  REQUIRE(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  static const FrameMemory memory(64, kCaptureChunkShift);
  FramePool pool({.workers = 1, .frames_per_worker = 64}, 0);
  pool.add(MemoryClass::kCopy);
  CaptureTimeline timeline(memory);
  const auto source = CaptureSource::open("/proc/self/fd/" + std::to_string(fd), memory, timeline);
  close(fd);
  if (!source) {
    CHECK_FALSE(source.error().message.empty());
    return std::nullopt;
  }
  static Burst burst;
  unsigned count = 0;
  while (!(*source)->at_end()) {
    (*source)->rx_burst(burst, pool);
    count += burst.size;
    for (unsigned i = 0; i < burst.size; ++i) pool.hold(burst.frames[i].index, 0);
  }
  CHECK(pool.census().pool == 64);
  return std::pair(count, !(*source)->damage().empty());
}

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The longer the cut, the more packets; what is missing is damage or the end of a record.
void cut_everywhere(const std::string& whole, std::size_t step) {
  const auto all = read_all(whole);
  REQUIRE(all);
  unsigned before = 0;
  for (std::size_t length = 0; length < whole.size(); length += step) {
    CAPTURE(length);
    const auto cut = read_all(std::span(whole).first(length));
    if (!cut) continue;
    CHECK(cut->first >= before);
    CHECK(cut->first <= all->first);
    before = cut->first;
  }
}

}  // namespace

TEST_CASE("capture port: a pcapng file cut at every byte is read up to the cut, or refused with the reason") {
  const std::string whole = bytes_of(std::filesystem::path(SLUICE_CORPUS) / "fuzz-capture" / "three.pcapng");
  CHECK(read_all(whole) == std::pair(3U, false));
  cut_everywhere(whole, 1);
}

TEST_CASE("capture port: real captures cut at every byte are read up to the cut, or refused with the reason") {
  const char* folder = std::getenv("SLUICE_TESTDATA");
  const char* tier = std::getenv("SLUICE_TIER");
  const bool every_byte = tier && std::string_view(tier) == "long";  // else 4,000 places of the large ones
  if (!folder) {
    MESSAGE("SLUICE_TESTDATA names no captures");
    return;
  }
  for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path(folder) / "captures")) {
    if (!file.path().extension().string().starts_with(".pcap")) continue;
    CAPTURE(file.path().string());
    const std::string whole = bytes_of(file.path());
    cut_everywhere(whole, every_byte ? 1 : whole.size() / 4000 + 1);
  }
}
