#include "tests/bench/rule_sets.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>

namespace sluice::bench {
namespace {

using Random = std::mt19937;
using Address = std::array<uint8_t, 16>;

unsigned below(Random& random, unsigned n) { return static_cast<unsigned>(random() % n); }

Address cut(Address address, unsigned length) {
  for (unsigned bit = length; bit < 128; ++bit) address[bit / 8] &= static_cast<uint8_t>(~(0x80U >> bit % 8));
  return address;
}

bool within(const Address& address, const Address& prefix, unsigned length) {
  const unsigned whole = length / 8;
  if (std::memcmp(address.data(), prefix.data(), whole) != 0) return false;
  return length % 8 == 0 || ((address[whole] ^ prefix[whole]) & static_cast<uint8_t>(0xFF00U >> length % 8)) == 0;
}

/// Networks in networks, as an organisation has them: a rule's address is one of them or a host in one.
struct Networks {
  Networks(bool ipv6, unsigned sites, Random& random) : v6(ipv6) {
    for (unsigned s = 0; s < sites; ++s) {
      Address site{};
      if (v6) site = {0x20, 0x01, 0x0d, 0xb8, static_cast<uint8_t>(random()), static_cast<uint8_t>(below(random, 32))};
      else site = {static_cast<uint8_t>(1 + below(random, 222)), static_cast<uint8_t>(random())};
      sites_.push_back(site);
    }
  }
  /// An address in a site, cut to a length.
  Address some(unsigned length, Random& random) const {
    Address address = sites_[below(random, static_cast<unsigned>(sites_.size()))];
    const unsigned begin = v6 ? 6 : 2, end = v6 ? 16 : 4;
    address[begin] = static_cast<uint8_t>(below(random, 24));  // subnets in use are few
    for (unsigned i = begin + 1; i < end; ++i) address[i] = static_cast<uint8_t>(random());
    return cut(address, length);
  }
  bool v6;
  std::vector<Address> sites_;
};

constexpr uint16_t kServices[] = {22,  25,   53,   80,   110,  123,  143,  161,  389,  443,  445,  465,  514,  587,   636, 993,
                                  995, 1433, 1521, 1724, 3306, 3389, 5060, 5432, 5900, 6379, 8080, 8443, 9200, 27017, 21,  23};

std::array<uint16_t, 2> some_ports(unsigned any, unsigned exact, Random& random) {
  const unsigned kind = below(random, 100);
  if (kind < any) return {0, 65535};
  if (kind < any + exact) {
    const uint16_t port = below(random, 3) ? kServices[below(random, std::size(kServices))] : static_cast<uint16_t>(below(random, 10000));
    return {port, port};
  }
  if (below(random, 2)) return {1024, 65535};
  const auto from = static_cast<uint16_t>(below(random, 60000));
  return {from, static_cast<uint16_t>(from + 1 + below(random, 5000))};
}

std::string address_text(const Address& a, bool v6) {
  char out[64];
  if (!v6) {
    std::snprintf(out, sizeof out, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
    return out;
  }
  std::string all;
  for (unsigned i = 0; i < 16; i += 2) {
    std::snprintf(out, sizeof out, "%s%x", i ? ":" : "", a[i] << 8 | a[i + 1]);
    all += out;
  }
  return all;
}

}  // namespace

bool TupleRule::matches(const FiveTuple& h) const {
  return within(h.src, src, src_length) && within(h.dst, dst, dst_length) && h.src_port >= src_ports[0] && h.src_port <= src_ports[1] &&
         h.dst_port >= dst_ports[0] && h.dst_port <= dst_ports[1] && (any_protocol || h.protocol == protocol);
}

std::string TupleRule::text() const {
  char out[64];
  std::snprintf(out, sizeof out, "%u : %u\t%u : %u\t0x%02x/0x%02x", src_ports[0], src_ports[1], dst_ports[0], dst_ports[1],
                any_protocol ? 0 : protocol, any_protocol ? 0 : 0xFF);
  return "@" + address_text(src, v6) + "/" + std::to_string(src_length) + "\t" + address_text(dst, v6) + "/" + std::to_string(dst_length) +
         "\t" + out;
}

std::string text_of(const FiveTuple& h, bool v6) {
  const auto number = [](const Address& a) {
    return std::to_string(uint32_t{a[0]} << 24 | uint32_t{a[1]} << 16 | uint32_t{a[2]} << 8 | a[3]);
  };
  const auto address = [&](const Address& a) { return v6 ? address_text(a, true) : number(a); };
  return address(h.src) + "\t" + address(h.dst) + "\t" + std::to_string(h.src_port) + "\t" + std::to_string(h.dst_port) + "\t" +
         std::to_string(h.protocol);
}

std::vector<TupleRule> make_rules(const std::string& kind, unsigned count, unsigned seed) {
  Random random(seed);
  const bool v6 = kind == "v6";
  const unsigned host = v6 ? 128 : 32, net = v6 ? 64 : 24, big = v6 ? 48 : 16;
  const Networks sources(v6, 12, random), targets(v6, 40, random);
  std::vector<TupleRule> out;
  std::set<std::string> seen;
  while (out.size() < count) {
    TupleRule rule{.v6 = v6};
    const bool wild = kind == "fw" || (kind == "chain" && below(random, 2));
    const auto length = [&](unsigned any, unsigned large) {
      const unsigned k = below(random, 100);
      if (k < any) return 0U;
      if (k < any + large) return big + below(random, net - big);
      return k % 2 ? host : net + below(random, host - net + 1);
    };
    rule.src_length = wild ? length(35, 30) : length(2, 8);
    rule.dst_length = wild ? length(20, 25) : length(0, 4);
    if (rule.src_length == 0 && rule.dst_length == 0) continue;  // would decide about nearly everything
    rule.src = cut(sources.some(rule.src_length, random), rule.src_length);
    rule.dst = cut(targets.some(rule.dst_length, random), rule.dst_length);
    if (wild) {
      rule.src_ports = some_ports(75, 15, random);
      rule.dst_ports = some_ports(25, 50, random);
      rule.any_protocol = below(random, 100) < 15;
    } else {
      rule.dst_ports = some_ports(8, 85, random);
      rule.any_protocol = below(random, 100) < 4;
    }
    if (!rule.any_protocol) rule.protocol = below(random, 4) ? 6 : 17;
    if (seen.insert(rule.text()).second) out.push_back(rule);
  }
  return out;
}

std::vector<TupleRule> read_rules(const std::string& path) {
  std::vector<TupleRule> out;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    unsigned s[4], d[4], sl, dl, p[4], proto, mask;
    if (std::sscanf(line.c_str(), "@%u.%u.%u.%u/%u %u.%u.%u.%u/%u %u : %u %u : %u %x/%x", &s[0], &s[1], &s[2], &s[3], &sl, &d[0], &d[1],
                    &d[2], &d[3], &dl, &p[0], &p[1], &p[2], &p[3], &proto, &mask) != 16)
      continue;
    TupleRule rule;
    for (unsigned i = 0; i < 4; ++i) rule.src[i] = static_cast<uint8_t>(s[i]), rule.dst[i] = static_cast<uint8_t>(d[i]);
    rule.src_length = sl, rule.dst_length = dl;
    rule.src_ports = {static_cast<uint16_t>(p[0]), static_cast<uint16_t>(p[1])};
    rule.dst_ports = {static_cast<uint16_t>(p[2]), static_cast<uint16_t>(p[3])};
    rule.protocol = static_cast<uint8_t>(proto), rule.any_protocol = mask == 0;
    out.push_back(rule);
  }
  return out;
}

std::vector<FiveTuple> make_headers(const std::vector<TupleRule>& rules, unsigned count, bool hit, unsigned seed) {
  Random random(seed);
  const unsigned bytes = rules.front().v6 ? 16 : 4;
  const auto inside = [&](const Address& prefix, unsigned length) {
    Address out = prefix;
    for (unsigned bit = length; bit < bytes * 8; ++bit)
      if (random() & 1) out[bit / 8] |= static_cast<uint8_t>(0x80U >> bit % 8);
    return out;
  };
  const auto between = [&](const std::array<uint16_t, 2>& range) {
    return static_cast<uint16_t>(range[0] + random() % (uint32_t{range[1]} - range[0] + 1));
  };
  std::vector<FiveTuple> out(count);
  for (FiveTuple& h : out) {
    const TupleRule& rule = rules[random() % rules.size()];
    h.src = inside(rule.src, rule.src_length);
    h.src_port =
        rule.src_ports[0] == 0 && rule.src_ports[1] == 65535 ? static_cast<uint16_t>(1024 + random() % 64000) : between(rule.src_ports);
    if (hit) {
      h.dst = inside(rule.dst, rule.dst_length);
      h.dst_port = between(rule.dst_ports);
      h.protocol = rule.any_protocol ? (random() % 2 ? 6 : 17) : rule.protocol;
    } else {  // of one rule the source, of another the target: what is asked for together seldom is there
      const TupleRule& other = rules[random() % rules.size()];
      h.dst = inside(other.dst, other.dst_length);
      h.dst_port = between(rules[random() % rules.size()].dst_ports);
      h.protocol = static_cast<uint8_t>(random() % 3 ? 6 : 17);
    }
  }
  return out;
}

}  // namespace sluice::bench
