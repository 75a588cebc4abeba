// Five-tuple rule sets as in firewalls and access lists, and headers to look up in them; made from a seed, in the form that DPDK's test-acl
// reads (that of ClassBench: Taylor and Turner, INFOCOM 2005).
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace sluice::bench {

struct FiveTuple {
  std::array<uint8_t, 16> src{}, dst{};  ///< network byte order; IPv4 in the first four bytes
  uint16_t src_port = 0, dst_port = 0;
  uint8_t protocol = 0;
};

struct TupleRule {
  bool v6 = false;
  std::array<uint8_t, 16> src{}, dst{};
  unsigned src_length = 0, dst_length = 0;
  std::array<uint16_t, 2> src_ports{0, 65535}, dst_ports{0, 65535};
  uint8_t protocol = 0;
  bool any_protocol = true;

  [[nodiscard]] bool matches(const FiveTuple& header) const;
  /// One line of a ClassBench file.
  [[nodiscard]] std::string text() const;
};

/// acl: pairs of hosts and small networks, one service each. fw: many wildcards, ranges of ports. chain: something of both. v6: as acl.
[[nodiscard]] std::vector<TupleRule> make_rules(const std::string& kind, unsigned count, unsigned seed);
/// The rules of a ClassBench file. Empty: it is none.
[[nodiscard]] std::vector<TupleRule> read_rules(const std::string& path);
/// Distinct headers: each drawn from a rule chosen evenly, or anywhere within the rules' networks but on ports that no rule has (mostly
/// misses).
[[nodiscard]] std::vector<FiveTuple> make_headers(const std::vector<TupleRule>& rules, unsigned count, bool hit, unsigned seed);
/// One line of test-acl's trace.
[[nodiscard]] std::string text_of(const FiveTuple& header, bool v6);

}  // namespace sluice::bench
