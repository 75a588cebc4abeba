// Which packets come again: on which ports, how much later, and with what changed on the way. That is how a domain is found which fits the traffic. Looks
// on beside the pipeline; nothing is marked or dropped.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/counters.h"
#include "engine/dedup/fingerprint.h"
#include "packet/frame.h"
#include "port/frame_pool.h"

namespace sluice {

/// What all workers together remember while a survey lasts: 16 MiB.
class DedupSurvey {
 public:
  /// What comes later than this is another packet.
  static constexpr uint64_t kWindow = 1'000'000'000;
  static constexpr std::size_t kPlaces = std::size_t{1} << 18;
  /// Packets a second that are remembered: so few that seven of eight are still there when the window ends. Where more come, of one worker in a tenth of a
  /// second, one in 2, 4, 8 ... is looked at, chosen by its fingerprint, so that with a packet those are looked at that repeat it.
  static constexpr uint64_t kMostPerSecond = kPlaces / 8;

  explicit DedupSurvey(unsigned workers);

  /// One packet in so many is looked at, so far.
  [[nodiscard]] uint32_t sampled() const { return sampled_.load(std::memory_order_relaxed); }

 private:
  friend class DedupSurveyor;
  /// Of a packet: what may change on the way.
  struct Traits {
    uint32_t tags, macs, labels;
    uint16_t checksum;
    uint8_t ttl, dscp;
  };
  struct alignas(64) Place {
    std::atomic<bool> taken{false};  ///< a worker is at it
    PortSlot port = 0;
    Traits traits{};
    uint64_t fingerprint = 0;  ///< 0: none was ever here
    uint64_t stamp = 0;
  };
  [[nodiscard]] Place& place_of(uint64_t fingerprint) const { return places_[fingerprint >> (64 - std::countr_zero(kPlaces))]; }
  void thin_out(uint32_t from);

  /// Everything is ignored that may be, but tunnels and TCP sequence numbers: a segment with another one is another segment.
  const Comparison comparison_;
  Fingerprints fingerprints_;
  std::unique_ptr<Place[]> places_;
  const uint64_t most_per_worker_;
  std::atomic<uint32_t> sampled_{1};
};

/// One worker's part, and what it counts. Worker thread; it is given to a floor and taken from it between bursts.
class alignas(64) DedupSurveyor {
 public:
  /// Sets of dedup_ignore::kVlan to kIpChecksum.
  static constexpr unsigned kSets = 64;
  /// By the power of two above the microseconds of a delay: 0, 1, 2 to 3, ... up to a second.
  static constexpr unsigned kDelays = 21;
  static constexpr unsigned kMostPairs = 256;
  /// Nanoseconds in which it is found out how many packets come. A part that is chosen then is counted from the beginning, so that the many of before do not
  /// outweigh it, whose first ones were not seen.
  static constexpr uint64_t kWarmUp = 500'000'000;

  struct OfPort {
    uint64_t received = 0;
    uint64_t looked_at = 0;   ///< of those; as all that follows: since another part was chosen in kWarmUp
    uint64_t duplicates = 0;  ///< of those: they came before, on this port or another
  };
  /// Packets that were received by `first` and then by `second`.
  struct OfPair {
    PortSlot first = 0, second = 0;
    uint64_t duplicates = 0;
    std::array<uint64_t, kSets> by_difference{};
    std::array<uint64_t, kDelays> by_delay{};
  };

  explicit DedupSurveyor(DedupSurvey& survey) : survey_(survey) { pairs.reserve(kMostPairs); }

  /// One packet in so many is looked at, as of the last burst.
  [[nodiscard]] uint32_t sampled() const { return sampled_; }
  /// The burst, which `port` received. now: the same clock for all workers.
  void look_at(const Burst& burst, PortSlot port, uint64_t now);

  std::array<OfPort, kMaxSlots.ports> ports{};
  std::vector<OfPair> pairs;
  uint64_t left_out = 0;  ///< duplicates of pairs beyond kMostPairs

 private:
  using Traits = DedupSurvey::Traits;
  [[nodiscard]] static Traits traits_of(const std::byte* frame, const LayerSet& set);
  [[nodiscard]] static unsigned difference_of(const Traits& a, const Traits& b);
  [[nodiscard]] static bool take(DedupSurvey::Place& place);
  void begin_anew();
  void note(PortSlot first, PortSlot second, unsigned difference, uint64_t delay_ns);
  void keep_pace(uint64_t looked_at, uint64_t now);

  DedupSurvey& survey_;
  uint64_t begin_ = 0;
  uint32_t sampled_ = 1;
  uint64_t period_begin_ = 0, in_period_ = 0;
};

}  // namespace sluice
