// Packets whose lengths, versions and counts lie: what is told of them, and that nothing behind a stated end is taken for a header.
#include <doctest/doctest.h>

#include <algorithm>
#include <initializer_list>

#include "tests/packet/cases.h"
#include "tests/packet/facts_of.h"

using namespace sluice;
using namespace sluice::test;

namespace {

struct Byte {
  std::size_t at;
  unsigned value;
};
/// What the parser finds in a packet of which some bytes were changed.
Facts found(const Packet& packet, std::initializer_list<Byte> changes) {
  auto bytes = packet.bytes();
  for (const auto& [at, value] : changes) bytes.at(at) = static_cast<std::byte>(value);
  return facts_of(bytes, parse(bytes));
}
bool says(const std::vector<std::string>& problems, const std::string& what) { return std::ranges::find(problems, what) != problems.end(); }

Packet v4() { return Packet().ethernet().ipv4("192.0.2.1", "198.51.100.2"); }
Packet v6() { return Packet().ethernet().ipv6("2001:db8::1", "2001:db8::2"); }
constexpr std::size_t kIp = 14, kL4 = 34, kL4v6 = 54, kTunnel = 42;  // of v4() and v6(); behind v4().udp()
Packet inner(Packet p) { return p.ipv4("10.0.0.1", "10.0.0.2").udp(3333, 4444).payload("payload of the inner packet"); }

}  // namespace

TEST_CASE("broken: an IP header of another version is malformed and no layer 3") {
  for (const unsigned first : {0x05U, 0x15U, 0x65U, 0xF5U}) {
    const Facts f = found(v4().tcp(1, 2), {{kIp, first}});
    CHECK(says(f.outer.problems, "malformed"));
    CHECK(f.outer.l3 == "none");
    CHECK(f.outer.l4 == "none");
    CHECK_FALSE(f.outer.protocol);
    CHECK(f.outer.payload_offset == kIp);
  }
  const Facts six = found(v6().tcp(1, 2), {{kIp, 0x40}});
  CHECK(says(six.outer.problems, "malformed"));
  CHECK(six.outer.l3 == "none");
  CHECK(six.outer.l4 == "none");
}

TEST_CASE("broken: an IPv4 header shorter than itself is malformed, one longer than the packet truncated, and neither has ports") {
  const Facts shorter = found(v4().tcp(1, 2), {{kIp, 0x44}});
  CHECK(says(shorter.outer.problems, "malformed"));
  CHECK_FALSE(shorter.outer.ports);
  const Facts both = found(v4().udp(1, 2), {{kIp, 0x4F}});  // longer than the total length, too
  CHECK(says(both.outer.problems, "malformed"));
  CHECK_FALSE(both.outer.ports);
  const Facts longer = found(v4().udp(1, 2), {{kIp, 0x4F}, {kIp + 3, 60}});
  CHECK(says(longer.outer.problems, "truncated"));
  CHECK(longer.outer.l3 == "ipv4");
  CHECK_FALSE(longer.outer.ports);
  const Facts total = found(v4().udp(1, 2), {{kIp + 3, 19}});
  CHECK(says(total.outer.problems, "malformed"));
  CHECK(total.outer.l3 == "ipv4");
  CHECK_FALSE(total.outer.ports);
}

TEST_CASE("broken: ports behind an IP packet's stated end are not read") {
  const Facts four = found(v4().udp(1, 2), {{kIp + 3, 20}});
  CHECK(four.outer.l3 == "ipv4");
  CHECK_FALSE(four.outer.ports);
  CHECK(four.outer.payload_offset <= kL4);
  const Facts six = found(v6().tcp(1, 2), {{kIp + 5, 3}});
  CHECK(six.outer.l3 == "ipv6");
  CHECK_FALSE(six.outer.ports);
  CHECK(six.outer.payload_offset <= kL4v6 + 3);
  const Facts some = found(v6().tcp(1, 2), {{kIp + 5, 10}});
  CHECK(says(some.outer.problems, "truncated"));
  CHECK(some.outer.payload_offset <= kL4v6 + 10);
}

TEST_CASE("broken: an upper header of an impossible length is told, and its ports are kept") {
  const Facts small = found(v4().tcp(1, 2), {{kL4 + 12, 0x40}});
  CHECK(says(small.outer.problems, "malformed"));
  CHECK(small.outer.ports == std::pair<uint16_t, uint16_t>{1, 2});
  const Facts large = found(v4().tcp(1, 2), {{kL4 + 12, 0xF0}});
  CHECK(says(large.outer.problems, "truncated"));
  CHECK(large.outer.ports == std::pair<uint16_t, uint16_t>{1, 2});
  const Facts seven = found(v4().udp(1, 2).payload("x"), {{kL4 + 5, 7}});
  CHECK(says(seven.outer.problems, "malformed"));
  CHECK(seven.outer.ports == std::pair<uint16_t, uint16_t>{1, 2});
  const Facts beyond = found(v4().udp(1, 2).payload("x"), {{kL4 + 4, 1}});
  CHECK(says(beyond.outer.problems, "truncated"));
}

TEST_CASE("broken: an extension header that ends behind the packet is truncated and hides the protocol") {
  const Facts f = found(v6().extension(60).tcp(1, 2), {{kL4v6 + 1, 200}});
  CHECK(says(f.outer.problems, "truncated"));
  CHECK(f.outer.l3 == "ipv6");
  CHECK(f.outer.l4 == "none");
  CHECK_FALSE(f.outer.protocol);
  const Facts ah = found(v4().ah().tcp(1, 2), {{kL4 + 1, 200}});
  CHECK(says(ah.outer.problems, "truncated"));
  CHECK_FALSE(ah.outer.ports);
  const Facts tiny = found(v4().ah().tcp(1, 2), {{kL4 + 1, 0}});
  CHECK(says(tiny.outer.problems, "malformed"));
  CHECK_FALSE(tiny.outer.ports);
}

TEST_CASE("broken: an inner packet ends where the outer one says") {
  // Each length is cut so that the inner UDP header is behind it, while its bytes are still in the frame.
  const Facts ip = found(inner(v4()), {{kIp + 3, 20 + 20 + 2}});
  REQUIRE(ip.inner);
  CHECK(ip.inner->src == "10.0.0.1");
  CHECK_FALSE(ip.inner->ports);
  CHECK(says(ip.inner->problems, "truncated"));
  Packet vx = v4().udp(1, 4789).vxlan(5).ethernet();
  const Facts vxlan = found(inner(vx), {{kIp + 2, 0}, {kIp + 3, 20 + 8 + 8 + 14 + 20}});
  REQUIRE(vxlan.inner);
  CHECK(vxlan.inner->l3 == "ipv4");
  CHECK_FALSE(vxlan.inner->ports);
  Packet session = Packet().ethernet().pppoe(5);
  const Facts pppoe = found(inner(session), {{18, 0}, {19, 2 + 20 + 3}});
  CHECK(pppoe.outer.l3 == "ipv4");
  CHECK_FALSE(pppoe.outer.ports);
  CHECK(says(pppoe.outer.problems, "truncated"));
  Packet snap = Packet().ethernet().snap();
  const Facts length = found(inner(snap), {{12, 0}, {13, 8 + 20 + 3}});
  CHECK(length.outer.l3 == "ipv4");
  CHECK_FALSE(length.outer.ports);
  CHECK(says(length.outer.problems, "truncated"));
}

TEST_CASE("broken: a tunnel header ends where the outer packet says") {
  const Facts gre = found(inner(v4().gre({.key = 7})), {{kIp + 3, 20 + 6}});
  CHECK(gre.tunnel == "gre");
  CHECK_FALSE(gre.tunnel_id);
  CHECK_FALSE(gre.inner);
  CHECK(says(gre.tunnel_problems, "truncated"));
  const Facts vxlan = found(inner(v4().udp(1, 4789).vxlan(5).ethernet()), {{kIp + 3, 20 + 8 + 7}});
  CHECK_FALSE(vxlan.tunnel_id);
  CHECK_FALSE(vxlan.inner);
  const Facts nothing = found(v4().udp(1, 4789).vxlan(5).ethernet(), {{kIp + 3, 20 + 8 + 8}});
  CHECK(nothing.tunnel == "vxlan");
  CHECK(nothing.tunnel_id == 5U);
  CHECK_FALSE(nothing.inner);
}

TEST_CASE("broken: a GRE header of an unknown version carries nothing") {
  for (const unsigned version : {2U, 7U}) {
    const Facts f = found(inner(v4().gre()), {{kL4 + 1, version}});
    CHECK(says(f.tunnel_problems, "malformed"));
    CHECK_FALSE(f.inner);
    CHECK(f.outer.l3 == "ipv4");
  }
}

TEST_CASE("broken: GENEVE options behind the packet and unknown versions carry nothing") {
  const Facts options = found(inner(v4().udp(1, 6081).geneve(5)), {{kTunnel, 63}});
  CHECK(options.tunnel == "geneve");
  CHECK(says(options.tunnel_problems, "truncated"));
  CHECK_FALSE(options.inner);
  const Facts version = found(inner(v4().udp(1, 6081).geneve(5)), {{kTunnel, 0x40}});
  CHECK_FALSE(version.inner);
}

TEST_CASE("broken: VXLAN whose I flag is not set has no network identifier") {
  CHECK_FALSE(found(inner(v4().udp(1, 4789).vxlan(5).ethernet()), {{kTunnel, 0}}).tunnel_id);
}

TEST_CASE("broken: GTP of another version or kind, and an extension header of no length, carry nothing") {
  const auto packet = inner(v4().udp(2152, 2152).gtpu(5, {.extension = true, .headers = {{0x40, 1}}}));
  CHECK_FALSE(found(packet, {{kTunnel, 0x54}}).inner);  // version 2
  CHECK_FALSE(found(packet, {{kTunnel, 0x24}}).inner);  // GTP', the charging protocol
  const Facts zero = found(packet, {{kTunnel + 12, 0}});
  CHECK(says(zero.tunnel_problems, "malformed"));
  CHECK_FALSE(zero.inner);
  const Facts beyond = found(packet, {{kTunnel + 12, 255}});
  CHECK(says(beyond.tunnel_problems, "truncated"));
  CHECK_FALSE(beyond.inner);
  const Facts longer = found(packet, {{kTunnel + 2, 1}});
  CHECK(says(longer.tunnel_problems, "truncated"));
}

TEST_CASE("broken: an inner packet of ERSPAN that is not marked as Ethernet is not taken for Ethernet") {
  const Facts f = found(inner(v4().erspan3(5).ethernet()), {{kL4 + 8 + 10, 0x08}});  // FT 2: IP
  CHECK((!f.inner || !f.inner->ethernet));
}

TEST_CASE("broken: behind labels, only the first nibbles 4, 6 and 0 mean something") {
  for (const unsigned first : {0x15U, 0x55U, 0x75U, 0xF5U}) {
    const Facts f = found(Packet().ethernet().mpls(16).ipv4("192.0.2.1", "192.0.2.2").tcp(1, 2), {{18, first}});
    CHECK(f.outer.mpls.size() == 1);
    CHECK(f.outer.l3 == "none");
    CHECK(f.tunnel == "none");
    CHECK_FALSE(f.inner);
    CHECK(f.outer.payload_offset == 18);
  }
}

TEST_CASE("broken: Teredo indications longer than the packet carry nothing") {
  const Facts f = found(v4().udp(3544, 3544).teredo(true).ipv6("fd00::1", "fd00::2").udp(1, 2), {{kTunnel + 2, 255}, {kTunnel + 3, 255}});
  CHECK_FALSE(f.inner);
}

TEST_CASE("broken: whatever byte of whatever packet is changed, what is found lies within the packet") {
  for (const auto& c : parse_cases()) {
    const auto bytes = c.packet.bytes();
    for (std::size_t at = 12; at < bytes.size(); ++at) {
      for (const unsigned change : {0xFFU, 0x01U, 0x80U}) {
        auto changed = bytes;
        changed[at] ^= static_cast<std::byte>(change);
        const Parsed p = parse(changed);
        (void)facts_of(changed, p);  // reads addresses, tags and labels
        bool within = p.tunnel == Tunnel::kNone || p.tunnel_offset <= changed.size();
        for (const LayerSet& set : {p.outer, p.has_inner ? p.inner : LayerSet{}}) {
          within &= set.payload_offset <= changed.size();
          within &= set.l3 == L3::kNone || set.l3_offset + (set.l3 == L3::kIpv4 ? 20U : set.l3 == L3::kIpv6 ? 40U : 8U) <= changed.size();
          within &= set.l4 == L4::kNone || (set.l4_offset <= changed.size() && set.l4_offset >= set.l3_offset);
          within &= set.vlan_count <= kMaxVlanTags && set.mpls_count <= kMaxMplsLabels;
        }
        CHECK_MESSAGE(within, c.name, ", byte ", at, " changed by ", change);
      }
    }
  }
}
