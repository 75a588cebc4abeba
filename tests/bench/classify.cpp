// The classifier alone, on one core, without a cache before it.
//
//   bench-classify --kind acl|fw|chain|v6 --rules N [--file CLASSBENCH] --maps N --headers N --miss --seed N [--verify N] [--changes N]
//                  [--write DIR]
//
// Prints one JSON object: nanoseconds a packet, the sum of the verdicts, compile time, memory. With --write: the rules and the headers for
// DPDK's test-acl. With --changes: one rule is replaced by another so many times, each time with what is left of the trees before, and what
// comes out of it is measured. The verdicts of the first headers, 20,000 or as many as --verify says, are compared with a linear scan; a
// difference ends it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <random>

#include "base/clock.h"
#include "base/endian.h"
#include "engine/classify/classifier.h"
#include "tests/bench/rule_sets.h"

namespace {

using namespace sluice;
using namespace sluice::bench;

constexpr unsigned kRounds = 5;
constexpr std::size_t kFrame = 128;

Key key_of(const std::array<uint8_t, 16>& address, unsigned bytes) {
  Key key = 0;
  for (unsigned i = 0; i < bytes; ++i) key = key << 8 | address[i];
  return key;
}

Criterion in(Field field, Key from, Key to, bool v6 = false) {
  Values values;
  (v6 ? values.ipv6 : values.numbers).push_back({from, to});
  return {{field}, std::make_shared<const Values>(std::move(values))};
}

RuleMatch match_of(const TupleRule& rule) {
  Alternative all;
  const unsigned bytes = rule.v6 ? 16 : 4;
  const auto prefix = [&](Field field, const std::array<uint8_t, 16>& address, unsigned length) {
    if (length == 0) return;
    const Key from = key_of(address, bytes), host = length == bytes * 8 ? 0 : (Key{1} << (bytes * 8 - length)) - 1;
    all.criteria.push_back(in(field, from, from | host, rule.v6));
  };
  prefix(Field::kSrc, rule.src, rule.src_length);
  prefix(Field::kDst, rule.dst, rule.dst_length);
  const auto ports = [&](Field field, const std::array<uint16_t, 2>& range) {
    if (range[0] != 0 || range[1] != 65535) all.criteria.push_back(in(field, range[0], range[1]));
  };
  ports(Field::kSrcPort, rule.src_ports);
  ports(Field::kDstPort, rule.dst_ports);
  if (!rule.any_protocol) all.criteria.push_back(in(Field::kProtocol, rule.protocol, rule.protocol));
  return {{all}};
}

/// 64 frames that stay in the cache, as those of a burst that was just parsed do; the headers are written into them between the calls.
struct Bench {
  Burst burst;
  std::vector<std::byte> frames = std::vector<std::byte>(kFrame * kBurst);
  explicit Bench(bool v6) {
    for (unsigned i = 0; i < kBurst; ++i) {
      std::byte* frame = &frames[i * kFrame];
      write_be16(frame + 12, v6 ? 0x86DD : 0x0800);
      frame[14] = std::byte{v6 ? uint8_t{0x60} : uint8_t{0x45}};
      write_be16(frame + (v6 ? 18 : 16), v6 ? 20 : 40);
      burst.add({frame, kFrame, i}, 0);
    }
  }
  void load(unsigned i, const FiveTuple& h, bool v6) {
    std::byte* frame = &frames[i * kFrame];
    frame[v6 ? 20 : 23] = std::byte{h.protocol};
    std::memcpy(frame + (v6 ? 22 : 26), h.src.data(), v6 ? 16 : 4);
    std::memcpy(frame + (v6 ? 38 : 30), h.dst.data(), v6 ? 16 : 4);
    write_be16(frame + (v6 ? 54 : 34), h.src_port);
    write_be16(frame + (v6 ? 56 : 36), h.dst_port);
    frame[(v6 ? 54 : 34) + 12] = std::byte{0x50};
  }
};

}  // namespace

int main(int argc, char** argv) {
  std::string kind = "acl", file, write;
  unsigned count = 10000, maps = 1, headers = 1'000'000, seed = 1, verified = 20'000, changes = 0;
  bool miss = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto next = [&] { return std::string(i + 1 < argc ? argv[++i] : ""); };
    if (word == "--kind") kind = next();
    else if (word == "--file") file = next();
    else if (word == "--write") write = next();
    else if (word == "--rules") count = static_cast<unsigned>(std::stoul(next()));
    else if (word == "--maps") maps = static_cast<unsigned>(std::stoul(next()));
    else if (word == "--headers") headers = static_cast<unsigned>(std::stoul(next()));
    else if (word == "--seed") seed = static_cast<unsigned>(std::stoul(next()));
    else if (word == "--verify") verified = static_cast<unsigned>(std::stoul(next()));
    else if (word == "--changes") changes = static_cast<unsigned>(std::stoul(next()));
    else if (word == "--miss") miss = true;
    else return 1;
  }
  auto rules = file.empty() ? make_rules(kind, count + changes, seed) : read_rules(file);
  if (rules.empty()) return 1;
  if (!file.empty()) {  // a small set, again and again with other networks
    const auto small = rules;
    for (unsigned shift = 1; rules.size() < count + changes; ++shift)
      for (TupleRule rule : small) {
        if (rule.src_length >= 8) rule.src[0] = static_cast<uint8_t>(rule.src[0] + shift * 7);
        if (rule.dst_length >= 8) rule.dst[0] = static_cast<uint8_t>(rule.dst[0] + shift * 11);
        if (rules.size() < count + changes) rules.push_back(rule);
      }
  }
  const std::vector<TupleRule> others(rules.begin() + count, rules.begin() + count + changes);
  rules.resize(count);
  std::mt19937 random(seed);
  std::vector<unsigned> replaced;
  for (unsigned c = 0; c < others.size(); ++c) replaced.push_back(static_cast<unsigned>(random() % count));
  const auto original = rules;
  for (unsigned c = 0; c < others.size(); ++c) rules[replaced[c]] = others[c];
  const bool v6 = rules.front().v6;
  const auto trace = make_headers(rules, headers, !miss, seed + 1);
  if (!write.empty()) {
    std::ofstream rule_file(write + "/rules"), trace_file(write + "/trace");
    for (const auto& rule : rules) rule_file << rule.text() << '\n';
    for (const auto& header : trace) trace_file << text_of(header, v6) << '\n';
  }

  std::vector<ClassifierMap> wanted(maps);
  for (unsigned m = 0; m < maps; ++m) {
    wanted[m].map = m;
    wanted[m].ports.set(0);
  }
  for (unsigned r = 0; r < original.size(); ++r) wanted[r % maps].rules.push_back({match_of(original[r]), r, true});
  const uint64_t compile_begin = monotonic_ns();
  auto classifier = Classifier::make(wanted);
  const uint64_t compile_ns = monotonic_ns() - compile_begin;
  std::vector<uint64_t> change_ns{0};
  for (unsigned c = 0; c < others.size() && classifier; ++c) {
    const unsigned r = replaced[c];
    wanted[r % maps].rules[r / maps] = {match_of(others[c]), r, true};
    auto maps_now = std::make_shared<const std::vector<ClassifierMap>>(wanted);
    const uint64_t begin = monotonic_ns();
    classifier = Classifier::make(std::move(maps_now), {.trees = classifier->trees()});
    change_ns.push_back(monotonic_ns() - begin);
  }
  std::sort(change_ns.begin() + 1, change_ns.end());
  if (!classifier) {
    std::fprintf(stderr, "%s\n", classifier.error().message.c_str());
    return 1;
  }

  Bench bench(v6);
  VerdictBuffer verdicts(maps);
  uint64_t checksum = 0, matched = 0, wrong = 0;
  std::vector<double> rounds;
  for (unsigned round = 0; round < kRounds; ++round) {
    uint64_t ns = 0, sum = 0, hits = 0;
    for (std::size_t at = 0; at + kBurst <= trace.size(); at += kBurst) {
      for (unsigned i = 0; i < kBurst; ++i) bench.load(i, trace[at + i], v6);
      parse_burst(bench.burst);
      const uint64_t begin = monotonic_ns();
      classifier->classify(bench.burst, 0, verdicts);
      ns += monotonic_ns() - begin;
      for (unsigned i = 0; i < kBurst; ++i)
        for (uint32_t v = verdicts.begin[i]; v < verdicts.begin[i + 1]; ++v) {
          sum += (at + i + 1) * (verdicts.verdicts[v].rule + 1);
          ++hits;
        }
      if (round > 0 || at >= verified) continue;
      for (unsigned i = 0; i < kBurst; ++i) {
        std::map<unsigned, unsigned> expected;
        for (unsigned r = 0; r < rules.size(); ++r)
          if (rules[r].matches(trace[at + i])) expected.try_emplace(r % maps, r);
        std::map<unsigned, unsigned> found;
        for (uint32_t v = verdicts.begin[i]; v < verdicts.begin[i + 1]; ++v) found[verdicts.verdicts[v].map] = verdicts.verdicts[v].rule;
        wrong += expected != found;
      }
    }
    rounds.push_back(static_cast<double>(ns) / static_cast<double>(trace.size() / kBurst * kBurst));
    checksum = sum, matched = hits;
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  const auto cost = classifier->cost();
  std::printf(
      R"({"ns": %.2f, "checksum": %lu, "verdicts": %lu, "wrong": %lu, "verified": %u, "lookups": %zu, "compile_ms": %.2f, "change_ms": %.2f, "longest_change_ms": %.2f, "bytes": %zu, "rows": %u, "cut": %u, "maps": %u})"
      "\n",
      rounds[kRounds / 2], checksum, matched, wrong, verified, kRounds * (trace.size() / kBurst * kBurst), static_cast<double>(compile_ns) / 1e6,
      static_cast<double>(change_ns[(change_ns.size() + 1) / 2 - (change_ns.size() == 1)]) / 1e6, static_cast<double>(change_ns.back()) / 1e6, cost.bytes, cost.rows, cost.cut, maps);
  return wrong == 0 ? 0 : 1;
}
