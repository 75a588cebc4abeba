#include "engine/classify/payload_scanner.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

#include "engine/classify/classifier.h"
#include "tests/builders/packet_builder.h"

using namespace sluice;

namespace {

/// A packet of these bytes, in frames that end at these places.
Burst in_frames(const std::string& bytes, const std::vector<std::size_t>& ends) {
  std::vector<Frame> frames;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    frames.push_back({reinterpret_cast<const std::byte*>(bytes.data()) + begin, static_cast<uint32_t>(end - begin), 0});
    begin = end;
  }
  Burst burst;
  burst.add(frames, 0);
  return burst;
}

}  // namespace

TEST_CASE("payload scanner: what lies across several frames is found as if it lay in one, from any place on") {
  const unsigned seed = std::random_device()();
  MESSAGE("seed ", seed);
  std::mt19937_64 random(seed);
  PayloadScanner scanner;
  const std::vector<std::string> words = {"abc", "cab", "aaaa", "b"};
  for (std::size_t w = 0; w < words.size(); ++w) REQUIRE(*scanner.add(words[w], "") == w);
  REQUIRE(scanner.compile(nullptr));
  unsigned found = 0;
  for (unsigned round = 0; round < 2000; ++round) {
    std::string bytes;
    for (uint64_t n = 1 + random() % 40; n > 0; --n) bytes += static_cast<char>('a' + random() % 3);
    std::vector<std::size_t> ends;
    for (std::size_t end = 1 + random() % 12; end < bytes.size() && ends.size() < 5; end += 1 + random() % 12) ends.push_back(end);
    ends.push_back(bytes.size());
    const Burst burst = in_frames(bytes, ends);
    const auto begin = static_cast<uint32_t>(random() % (bytes.size() + 2));
    PayloadScanner::Seen seen;
    for (unsigned w = 0; w < words.size(); ++w) {
      const bool expected = begin <= bytes.size() && bytes.find(words[w], begin) != std::string::npos;
      CHECK(scanner.matches(w, burst, 0, begin, nullptr) == expected);
      CHECK(scanner.matches(w, burst, 0, begin, &seen) == expected);
      found += expected;
    }
  }
  CHECK(found > 500);
}

TEST_CASE("payload scanner: a payload is read only where all else holds, once for all rules, and never for another burst's packet") {
  const auto scanner = std::make_shared<PayloadScanner>();
  REQUIRE(scanner->add("GET", ""));
  REQUIRE(scanner->add("POST", ""));
  REQUIRE(scanner->compile(nullptr));
  ClassifierMap map;
  map.ports.set(0);
  for (unsigned r = 0; r < 2; ++r) {
    auto remainder = std::make_shared<Remainder>();
    remainder->scanner = scanner;
    remainder->expression = r;
    map.rules.push_back({{{{{{{Field::kDstPort}, std::make_shared<const Values>(Values{{{80, 80}}, {}})}}, remainder}}}, r, true});
  }
  const auto classifier = Classifier::make({map});
  REQUIRE(classifier);
  VerdictBuffer out(1);
  /// The rule that decides; kNoRule: none. Always the same burst, in the same place.
  Burst burst;
  const auto rule_for = [&](uint16_t port, const std::string& payload) {
    const auto bytes = test::Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").tcp(1, port).payload(payload).bytes();
    burst.clear();
    burst.add({bytes.data(), static_cast<uint32_t>(bytes.size()), 0}, 0);
    parse_burst(burst);
    classifier->classify(burst, 0, out);
    return out.begin[1] == 0 ? kNoRule : out.verdicts[0].rule;
  };
  CHECK(rule_for(80, "GET /") == 0);
  CHECK(out.seen.scanner == scanner.get());
  CHECK(out.seen.found.count() == 1);
  CHECK(rule_for(80, "POST ") == 1);
  CHECK(rule_for(80, "PUT /") == kNoRule);
  CHECK(rule_for(443, "GET /") == kNoRule);
  CHECK(out.seen.scanner == nullptr);
}
