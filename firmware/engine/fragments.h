// What a worker knows of fragmented datagrams: the ports that first fragments showed, and the fragments that came before their first.
// Rules on ports, TCP flags and ICMP types so apply to all fragments of a datagram. All of a datagram's fragments come to one worker
// (pair_hash). One writer: the worker.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "packet/frame.h"
#include "packet/parse.h"
#include "port/frame_pool.h"

namespace sluice {

/// What the fragments of a datagram have in common (RFC 791 section 3.2, RFC 8200 section 4.5).
struct DatagramKey {
  std::array<uint64_t, 4> addresses{};
  uint32_t identification = 0;
  uint16_t vlan = 0;     ///< kUntagged without a tag: networks behind tags may have the same addresses
  uint8_t protocol = 0;  ///< of IPv4, as its header says; an IPv6 datagram is known without
  uint8_t version = 0;
  friend bool operator==(const DatagramKey&, const DatagramKey&) = default;
};
/// Requires set.is_ip().
[[nodiscard]] DatagramKey datagram_of(const std::byte* frame, const LayerSet& set);

/// A fragment that waits for its first, with its frames.
struct WaitingFragment {
  DatagramKey key;
  std::array<Frame, kMaxChain> frames;
  uint8_t frame_count = 0;
  uint64_t received_ns = 0;
  uint64_t until_ns = 0;  ///< monotonic
  PortSlot port = kNoPort;
  MemoryClass memory_class = MemoryClass::kCopy;
};

class Fragments {
 public:
  /// How long a fragment waits; how many frames do (of a small memory fewer: an eighth for all workers together), and how many fragments of
  /// one source; how long a first fragment is remembered, and how many are.
  static constexpr uint64_t kLongestWait = 50'000'000;  // nanoseconds
  static constexpr std::size_t kMostWaiting = 256, kMostOfSource = 32;
  static constexpr uint64_t kRemembered = 2'000'000'000;
  static constexpr unsigned kSets = 1024, kWays = 4;

  explicit Fragments(const FrameLayout& layout);

  /// Of a first fragment: what later ones lack.
  void remember(const DatagramKey& key, const LayerSet& first, uint64_t now);
  /// Gives a later fragment what its first one showed. False: that has not come.
  [[nodiscard]] bool complete(const DatagramKey& key, LayerSet& later, uint64_t now) const;

  /// False: too many do.
  [[nodiscard]] bool may_wait(const DatagramKey& key, std::size_t frames) const;
  void wait(const WaitingFragment& fragment) { waiting_.push_back(fragment); }
  /// Whether any of them has an end to its waiting: some first fragment came, or the one that came first has waited long enough.
  [[nodiscard]] bool any_due(uint64_t now) const { return !waiting_.empty() && (news_ || waiting_.front().until_ns <= now); }
  void looked_at_all() { news_ = false; }
  /// In the order in which they came.
  [[nodiscard]] std::vector<WaitingFragment>& waiting() { return waiting_; }

 private:
  struct First {
    DatagramKey key;
    uint64_t until_ns = 0;
    uint16_t src_port = 0, dst_port = 0;
    uint16_t flags = 0;  ///< of those that say what was read
    uint8_t ip_protocol = 0;
    uint8_t icmp_type = 0, icmp_code = 0, tcp_flags = 0;
  };
  [[nodiscard]] std::size_t set_of(const DatagramKey& key) const;

  std::size_t most_frames_;
  uint64_t secret_;  ///< nobody who sends packets knows which datagrams share a set
  std::vector<First> firsts_;
  std::vector<WaitingFragment> waiting_;
  bool news_ = false;  ///< a first fragment came since all that wait were looked at
};

}  // namespace sluice
