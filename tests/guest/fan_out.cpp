#include "guest/fan_out.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace guest {
namespace {

constexpr uint32_t kChunks = 4096;
constexpr uint32_t kWindow = 64;               // packets on their way: fewer than any queue on it holds
constexpr std::chrono::seconds kPatience{60};  // a guard against hanging

using Bytes = std::vector<std::byte>;

/// What packet `number` looks like: an Ethernet header and bytes that follow from the number, so that any mix-up shows.
Bytes pattern(uint32_t number, uint32_t length, uint8_t salt) {
  static constexpr uint8_t kEthernet[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, kEtherType >> 8, kEtherType & 0xFF};
  Bytes bytes(length);
  uint32_t state = number * 2654435761U + salt;
  for (std::byte& b : bytes) {
    state = state * 1664525U + 1013904223U;
    b = static_cast<std::byte>(state >> 24);
  }
  std::memcpy(bytes.data(), kEthernet, sizeof kEthernet);
  return bytes;
}

std::string difference(const std::string& what, std::span<const std::byte> expected, std::span<const std::byte> actual) {
  const auto at = std::ranges::mismatch(expected, actual).in1 - expected.begin();
  return what + " with " + std::to_string(actual.size()) + " bytes for " + std::to_string(expected.size()) + ", other from byte " +
         std::to_string(at) + " on";
}

class Run {
 public:
  Run(const Experiment& experiment, uint32_t count);
  ~Run() { redirect_.reset(); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  void go();
  Result result;

 private:
  struct Output {
    std::unique_ptr<Xsk> socket;
    std::unique_ptr<FarEnd> far;
    uint32_t arrived = 0;
    std::vector<uint8_t> posted = std::vector<uint8_t>(kChunks);  // by chunk: descriptors that have not come back
  };

  [[nodiscard]] Bytes payload(uint32_t number) const {
    return pattern(number, e_.shortest + number * 97 % (e_.longest - e_.shortest + 1), 0);
  }
  [[nodiscard]] uint32_t finished() const;
  [[nodiscard]] bool room() const;
  uint64_t chunk_with(const Bytes& bytes);
  void make();
  void feed();
  bool next(std::vector<Fragment>& packet, Bytes& bytes);
  void give_back(const std::vector<Fragment>& packet);
  void warm_up();
  void take();
  void refill();
  void fan_out(const std::vector<Fragment>& packet);
  void reap(Output& output);
  void judge(Output& output, unsigned number);
  void wrong(const std::string& what) {
    if (result.why.empty()) result.why = what;
  }

  const Experiment& e_;
  uint32_t count_;
  Memory memory_{kChunks};
  std::vector<uint64_t> free_;
  std::vector<uint8_t> references_ = std::vector<uint8_t>(kChunks);
  uint32_t lent_ = 0;  // chunks in the fill ring or beyond
  std::optional<Redirect> redirect_;
  std::unique_ptr<Xsk> in_;
  std::unique_ptr<FarEnd> in_far_;
  std::vector<Output> outputs_;
  uint32_t taken_ = 0;  // packets that were made or received
};

Run::Run(const Experiment& experiment, uint32_t count) : e_(experiment), count_(count) {
  for (uint32_t c = kChunks; c-- > 0;) free_.push_back(uint64_t{c} << kChunkShift);
  const Xsk* first = nullptr;
  if (e_.receive) {
    redirect_.emplace(e_.prefix + "in", (e_.flags & XDP_USE_SG) != 0);
    in_ = std::make_unique<Xsk>(memory_, e_.prefix + "in", e_.flags, first);
    first = in_.get();
    refill();
    redirect_->direct(*in_);
    in_far_ = std::make_unique<FarEnd>(e_.prefix + "in-far");
  }
  for (const char* name : {"out1", "out2"}) {
    if (!e_.send) break;
    Output& output = outputs_.emplace_back();
    output.socket = std::make_unique<Xsk>(memory_, e_.prefix + name, e_.flags, first);
    output.far = std::make_unique<FarEnd>(e_.prefix + name + "-far");
    if (!first) first = output.socket.get();
  }
  result.zero_copy = first->zero_copy();
  for (const Output& output : outputs_)
    if (output.socket->zero_copy() != result.zero_copy) wrong("the sockets of one memory differ in mode");
}

uint32_t Run::finished() const {
  uint32_t least = taken_;
  for (const Output& output : outputs_) least = std::min(least, output.arrived);
  return least;
}

bool Run::room() const {
  return std::ranges::all_of(outputs_, [](const Output& o) { return o.socket->tx_room() >= 8; }) && free_.size() > 8;
}

uint64_t Run::chunk_with(const Bytes& bytes) {
  const uint64_t address = free_.back();
  free_.pop_back();
  std::memcpy(memory_.base() + address, bytes.data(), bytes.size());
  return address;
}

void Run::make() {
  while (taken_ < count_ && taken_ - finished() < kWindow && room()) {
    Bytes bytes = payload(taken_++);
    if (e_.spoil && taken_ == count_ / 2) bytes.back() ^= std::byte{1};
    ++result.sent;
    fan_out({{chunk_with(bytes), static_cast<uint32_t>(bytes.size())}});
  }
}

void Run::feed() {
  while (result.sent < count_ && result.sent - finished() < kWindow && in_far_->send(payload(static_cast<uint32_t>(result.sent))))
    ++result.sent;
}

void Run::refill() {
  while (lent_ < kRing && !free_.empty() && in_->fill({&free_.back(), 1}) == 1) {
    free_.pop_back();
    ++lent_;
  }
}

void Run::give_back(const std::vector<Fragment>& packet) {
  for (const Fragment& f : packet) free_.push_back(f.address & ~uint64_t{kChunk - 1});
}

/// The next packet that was received, and a copy of its bytes.
bool Run::next(std::vector<Fragment>& packet, Bytes& bytes) {
  if (!in_->receive(packet)) return false;
  lent_ -= static_cast<uint32_t>(packet.size());
  bytes.clear();
  for (const Fragment& f : packet) bytes.insert(bytes.end(), memory_.base() + f.address, memory_.base() + f.address + f.length);
  return true;
}

/// Until what is sent into a fresh receive queue comes out of it. QEMU parks what comes before the queue has buffers and lets later
/// packets overtake it.
void Run::warm_up() {
  Bytes probe = pattern(0, 60, 0), bytes;
  probe[13] = static_cast<std::byte>(kProbeType & 0xFF);
  std::vector<Fragment> packet;
  const auto begin = std::chrono::steady_clock::now();
  auto last = begin;
  for (unsigned sent = 0, came = 0; sent == 0 || came < sent;) {
    const auto now = std::chrono::steady_clock::now();
    if (now - begin > kPatience) throw std::runtime_error("nothing is received");
    if ((sent == 0 || now - last > std::chrono::milliseconds(50)) && in_far_->send(probe)) {
      ++sent;
      last = now;
    }
    in_->kick();
    while (next(packet, bytes)) {
      if (bytes == probe) ++came;
      give_back(packet);
    }
    refill();
    std::this_thread::yield();
  }
}

void Run::take() {
  std::vector<Fragment> packet;
  Bytes bytes;
  while (room() && next(packet, bytes)) {
    if (bytes.size() < 14 || std::to_integer<int>(bytes[12]) != kEtherType >> 8 || std::to_integer<int>(bytes[13]) != (kEtherType & 0xFF)) {
      give_back(packet);  // not ours: the kernel's own chatter
      continue;
    }
    ++result.received;
    result.fragments += packet.size();
    if (bytes != payload(taken_)) wrong(difference("packet " + std::to_string(taken_) + " was received", payload(taken_), bytes));
    ++taken_;
    if (e_.send) fan_out(packet);
    else give_back(packet);
  }
  refill();
}

/// The same fragments to all outputs, each behind a header of its own.
void Run::fan_out(const std::vector<Fragment>& packet) {
  const uint32_t number = taken_ - 1;
  for (const Fragment& f : packet) references_[f.address >> kChunkShift] = static_cast<uint8_t>(outputs_.size());
  for (unsigned i = 0; i < outputs_.size(); ++i) {
    std::vector<Fragment> copy;
    if (e_.header) {
      copy.push_back({chunk_with(pattern(number, kHeader, static_cast<uint8_t>(i + 1))), kHeader});
      references_[copy[0].address >> kChunkShift] = 1;
    }
    copy.insert(copy.end(), packet.begin(), packet.end());
    for (const Fragment& f : copy) ++outputs_[i].posted[f.address >> kChunkShift];
    outputs_[i].socket->post(copy);
    result.posted += copy.size();
  }
}

void Run::reap(Output& output) {
  std::array<uint64_t, 64> done{};
  for (const uint64_t address : std::span(done).first(output.socket->completed(done))) {
    const uint64_t chunk = address >> kChunkShift;
    if (chunk >= kChunks || output.posted[chunk] == 0) {
      wrong("a completion of what was not posted");
      continue;
    }
    --output.posted[chunk];
    ++result.completed;
    if (--references_[chunk] == 0) free_.push_back(chunk << kChunkShift);
  }
}

void Run::judge(Output& output, unsigned number) {
  for (auto frame = output.far->receive(); !frame.empty(); frame = output.far->receive()) {
    Bytes expected;
    if (e_.header) expected = pattern(output.arrived, kHeader, static_cast<uint8_t>(number));
    const Bytes rest = payload(output.arrived);
    expected.insert(expected.end(), rest.begin(), rest.end());
    if (output.arrived >= count_) wrong("output " + std::to_string(number) + " delivered more than was sent");
    else if (!std::ranges::equal(frame, expected))
      wrong(difference("output " + std::to_string(number) + ": packet " + std::to_string(output.arrived) + " came", expected, frame));
    ++output.arrived;
  }
}

void Run::go() {
  if (e_.receive) warm_up();
  auto moved = std::chrono::steady_clock::now();
  uint64_t before = 0;
  while (result.why.empty() && !(e_.abandon && finished() >= kWindow / 2) && (finished() < count_ || result.completed < result.posted)) {
    if (e_.receive) {
      feed();
      take();
      in_->kick();
    } else {
      make();
    }
    uint64_t progress = result.sent + taken_ + result.completed;
    for (unsigned i = 0; i < outputs_.size(); ++i) {
      outputs_[i].socket->kick();
      reap(outputs_[i]);
      judge(outputs_[i], i + 1);
      progress += outputs_[i].arrived;
    }
    const auto now = std::chrono::steady_clock::now();
    if (progress != before) moved = now;
    before = progress;
    if (now - moved > kPatience) wrong("nothing moved any more");
    std::this_thread::yield();
  }
  // A packet that came twice comes after the last one.
  for (unsigned i = 0; i < outputs_.size(); ++i) judge(outputs_[i], i + 1);
  for (Output& output : outputs_)
    if (const uint32_t lost = output.far->lost()) wrong("the far end itself lost " + std::to_string(lost));
  result.whole = finished();
}

}  // namespace

Result run(const Experiment& experiment, uint32_t count) {
  std::unique_ptr<Run> r;
  try {
    r = std::make_unique<Run>(experiment, count);
  } catch (const std::system_error& error) {
    Result refused;
    refused.refused = error.code().value();
    refused.why = error.what();
    return refused;
  }
  try {
    r->go();
  } catch (const std::exception& error) {
    r->result.why = error.what();
  }
  return r->result;
}

}  // namespace guest
