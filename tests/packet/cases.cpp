#include "tests/packet/cases.h"

#include <functional>

namespace sluice::test {
namespace {

using Change = std::function<void(Packet&)>;
using namespace std::string_literals;

std::vector<Case> made;

void add(const std::string& name, const Packet& packet) { made.push_back({name, packet}); }

Packet& v4(Packet& p) { return p.ipv4("192.0.2.1", "198.51.100.2"); }
Packet& v6(Packet& p) { return p.ipv6("2001:db8::1", "2001:db8:ffff::2"); }
Packet& in4(Packet& p) { return p.ipv4("10.1.2.3", "10.4.5.6"); }
Packet& in6(Packet& p) { return p.ipv6("fd00::3", "fd00:1::4"); }
Packet in4(Packet&& p) { return in4(p); }
Packet in6(Packet&& p) { return in6(p); }
Packet start() { return Packet().ethernet(); }
Packet start4() {
  Packet p = start();
  return v4(p);
}
Packet start6() {
  Packet p = start();
  return v6(p);
}
const std::string kInit = "\x0b\x00\x00\x04"s;  // an SCTP chunk: COOKIE ACK

/// A packet as an ICMP error quotes it.
std::string quoted(const Packet& p) {
  const auto bytes = p.bytes();
  return {reinterpret_cast<const char*>(bytes.data()) + 14, bytes.size() - 14};
}

struct Part {
  std::string name;
  Change append;
};
/// What a tunnel carries.
const std::vector<Part>& inner_ip() {
  static const std::vector<Part> parts = {
      {"IPv4 TCP", [](Packet& p) { in4(p).tcp(1111, 2222).payload("inner"); }},
      {"IPv6 UDP", [](Packet& p) { in6(p).udp(3333, 4444).payload("inner"); }},
  };
  return parts;
}
const std::vector<Part>& inner_ethernet() {
  static const std::vector<Part> parts = {
      {"Ethernet IPv4 UDP", [](Packet& p) { in4(p.ethernet("02:00:00:00:00:0a", "02:00:00:00:00:0b")).udp(3333, 4444).payload("inner"); }},
      {"Ethernet IPv6 ICMPv6", [](Packet& p) { in6(p.ethernet("02:00:00:00:00:0a", "02:00:00:00:00:0b")).icmp(128).payload("inner"); }},
      {"Ethernet two tags IPv4 SCTP",
       [](Packet& p) {
         in4(p.ethernet("02:00:00:00:00:0a", "02:00:00:00:00:0b").vlan(7, 0x88A8, 3).vlan(8)).sctp(36412, 36413).payload(kInit);
       }},
      {"Ethernet ARP", [](Packet& p) { p.ethernet("02:00:00:00:00:0a", "02:00:00:00:00:0b").arp("10.0.0.1", "10.0.0.2"); }},
      {"Ethernet padded IPv4 ICMP", [](Packet& p) { in4(p.ethernet("02:00:00:00:00:0a", "02:00:00:00:00:0b")).icmp(0).trailer_to(60); }},
      {"Ethernet 802.3 STP",
       [](Packet& p) {
         p.ethernet("02:00:00:00:00:0a", "01:80:c2:00:00:00").llc(0x42, 0x42).payload(std::string(35, '\0')).trailer_to(60);
       }},
  };
  return parts;
}
/// Each header that carries packets over IPv4 and IPv6, with each of the parts.
void carry(const std::string& name, const Change& header, std::initializer_list<const std::vector<Part>*> parts) {
  for (const bool six : {false, true}) {
    for (const auto* list : parts) {
      for (const auto& part : *list) {
        Packet p = six ? start6() : start4();
        header(p);
        part.append(p);
        add(name + " in " + (six ? "IPv6" : "IPv4") + ": " + part.name, p);
      }
    }
  }
}

void layer_2() {
  add("Ethernet with an experimental type", start().ethertype(0x88B5).payload("something"));
  for (uint16_t depth = 0; depth <= 9; ++depth) {
    Packet p = start(), q = start();
    for (uint16_t i = 0; i < depth; ++i) {
      p.vlan(static_cast<uint16_t>(100 + i));
      q.vlan(static_cast<uint16_t>(4000 + i), i == 0 ? 0x88A8 : i == 1 ? 0x9100 : 0x8100, static_cast<uint8_t>(7 - i % 8));
    }
    add(std::to_string(depth) + " tags, IPv4", v4(p).tcp(1025, 80).payload("hello"));
    add(std::to_string(depth) + " tags of mixed types, IPv6", v6(q).udp(1026, 5353));
  }
  add("tag with DEI", v4(start().vlan(0x1000 | 42, 0x88A8, 2)).udp(1, 2));
  add("tag 0 before an unknown type", start().vlan(0).ethertype(0x88B6).payload("x"));
  add("802.3 STP",
      Packet().ethernet("02:00:00:00:00:01", "01:80:c2:00:00:00").llc(0x42, 0x42).payload(std::string(35, '\0')).trailer_to(60));
  add("802.3 STP behind a tag",
      Packet().ethernet("02:00:00:00:00:01", "01:80:c2:00:00:00").vlan(5).llc(0x42, 0x42).payload(std::string(35, '\0')));
  add("SNAP IPv4", v4(start().snap()).tcp(1025, 80).payload("hello"));
  add("SNAP IPv6", v6(start().snap()).udp(1025, 9));
  add("SNAP ARP, padded", start().snap().arp("10.0.0.1", "10.0.0.2").trailer_to(60));
  add("SNAP IPv4 behind a tag", v4(start().vlan(9).snap()).icmp(8));
  add("SNAP of another organisation", start().snap(0x00000C, 0x2000).payload("\x02\xb4\xfd\x4b"s));
  add("SNAP with an experimental type", start().snap(0, 0x88B5).payload("something"));
  add("ARP request", start().arp("10.0.0.1", "10.0.0.2"));
  add("ARP reply, two tags, padded", start().vlan(1).vlan(2).arp("10.0.0.2", "10.0.0.1", 2).trailer_to(60));
}

void labels() {
  for (const uint32_t depth : {1U, 2U, 3U, 4U, 16U, 17U}) {
    for (const bool six : {false, true}) {
      Packet p = start();
      for (uint32_t i = 0; i < depth; ++i) p.mpls(1000 + i, static_cast<uint8_t>(i % 8), static_cast<uint8_t>(255 - i));
      add(std::to_string(depth) + " labels, " + (six ? "IPv6" : "IPv4"), (six ? v6(p) : v4(p)).tcp(40646, 40647).payload("x"));
    }
  }
  add("tag and two labels", v4(start().vlan(33).mpls(16).mpls(0xFFFFF)).udp(1, 2));
  add("label with the multicast type", v4(start().mpls(16, 0, 64, 0x8848)).udp(1, 2));
  add("explicit null label, IPv6", v6(start().mpls(2)).icmp(128));
  for (const auto& part : inner_ethernet()) {
    Packet p = start().mpls(500).mpls(777).control_word(3);
    part.append(p);
    add("pseudowire: " + part.name, p);
  }
  Packet one = start().vlan(4).mpls(777).control_word();
  add("pseudowire behind a tag", v6(one.ethernet()).tcp(5, 6));
}

void pppoe() {
  add("PPPoE IPv4", v4(start().pppoe(0x1234)).tcp(1025, 80).payload("hello"));
  add("PPPoE IPv6", v6(start().pppoe(1)).udp(1025, 9));
  add("PPPoE IPv4 in two tags", v4(start().vlan(1, 0x88A8).vlan(2).pppoe(0xFFFF)).icmp(8));
  add("PPPoE LCP echo, padded", start().pppoe(7, 0xC021).payload("\x09\x01\x00\x08\x00\x00\x00\x00"s).trailer_to(60));
  add("PPPoE IPv4, padded", v4(start().pppoe(8)).udp(1, 2).trailer_to(60));
}

void ip() {
  for (const bool six : {false, true}) {
    const std::string family = six ? "IPv6 " : "IPv4 ";
    const auto begin = [&] { return six ? start6() : start4(); };
    add(family + "TCP", begin().tcp(1025, 443).payload("hello"));
    add(family + "TCP with options", begin().tcp(1025, 443, 2, 1, 5));
    add(family + "TCP with the longest header", begin().tcp(1025, 443, 2, 1, 10).payload("x"));
    add(family + "UDP", begin().udp(40001, 40002).payload("query"));
    add(family + "UDP without payload", begin().udp(0, 65535));
    add(family + "SCTP", begin().sctp(2905, 2906).payload(kInit));
    add(family + "ICMP echo", begin().icmp(six ? 128 : 8).payload("abcdefgh"));
    add(family + "ICMP unreachable", begin().icmp(six ? 1 : 3, 3).payload(quoted(begin().udp(1, 2))));
    add(family + "padded", begin().tcp(9, 10).trailer_to(six ? 80 : 60));
    add(family + "padded with what looks like a header", begin().udp(9, 10).trailer_to(six ? 80 : 60, 0x45));
    const std::string spi = "\x00\x00\x01\x00\x00\x00\x00\x01"s;
    Packet esp = six ? start().ipv6("2001:db8::1", "2001:db8::2", 50) : start().ipv4("192.0.2.1", "192.0.2.2", 50);
    add(family + "ESP", esp.payload(spi + std::string(24, 'e')));
    add(family + "AH TCP", begin().ah().tcp(1025, 443).payload("x"));
    add(family + "AH UDP, long integrity value", begin().ah(5).udp(1, 2));
    add(family + "AH of GRE", in4(begin().ah().gre()).udp(1, 2));
  }
  add("IPv4 IGMP", start().ipv4("192.0.2.1", "224.0.0.22", 2).options(1).payload("\x16\x00\x09\xfe\xe0\x00\x00\x01"s).trailer_to(60));
  add("IPv4 OSPF", start().ipv4("192.0.2.1", "224.0.0.5", 89).payload("\x02\x05\x00\x18"s + std::string(20, '\0')));
  for (unsigned words = 1; words <= 10; words += 3) {
    Packet p = start4();
    add("IPv4 with " + std::to_string(words) + " words of options", p.options(words).tcp(1025, 80).payload("x"));
  }
  add("IPv6 no next header", start6().payload("left"));
  add("IPv6 ICMPv6 neighbour solicitation", start6().icmp(135).payload(std::string(16, '\0')));
  for (const auto& [name, protocol] : {std::pair{"TCP", 6}, {"UDP", 17}, {"ICMP", 1}}) {
    const auto upper = [&, number = protocol](Packet p) { return number == 6 ? p.tcp(1, 2) : number == 17 ? p.udp(1, 2) : p.icmp(8); };
    const auto number = static_cast<uint8_t>(protocol);
    add("IPv4 first fragment, "s + name, upper(start().ipv4("192.0.2.1", "192.0.2.2", number, 0x2000)).pad_to(62));
    add("IPv4 middle fragment, "s + name, start().ipv4("192.0.2.1", "192.0.2.2", number, 0x2010).payload(std::string(24, 'm')));
    add("IPv4 last fragment, "s + name, start().ipv4("192.0.2.1", "192.0.2.2", number, 0x1FFF).payload("l"));
    Packet six = start6();
    add("IPv6 first fragment, "s + name, upper(six.extension(44, 1, 1)).pad_to(94));
    Packet middle = start6();
    add("IPv6 middle fragment, "s + name, upper(middle.extension(44, 1, 0x0081)).pad_to(94));
    Packet last = start6();
    add("IPv6 last fragment, "s + name, upper(last.extension(44, 1, 0xFFF8)));
  }
  add("IPv4 that may not be fragmented", start().ipv4("192.0.2.1", "192.0.2.2", 6, 0x4000).tcp(1, 2));
  add("IPv4 later fragment with options", start().ipv4("192.0.2.1", "192.0.2.2", 17, 0x0010).options(2).payload("rest"));
  add("IPv6 atomic fragment", start6().extension(44).udp(1, 2));
  add("IPv4 later fragment of GRE", start().ipv4("192.0.2.1", "192.0.2.2", 47, 0x0010).payload(std::string(24, 'g')));
  add("IPv4 later fragment of VXLAN", start().ipv4("192.0.2.1", "192.0.2.2", 17, 0x0020).payload(std::string(24, 'v')));
}

void extensions() {
  const std::vector<std::pair<uint8_t, std::string>> kinds = {{0, "hop-by-hop"}, {43, "routing"}, {60, "destination"},
                                                              {135, "mobility"}, {139, "HIP"},    {140, "shim6"}};
  for (const auto& [kind, name] : kinds) {
    const auto units = static_cast<uint8_t>(kind == 139 ? 5 : 1);
    add("IPv6 " + name, start6().extension(kind, units).tcp(1025, 80).payload("x"));
    if (kind != 140 && kind != 139) add("IPv6 long " + name, start6().extension(kind, 3).udp(1025, 9));
  }
  add("IPv6 chain in the order of RFC 8200",
      start6().extension(0).extension(60).extension(43).extension(44, 1, 1).ah().extension(60).tcp(1, 2));
  add("IPv6 hop-by-hop before ICMPv6", start6().extension(0).icmp(143));
  add("IPv6 destination options before no next header", start6().extension(60));
  for (const int count : {7, 8, 9}) {
    Packet p = start6();
    for (int i = 0; i < count; ++i) p.extension(60, static_cast<uint8_t>(1 + i % 2));
    add("IPv6 with " + std::to_string(count) + " extension headers", p.udp(1, 2));
  }
  add("IPv6 AH as the ninth extension header", [] {
    Packet p = start6();
    for (int i = 0; i < 8; ++i) p.extension(60);
    return p.ah().tcp(1, 2);
  }());
  add("IPv6 hop-by-hop, later fragment", start6().extension(0).extension(44, 1, 0x10).udp(1, 2));
}

void gre() {
  for (unsigned bits = 0; bits < 16; ++bits) {
    const Gre with{(bits & 8) != 0, (bits & 4) != 0, bits & 2 ? std::optional<uint32_t>(0xFFFF0000 | bits) : std::nullopt,
                   bits & 1 ? std::optional<uint32_t>(9) : std::nullopt};
    const std::string name = "GRE with"s + (bits & 8 ? " C" : "") + (bits & 4 ? " R" : "") + (bits & 2 ? " K" : "") +
                             (bits & 1 ? " S" : "") + (bits == 0 ? " nothing" : "");
    for (const auto& part : inner_ip()) {
      Packet p = bits & 1 ? start6() : start4();
      p.gre(with);
      part.append(p);
      add(name + ": " + part.name, p);
    }
  }
  carry("GRE", [](Packet& p) { p.gre({.key = 77}); }, {&inner_ip(), &inner_ethernet()});
  add("GRE MPLS IPv4", in4(start4().gre().mpls(18).mpls(19)).udp(1, 2));
  add("GRE with key, MPLS IPv6", in6(start6().gre({.key = 0}).mpls(18)).tcp(1, 2));
  add("GRE Ethernet with MPLS", in4(start4().gre().ethernet().mpls(18)).udp(1, 2));
  add("GRE Ethernet with PPPoE", in4(start4().gre().ethernet().pppoe(18)).udp(1, 2));
  add("GRE of an unknown protocol", start4().gre({.key = 5, .protocol = 0x88B5}).payload("something"));
  add("GRE keepalive without payload", start4().gre());
  add("GRE IPv4 with options and later fragment", [] {
    Packet p = start4().options(3).gre();
    return p.ipv4("10.1.2.3", "10.4.5.6", 17, 0x0010).options(1).payload("rest of it");
  }());
  add("GRE of VXLAN", in4(in4(start4().gre()).udp(49152, 4789).vxlan(9).ethernet()).tcp(1, 2));
  add("GRE of GRE", in4(in4(start4().gre({.key = 1})).gre({.key = 2})).tcp(1, 2));
  add("GRE of a pseudowire", in4(start4().gre().mpls(777).control_word().ethernet()).tcp(1, 2));
  for (const auto& [framing, name] :
       {std::pair{Ppp::kFull, "address and control"}, {Ppp::kNoAddress, "no address"}, {Ppp::kCompressed, "one byte"}}) {
    add("PPTP IPv4, "s + name, in4(start4().pptp(70, true, false, framing)).udp(1, 2).payload("x"));
    if (framing != Ppp::kCompressed) add("PPTP IPv6 with acknowledgement, "s + name, in6(start4().pptp(71, true, true, framing)).tcp(1, 2));
  }
  add("PPTP acknowledgement alone", start4().pptp(72, false, true));
}

void overlays() {
  carry("ERSPAN I", [](Packet& p) { p.erspan1(); }, {&inner_ethernet()});
  carry("ERSPAN II", [](Packet& p) { p.erspan2(0x3FF, 0x123); }, {&inner_ethernet()});
  carry("ERSPAN III", [](Packet& p) { p.erspan3(5); }, {&inner_ethernet()});
  carry("ERSPAN III with subheader", [](Packet& p) { p.erspan3(6, true); }, {&inner_ethernet()});
  carry("VXLAN", [](Packet& p) { p.udp(49152, 4789).vxlan(0xABCDEF); }, {&inner_ethernet()});
  carry("GENEVE", [](Packet& p) { p.udp(49152, 6081).geneve(0xFEDCBA); }, {&inner_ip(), &inner_ethernet()});
  carry("GENEVE with options", [](Packet& p) { p.udp(49152, 6081).geneve(1, {0, 1, 31, 4}); }, {&inner_ip(), &inner_ethernet()});
  add("GENEVE of an unknown protocol", start6().udp(1, 6081).geneve(3).ethertype(0x88B5).payload("something"));
  add("GENEVE with all options that fit", in4(start4().udp(1, 6081).geneve(2, {31, 29})).tcp(1, 2));
  add("VXLAN, outer tags and labels, inner tag",
      in4(v4(start().vlan(1).vlan(2).mpls(16)).udp(1, 4789).vxlan(0).ethernet().vlan(3)).udp(3, 4));
  add("VXLAN in PPPoE", in6(v4(start().pppoe(3)).udp(1, 4789).vxlan(1).ethernet()).tcp(3, 4));
  add("VXLAN of VXLAN", in4(in4(start4().udp(1, 4789).vxlan(1).ethernet()).udp(2, 4789).vxlan(2).ethernet()).tcp(3, 4));
  add("VXLAN of SNAP IPv4", in4(start4().udp(1, 4789).vxlan(1).ethernet().snap()).tcp(3, 4));
  add("VXLAN in IPv6 behind extension headers", in4(start6().extension(0).extension(60, 2).udp(1, 4789).vxlan(5).ethernet()).tcp(3, 4));
  add("VXLAN in a first fragment",
      in4(start().ipv4("192.0.2.1", "192.0.2.2", 17, 0x2000).udp(1, 4789).vxlan(5).ethernet()).tcp(3, 4).pad_to(130));
  add("UDP from 4789 to another port is no VXLAN", start4().udp(4789, 40000).payload(std::string(40, '\x08')));
  for (unsigned bits = 0; bits < 8; ++bits) {
    for (unsigned count = 0; count <= (bits & 4 ? 3U : 0U); ++count) {
      Gtp with{(bits & 4) != 0, (bits & 2) != 0, (bits & 1) != 0};
      for (unsigned i = 0; i < count; ++i) with.headers.emplace_back(i == 0 ? 0xC0 : i == 1 ? 0x40 : 0x20, 1);
      const std::string name = "GTP-U with"s + (bits & 4 ? " E" : "") + (bits & 2 ? " S" : "") + (bits & 1 ? " PN" : "") +
                               (bits == 0 ? " nothing" : "") + ", " + std::to_string(count) + " extension headers";
      for (const auto& part : inner_ip()) {
        Packet p = count % 2 ? start6() : start4();
        p.udp(2152, 2152).gtpu(0xDEADBEE0 + bits, with);
        part.append(p);
        add(name + ": " + part.name, p);
      }
    }
  }
  add("GTP-U with a long extension header", in4(start4().udp(50000, 2152).gtpu(1, {.extension = true, .headers = {{0x85, 2}}})).udp(1, 2));
  add("GTP-U from port 2152", in6(start4().udp(2152, 50000).gtpu(2)).icmp(128));
  add("GTP-U echo request", start4().udp(2152, 2152).gtpu(0, {.sequence = true, .message = 1}));
  add("GTP-U error indication",
      start6().udp(2152, 2152).gtpu(0, {.sequence = true, .message = 26}).payload("\x10\0\0\0\1\x85\0\4\1\2\3\4"s));
  add("GTP-U end marker", start4().udp(2152, 2152).gtpu(0x01020304, {.message = 254}));
  add("GTP-U of IP in IP", in4(in6(start4().udp(2152, 2152).gtpu(9))).udp(1, 2));
}

void ip_in_ip() {
  for (const bool outer : {false, true}) {
    for (const bool inner : {false, true}) {
      const std::string name = std::string(inner ? "6" : "4") + "in" + (outer ? "6" : "4");
      const auto begin = [&] { return outer ? start6() : start4(); };
      const auto nest = [&](Packet p) { return inner ? in6(p) : in4(p); };
      add(name + " TCP", nest(begin()).tcp(1025, 80).payload("x"));
      add(name + " ICMP", nest(begin()).icmp(inner ? 128 : 8));
      add(name + " SCTP, padded", nest(begin()).sctp(1, 2).payload(kInit).trailer_to(120));
      add(name + " behind AH", nest(begin().ah()).udp(1, 2));
      add(name + " of GRE", in4(nest(begin()).gre()).udp(1, 2));
    }
  }
  add("4in6 behind destination options", in4(start6().extension(60)).udp(1, 2));
  add("6in4 with inner extension headers", in6(start4()).extension(0).extension(44, 1, 1).udp(1, 2).pad_to(110));
  add("6in4, inner later fragment", in6(start4()).extension(44, 1, 0x10).udp(1, 2));
  add("6in4 with options", in6(start4().options(2)).udp(1, 2));
  add("4in4 of 4in4", in4(in4(start4())).udp(1, 2));
  add("4in4 behind tags and labels", in4(v4(start().vlan(1).mpls(17).mpls(18))).udp(1, 2));
  for (const bool six : {false, true}) {
    for (unsigned bits = 0; bits < 4; ++bits) {
      Packet p = six ? start6() : start4();
      p.udp(bits & 1 ? 3544 : 50000, bits & 1 ? 50000 : 3544).teredo((bits & 2) != 0, (bits & 1) != 0);
      const std::string name =
          "Teredo in "s + (six ? "IPv6" : "IPv4") + (bits & 2 ? ", authentication" : "") + (bits & 1 ? ", origin" : "");
      add(name, in6(p).icmp(128).payload("eight or more"));
    }
  }
  add("Teredo with client id and value", in6(start4().udp(3544, 3544).teredo(true, true, 4, 20)).tcp(1, 2));
  add("Teredo bubble", in6(start4().udp(3544, 3544).teredo()));
}

}  // namespace

const std::vector<Case>& parse_cases() {
  if (made.empty()) {
    layer_2();
    labels();
    pppoe();
    ip();
    extensions();
    gre();
    overlays();
    ip_in_ip();
  }
  return made;
}

}  // namespace sluice::test
