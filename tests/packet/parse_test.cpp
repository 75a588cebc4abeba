#include "packet/parse.h"

#include <doctest/doctest.h>

#include <random>

#include "packet/flow_hash.h"
#include "tests/builders/packet_builder.h"

using namespace sluice;
using sluice::test::Packet;

TEST_CASE("parse: a TCP packet over IPv4 shows addresses, ports and where its payload begins") {
  const auto bytes = Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2").tcp(1025, 80).payload("hello").bytes();
  const Parsed p = parse(bytes);
  CHECK(p.outer.l3 == L3::kIpv4);
  CHECK(p.outer.l4 == L4::kTcp);
  CHECK(p.outer.src_port == 1025);
  CHECK(p.outer.dst_port == 80);
  CHECK(p.outer.payload_offset == 14 + 20 + 20);
  CHECK(p.outer.flags == (parse_flag::kHasEthernet | parse_flag::kHasProtocol | parse_flag::kHasPorts | parse_flag::kHasTcpFlags));
  CHECK(addresses(bytes.data(), p.outer).size == 4);
}

TEST_CASE("parse: VLAN tags up to eight deep are kept outermost first, whatever their type") {
  Packet packet;
  packet.ethernet();
  for (uint16_t i = 0; i < 8; ++i) packet.vlan(static_cast<uint16_t>(100 + i), i == 0 ? 0x88A8 : 0x8100, 5);
  const auto bytes = packet.ipv6("2001:db8::1", "2001:db8::2").udp(53, 5353).bytes();
  const Parsed p = parse(bytes);
  CHECK(p.outer.vlan_count == 8);
  for (unsigned i = 0; i < 8; ++i) CHECK(vlan_tci(bytes.data(), p.outer, i) == (5 << 13 | (100 + i)));
  CHECK(p.outer.l4 == L4::kUdp);
  CHECK(p.outer.src_port == 53);
}

TEST_CASE("parse: a ninth VLAN tag is too deep, and the eight before it stay known") {
  Packet packet;
  packet.ethernet();
  for (uint16_t i = 0; i < 9; ++i) packet.vlan(i);
  const Parsed p = parse(packet.ipv4("192.0.2.1", "192.0.2.2").bytes());
  CHECK(p.outer.vlan_count == 8);
  CHECK(p.outer.has(parse_flag::kTooDeep));
  CHECK(p.outer.l3 == L3::kNone);
}

TEST_CASE("parse: IPv6 extension headers are walked to the upper layer") {
  const auto bytes = Packet().ethernet().ipv6("2001:db8::1", "2001:db8::2").extension(0, 1).extension(60, 3).tcp(1, 2).bytes();
  const Parsed p = parse(bytes);
  CHECK(p.outer.l4 == L4::kTcp);
  CHECK(p.outer.ip_protocol == 6);
  CHECK(p.outer.l4_offset == 14 + 40 + 8 + 24);
}

TEST_CASE("parse: a chain of nine extension headers is too deep and not a crash") {
  Packet packet;
  packet.ethernet().ipv6("2001:db8::1", "2001:db8::2");
  for (int i = 0; i < 9; ++i) packet.extension(60);
  const Parsed p = parse(packet.tcp(1, 2).bytes());
  CHECK(p.outer.has(parse_flag::kTooDeep));
  CHECK(p.outer.l3 == L3::kIpv6);
  CHECK(p.outer.l4 == L4::kNone);
}

TEST_CASE("parse: the first fragment shows ports, a later one does not, in IPv4 and IPv6 alike") {
  const Parsed first4 = parse(Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2", 17, 0x2000).udp(1, 2).bytes());
  CHECK(first4.outer.fragment == Fragment::kFirst);
  CHECK(first4.outer.has(parse_flag::kHasPorts));
  const Parsed later4 = parse(Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2", 17, 0x0010).udp(1, 2).bytes());
  CHECK(later4.outer.fragment == Fragment::kLater);
  CHECK_FALSE(later4.outer.has(parse_flag::kHasPorts));
  CHECK(later4.outer.ip_protocol == 17);
  const Parsed first6 = parse(Packet().ethernet().ipv6("::1", "::2").extension(44, 1, 1).udp(1, 2).bytes());
  CHECK(first6.outer.fragment == Fragment::kFirst);
  CHECK(first6.outer.has(parse_flag::kHasPorts));
  const Parsed later6 = parse(Packet().ethernet().ipv6("::1", "::2").extension(44, 1, 8).udp(1, 2).bytes());
  CHECK(later6.outer.fragment == Fragment::kLater);
  CHECK_FALSE(later6.outer.has(parse_flag::kHasPorts));
}

TEST_CASE("parse: bytes behind the IP packet's stated end are padding, not ports") {
  auto bytes = Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2", 6).bytes();
  bytes.resize(60, std::byte{0x50});
  const Parsed p = parse(bytes);
  CHECK(p.outer.l3 == L3::kIpv4);
  CHECK(p.outer.has(parse_flag::kTruncated));
  CHECK_FALSE(p.outer.has(parse_flag::kHasPorts));
}

TEST_CASE("parse: lengths and versions that contradict themselves are malformed and keep the layers before") {
  auto version = Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2").tcp(1, 2).bytes();
  version[14] = std::byte{0x65};
  CHECK(parse(version).outer.has(parse_flag::kMalformed));
  CHECK(parse(version).outer.l3 == L3::kNone);
  CHECK(parse(version).outer.ethertype == 0x0800);
  auto total = Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2").tcp(1, 2).bytes();
  total[16] = std::byte{0};
  total[17] = std::byte{10};
  CHECK(parse(total).outer.has(parse_flag::kMalformed));
  CHECK(parse(total).outer.l3 == L3::kIpv4);
  CHECK(parse(total).outer.l4 == L4::kNone);
}

TEST_CASE("parse: an ICMP error shows its own type, not the ports of the packet that it quotes") {
  const auto quoted = Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2").icmp(3, 3).payload("E....quoted header").bytes();
  const Parsed p = parse(quoted);
  CHECK(p.outer.l4 == L4::kIcmp);
  CHECK(p.outer.icmp_type == 3);
  CHECK(p.outer.icmp_code == 3);
  CHECK_FALSE(p.outer.has(parse_flag::kHasPorts));
}

TEST_CASE("parse: every packet cut to every length stays within its bytes") {
  const std::vector<Packet> packets = {
      Packet().ethernet().vlan(1).vlan(2).ipv4("192.0.2.1", "192.0.2.2").tcp(1, 2).payload("payload"),
      Packet().ethernet().ipv6("2001:db8::1", "2001:db8::2").extension(0, 2).extension(44, 1, 1).udp(1, 2).payload("payload"),
      Packet().ethernet().ipv6("2001:db8::1", "2001:db8::2").icmp(135).payload("neighbour"),
      Packet().ethernet().ethertype(0x0806).payload("arp, eight bytes and more"),
  };
  for (const auto& packet : packets) {
    const auto whole = packet.bytes();
    for (std::size_t length = 0; length <= whole.size(); ++length) {
      // A heap block of just this size: ASan sees the first byte read beyond it.
      const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      const Parsed p = parse(cut);
      CHECK(p.outer.payload_offset <= length);
      (void)flow_hash(cut.data(), p.outer);
    }
  }
}

TEST_CASE("flow hash: both directions of a flow agree, and other flows differ") {
  const auto hash = [](const Packet& packet) {
    const auto bytes = packet.bytes();
    return flow_hash(bytes.data(), parse(bytes).outer);
  };
  const auto there = hash(Packet().ethernet().ipv4("192.0.2.1", "198.51.100.7").tcp(1025, 80));
  CHECK(there == hash(Packet().ethernet("02:00:00:00:00:02", "02:00:00:00:00:01").ipv4("198.51.100.7", "192.0.2.1").tcp(80, 1025)));
  CHECK(there != hash(Packet().ethernet().ipv4("192.0.2.1", "198.51.100.7").tcp(1026, 80)));
  CHECK(there != hash(Packet().ethernet().ipv4("192.0.2.1", "198.51.100.7").udp(1025, 80)));
  // Addresses and ports may not be exchanged apart from each other: that is another flow.
  CHECK(there != hash(Packet().ethernet().ipv4("198.51.100.7", "192.0.2.1").tcp(1025, 80)));
  CHECK(hash(Packet().ethernet().ipv6("2001:db8::1", "2001:db8::2").udp(53, 4242)) ==
        hash(Packet().ethernet().ipv6("2001:db8::2", "2001:db8::1").udp(4242, 53)));
  // The parts of a datagram whose later ones do not know the first one's ports.
  const auto blind = [](const Packet& packet) {
    const auto bytes = packet.bytes();
    return flow_hash(bytes.data(), parse(bytes).outer, false);
  };
  CHECK(blind(Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2", 17, 0x2000).udp(5, 6)) ==
        blind(Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2", 17, 0x0010).payload("the rest")));
}

TEST_CASE("balance hash: exactly the fields of the choice tell packets apart, in either direction, and what has none of them goes by five-tuple") {
  namespace field = hash_field;
  struct Shape {
    std::string src = "10.0.0.1", dst = "10.0.0.2", mac = "02:00:00:00:00:01", other_mac = "02:00:00:00:00:02";
    uint16_t vlan = 10, src_port = 1025, dst_port = 80;
    uint32_t label = 16000;
  };
  const auto hash = [](const Shape& s, uint8_t fields) {
    const auto bytes = Packet().ethernet(s.mac, s.other_mac).vlan(s.vlan).mpls(s.label).ipv4(s.src, s.dst).tcp(s.src_port, s.dst_port).bytes();
    return balance_hash(bytes.data(), parse(bytes), {fields, false});
  };
  const Shape base;
  const Shape back{base.dst, base.src, base.other_mac, base.mac, base.vlan, base.dst_port, base.src_port, base.label};
  const std::pair<Shape, unsigned> others[] = {{{.src = "10.0.0.9"}, field::kFiveTuple | field::kIpPair},
                                               {{.mac = "02:00:00:00:00:09"}, field::kMacPair},
                                               {{.vlan = 11}, field::kVlan},
                                               {{.src_port = 1026}, field::kFiveTuple},
                                               {{.label = 16001}, field::kMplsLabel}};
  for (unsigned fields = 1; fields < 32; ++fields) {
    CAPTURE(fields);
    const auto choice = static_cast<uint8_t>(fields);
    CHECK(hash(base, choice) == hash(back, choice));
    for (const auto& [other, tells] : others) CHECK((hash(other, choice) != hash(base, choice)) == ((fields & tells) != 0));
  }

  const auto tunnelled = [](const auto& add_tunnel, const std::string& inner_src, HashChoice choice) {
    Packet p;
    p.ethernet().ipv4("192.0.2.1", "192.0.2.2");
    add_tunnel(p);
    const auto bytes = p.ipv4(inner_src, "10.0.0.2").tcp(1025, 80).bytes();
    return balance_hash(bytes.data(), parse(bytes), choice);
  };
  const auto gtp = [](uint32_t teid) { return [teid](Packet& p) { p.udp(2152, 2152).gtpu(teid); }; };
  const auto gre = [](uint32_t key) { return [key](Packet& p) { p.gre({.key = key}); }; };
  const auto vxlan = [](uint32_t vni) { return [vni](Packet& p) { p.udp(50000, 4789).vxlan(vni).ethernet(); }; };
  const auto apart = [&](const auto& one, const auto& other, uint8_t fields) {
    return tunnelled(one, "10.0.0.1", {fields, false}) != tunnelled(other, "10.0.0.1", {fields, false});
  };
  CHECK(apart(gtp(1), gtp(2), field::kGtpTeid));
  CHECK_FALSE(apart(gtp(1), gtp(2), field::kVni));
  CHECK(apart(gre(1), gre(2), field::kGreKey));
  CHECK_FALSE(apart(gre(1), gre(2), field::kGtpTeid));
  CHECK(apart(vxlan(1), vxlan(2), field::kVni));
  // Outer headers are the same for all that a tunnel carries, inner ones are not.
  for (const bool inner : {false, true})
    CHECK((tunnelled(gtp(1), "10.0.0.1", {field::kFiveTuple, inner}) != tunnelled(gtp(1), "10.0.0.9", {field::kFiveTuple, inner})) == inner);
  const auto plain = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).bytes();
  CHECK(balance_hash(plain.data(), parse(plain), {field::kGtpTeid, true}) == flow_hash(plain.data(), parse(plain).outer));
}

TEST_CASE("flow hash: a thousand flows spread over four buckets within four standard deviations") {
  std::array<int, 4> buckets{};
  for (uint16_t port = 0; port < 1000; ++port) {
    const auto bytes = Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2").tcp(static_cast<uint16_t>(20000 + port), 443).bytes();
    ++buckets[flow_hash(bytes.data(), parse(bytes).outer) >> 62];
  }
  for (const int n : buckets) CHECK(std::abs(n - 250) < 4 * 14);
}
