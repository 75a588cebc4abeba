#include "engine/dedup/survey.h"

#include <algorithm>
#include <bit>

#include "base/endian.h"
#include "packet/headers.h"

namespace sluice {
namespace {

uint32_t mixed(uint32_t hash, uint32_t word) { return (hash ^ word) * 0x9E3779B1U + (hash >> 15); }

/// Of so many words of 32 bits.
uint32_t hash_of(const std::byte* words, unsigned count) {
  uint32_t hash = count;
  for (unsigned w = 0; w < count; ++w) hash = mixed(hash, read_be32(words + std::size_t{4} * w));
  return hash;
}

}  // namespace

DedupSurvey::DedupSurvey(unsigned workers)
    : comparison_(DedupStart::kL3, dedup_ignore::kVlan | dedup_ignore::kMac | dedup_ignore::kTtl | dedup_ignore::kDscp | dedup_ignore::kMpls | dedup_ignore::kIpChecksum),
      places_(std::make_unique<Place[]>(kPlaces)),
      most_per_worker_(kMostPerSecond / workers) {}

/// The worker that finds too many halves them, unless another one did since it looked.
void DedupSurvey::thin_out(uint32_t from) {
  constexpr uint32_t kMost = 1U << 16;
  if (from < kMost) sampled_.compare_exchange_strong(from, from * 2, std::memory_order_relaxed);
}

DedupSurveyor::Traits DedupSurveyor::traits_of(const std::byte* frame, const LayerSet& set) {
  Traits out{};
  if (set.has(parse_flag::kHasEthernet)) {
    const std::byte* const macs = frame + set.l2_offset;
    out.macs = hash_of(macs, 3);
    out.tags = hash_of(macs + 2 * 6U, set.vlan_count);  // each with the EtherType in front of it
  }
  out.labels = hash_of(frame + set.mpls_offset, set.mpls_count);
  // RFC 791 section 3.1; RFC 8200 section 3.
  const std::byte* const l3 = frame + set.l3_offset;
  if (set.l3 == L3::kIpv4) out.ttl = std::to_integer<uint8_t>(l3[8]), out.dscp = std::to_integer<uint8_t>(l3[1]), out.checksum = read_be16(l3 + 10);
  if (set.l3 == L3::kIpv6) out.ttl = std::to_integer<uint8_t>(l3[7]), out.dscp = static_cast<uint8_t>(read_be16(l3) >> 4);
  return out;
}

/// A set of dedup_ignore.
unsigned DedupSurveyor::difference_of(const Traits& a, const Traits& b) {
  unsigned out = 0;
  if (a.tags != b.tags) out |= dedup_ignore::kVlan;
  if (a.macs != b.macs) out |= dedup_ignore::kMac;
  if (a.labels != b.labels) out |= dedup_ignore::kMpls;
  if (a.ttl != b.ttl) out |= dedup_ignore::kTtl;
  if (a.dscp != b.dscp) out |= dedup_ignore::kDscp;
  // TTL and DSCP change it, too.
  if (a.checksum != b.checksum && (out & (dedup_ignore::kTtl | dedup_ignore::kDscp)) == 0) out |= dedup_ignore::kIpChecksum;
  return out;
}

/// Whether the place is this worker's now. It waits some hundred nanoseconds at most: who has it may have lost its core.
bool DedupSurveyor::take(DedupSurvey::Place& place) {
  for (unsigned patience = 16; place.taken.exchange(true, std::memory_order_acquire); --patience) {
    if (patience == 0) return false;
    __builtin_ia32_pause();
  }
  return true;
}

void DedupSurveyor::look_at(const Burst& burst, PortSlot port, uint64_t now) {
  const uint32_t sampled = survey_.sampled();
  if (begin_ == 0) begin_ = now;
  if (sampled != sampled_) {
    sampled_ = sampled;
    period_begin_ = now, in_period_ = 0;
    if (now - begin_ < kWarmUp) begin_anew();
  }
  struct Chosen {
    uint64_t fingerprint;
    unsigned packet;
  };
  std::array<Chosen, kBurst> chosen;
  unsigned count = 0;
  for (unsigned i = 0; i < burst.size; ++i) {
    const uint64_t fingerprint = survey_.fingerprints_.of(burst, i, survey_.comparison_);
    if ((fingerprint & (sampled - 1)) != 0) continue;
    __builtin_prefetch(&survey_.place_of(fingerprint), 1);
    chosen[count++] = {fingerprint, i};
  }
  ports[port].received += burst.size;
  for (unsigned c = 0; c < count; ++c) {
    const auto [fingerprint, i] = chosen[c];
    const Traits traits = traits_of(burst.frames[i].data, burst.parsed[i].outer);
    DedupSurvey::Place& place = survey_.place_of(fingerprint);
    if (!take(place)) continue;  // and is not counted
    ++ports[port].looked_at;
    const auto age = static_cast<int64_t>(now - place.stamp);  // below 0: another worker's clock was read later
    if (place.fingerprint == fingerprint && age <= static_cast<int64_t>(DedupSurvey::kWindow)) {
      const unsigned difference = difference_of(place.traits, traits);
      const PortSlot first = place.port;
      place.taken.store(false, std::memory_order_release);
      note(first, port, difference, static_cast<uint64_t>(std::max<int64_t>(age, 0)));
      continue;
    }
    place.fingerprint = fingerprint, place.stamp = now, place.port = port, place.traits = traits;
    place.taken.store(false, std::memory_order_release);
  }
  keep_pace(count, now);
}

void DedupSurveyor::begin_anew() {
  for (OfPort& one : ports) one.looked_at = one.duplicates = 0;
  pairs.clear();
  left_out = 0;
}

void DedupSurveyor::note(PortSlot first, PortSlot second, unsigned difference, uint64_t delay_ns) {
  ++ports[second].duplicates;
  auto pair = std::find_if(pairs.begin(), pairs.end(), [&](const OfPair& one) { return one.first == first && one.second == second; });
  if (pair == pairs.end()) {
    if (pairs.size() == kMostPairs) {
      ++left_out;
      return;
    }
    pair = pairs.insert(pairs.end(), OfPair{.first = first, .second = second});
  }
  ++pair->duplicates;
  ++pair->by_difference[difference];
  ++pair->by_delay[std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(delay_ns / 1000)), kDelays - 1)];
}

void DedupSurveyor::keep_pace(uint64_t looked_at, uint64_t now) {
  constexpr uint64_t kPeriods = 10;  // of a second
  if (now - period_begin_ > 1'000'000'000 / kPeriods) period_begin_ = now, in_period_ = 0;
  in_period_ += looked_at;
  if (in_period_ > survey_.most_per_worker_ / kPeriods) survey_.thin_out(sampled_);
}

}  // namespace sluice
