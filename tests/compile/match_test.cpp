// What each criterion of a match means, packet by packet. What is expected follows from how the packet was built.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/builders/broker.h"

using namespace sluice;
using sluice::test::Packet;

namespace {

Packet tcp4(uint8_t flags = 0x02) { return Packet().ethernet().ipv4("10.1.2.3", "192.0.2.9").tcp(1234, 443, flags).payload("GET / HTTP"); }
Packet udp6() { return Packet().ethernet().ipv6("2001:db8::1", "2001:db8:1::2").udp(5353, 53).payload("query"); }
Packet tagged() { return Packet().ethernet().vlan(100, 0x88A8, 5).vlan(200, 0x8100, 3).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2); }
Packet arp() { return Packet().ethernet().arp("10.0.0.1", "10.0.0.2"); }
Packet mpls() { return Packet().ethernet().mpls(16000).mpls(17000).ipv4("10.0.0.1", "10.0.0.2").icmp(8, 0); }
Packet in_vxlan() {
  return Packet()
      .ethernet()
      .ipv4("172.16.0.1", "172.16.0.2")
      .udp(50000, 4789)
      .vxlan(7000)
      .ethernet("02:00:00:00:00:0a", "02:00:00:00:00:0b")
      .vlan(33)
      .ipv4("10.9.9.9", "10.8.8.8")
      .tcp(80, 40000);
}
Packet in_gre() {
  return Packet().ethernet().ipv4("172.16.0.1", "172.16.0.2").gre({.key = 4000000000}).ipv6("2001:db8::a", "2001:db8::b").udp(7, 8);
}
Packet in_gtp() {
  return Packet().ethernet().ipv4("172.16.0.1", "172.16.0.2").udp(2152, 2152).gtpu(99).ipv4("10.9.9.9", "10.8.8.8").udp(7, 8);
}
Packet in_erspan() {
  return Packet().ethernet().ipv4("172.16.0.1", "172.16.0.2").erspan2(77).ethernet().ipv4("10.9.9.9", "10.8.8.8").udp(7, 8);
}
Packet first_fragment() { return Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", 255, 0x2000).udp(5, 6).payload("12345678"); }
Packet later_fragment() { return Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2", 17, 0x2010).payload("12345678"); }

struct Row {
  const char* match;
  Packet packet;
  bool expected;
};

/// Whether a rule with this match passes the packet.
bool passes(const std::string& rule, const Packet& packet, const std::string& more = "") {
  test::Broker<> broker(
      R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"}, {"name": "t", "role": "TOOL"}],
    "tap_pairs": [{"name": "link", "a": "in1", "b": "in2"}], )" +
      more + R"("maps": [{"name": "m", "sources": {"tap_pairs": ["link"]},
    "rules": [{)" +
      rule + R"(, "action": "PASS"}], "destinations": [{"port": "t"}]}]})");
  broker.send("in1", packet);
  broker.run();
  return broker.got("t") == 1;
}

}  // namespace

TEST_CASE("match: every criterion is true of the packets that have such a value, and false of all others") {
  const std::vector<Row> rows = {
      {R"()", tcp4(), true},
      {R"("ethernet": {"src": ["02:00:00:00:00:01"]})", tcp4(), true},
      {R"("ethernet": {"src": ["02:00:00:00:00:02"]})", tcp4(), false},
      {R"("ethernet": {"dst": ["02:00:00:00:00:00/ff:ff:ff:00:00:00"]})", tcp4(), true},
      {R"("ethernet": {"dst": ["02:00:00:00:00:02/ff:ff:ff:ff:f0:ff"]})", tcp4(), true},
      {R"("ethernet": {"dst": ["02:00:00:00:00:03/ff:ff:ff:ff:f0:ff"]})", tcp4(), false},
      {R"("ethernet": {"ethertype": ["0x0806"]})", arp(), true},
      {R"("ethernet": {"ethertype": ["0x0806"]})", tcp4(), false},
      {R"("ethernet": {"ethertype": ["0x0800"]})", tagged(), true},
      {R"("vlan": {"id": ["100"]})", tagged(), true},
      {R"("vlan": {"id": ["200"]})", tagged(), false},
      {R"("vlan": {"id": ["200"], "level": 2})", tagged(), true},
      {R"("vlan": {"id": ["0-4095"], "level": 3})", tagged(), false},
      {R"("vlan": {"pcp": ["5-7"]})", tagged(), true},
      {R"("vlan": {"pcp": ["3"], "level": 2})", tagged(), true},
      {R"("vlan": {"pcp": ["3"]})", tagged(), false},
      {R"("mpls": {"label": ["16000"]})", mpls(), true},
      {R"("mpls": {"label": ["17000"]})", mpls(), false},
      {R"("mpls": {"label": ["0-1048575"]})", tcp4(), false},
      {R"("ip": {"version": 4})", tcp4(), true},
      {R"("ip": {"version": 4})", udp6(), false},
      {R"("ip": {"version": 6})", arp(), false},
      {R"("ip": {"src": ["10.0.0.0/8"]})", tcp4(), true},
      {R"("ip": {"dst": ["10.0.0.0/8"]})", tcp4(), false},
      {R"("ip": {"addr": ["192.0.2.0/24"]})", tcp4(), true},
      {R"("ip": {"src": ["::/0"]})", udp6(), true},
      {R"("ip": {"src": ["::/0"]})", tcp4(), false},
      {R"("ip": {"src": ["0.0.0.0/0"]})", arp(), false},
      {R"("ip": {"dst": ["2001:db8:1::2"]})", udp6(), true},
      {R"("ip": {"dst": ["2001:db8:1::3", "10.0.0.0/8"]})", udp6(), false},
      {R"("ip": {"endpoint": {"addr": ["192.0.2.9"], "port": ["443"]}})", tcp4(), true},
      {R"("ip": {"endpoint": {"addr": ["192.0.2.9"], "port": ["1234"]}})", tcp4(), false},
      {R"("ip": {"endpoint": {"addr": ["10.1.2.3"], "port": ["1234"]}})", tcp4(), true},
      {R"("ip": {"protocol": ["tcp"]})", tcp4(), true},
      {R"("ip": {"protocol": ["17"]})", udp6(), true},
      {R"("ip": {"protocol": ["udp"]})", later_fragment(), true},
      {R"("ip": {"dscp": ["0"]})", tcp4(), true},
      {R"("ip": {"dscp": ["1-63"]})", udp6(), false},
      {R"("ip": {"ecn": ["0"]})", udp6(), true},
      {R"("ip": {"ttl": ["64"]})", tcp4(), true},
      {R"("ip": {"ttl": ["0-63", "65-255"]})", udp6(), false},
      {R"("ip": {"fragment": ["FIRST"]})", first_fragment(), true},
      {R"("ip": {"fragment": ["LATER"]})", later_fragment(), true},
      {R"("ip": {"fragment": ["WHOLE"]})", later_fragment(), false},
      {R"("ip": {"fragment": ["WHOLE", "LATER"]})", tcp4(), true},
      {R"("ip": {"length": ["50"]})", tcp4(), true},  // 20 + 20 + 10
      {R"("ip": {"length": ["0-49", "51-65575"]})", tcp4(), false},
      {R"("ip": {"length": ["53"]})", udp6(), true},  // 40 + 8 + 5
      {R"("l4": {"src_port": ["1000-2000"]})", tcp4(), true},
      {R"("l4": {"dst_port": ["1000-2000"]})", tcp4(), false},
      {R"("l4": {"port": ["53", "80"]})", udp6(), true},
      {R"("l4": {"port": ["0-65535"]})", later_fragment(), false},
      {R"("l4": {"port": ["0-65535"]})", mpls(), false},
      {R"("l4": {"tcp_flags": ["syn,!ack"]})", tcp4(0x02), true},
      {R"("l4": {"tcp_flags": ["syn,!ack"]})", tcp4(0x12), false},
      {R"("l4": {"tcp_flags": ["rst", "fin"]})", tcp4(0x11), true},
      {R"("l4": {"tcp_flags": ["!syn"]})", udp6(), false},
      {R"("icmp": {"type": ["8"], "code": ["0"]})", mpls(), true},
      {R"("icmp": {"type": ["0"]})", mpls(), false},
      {R"("icmp": {"type": ["0-255"]})", tcp4(), false},
      {R"("tunnel": {"kind": ["VXLAN"]})", in_vxlan(), true},
      {R"("tunnel": {"kind": ["GRE", "GTP_U"]})", in_gtp(), true},
      {R"("tunnel": {"kind": ["GRE"]})", in_erspan(), false},
      {R"("tunnel": {"vni": ["7000-7001"]})", in_vxlan(), true},
      {R"("tunnel": {"vni": ["99"]})", in_gtp(), false},
      {R"("tunnel": {"gtp_teid": ["99"]})", in_gtp(), true},
      {R"("tunnel": {"gre_key": ["4000000000-4294967295"]})", in_gre(), true},
      {R"("tunnel": {"erspan_session": ["77"]})", in_erspan(), true},
      {R"("tunnel": {"gre_key": ["0-4294967295"]})", in_erspan(), false},
      {R"("layer": "INNER", "ip": {"src": ["10.9.9.9"]}, "l4": {"dst_port": ["40000"]}, "vlan": {"id": ["33"]})", in_vxlan(), true},
      {R"("layer": "INNER", "ethernet": {"src": ["02:00:00:00:00:0a"]})", in_vxlan(), true},
      {R"("layer": "INNER", "ip": {"src": ["172.16.0.1"]})", in_vxlan(), false},
      {R"("layer": "INNER", "ip": {"version": 6}, "tunnel": {"gre_key": ["4000000000"]})", in_gre(), true},
      {R"("layer": "INNER", "ip": {"version": 4})", tcp4(), false},
      {R"("ip": {"src": ["10.9.9.9"]})", in_vxlan(), false},
      {R"("direction": ["A"])", tcp4(), true},
      {R"("direction": ["B"])", tcp4(), false},
      {R"("present": [{"header": "MPLS"}])", mpls(), true},
      {R"("present": [{"header": "VLAN", "present": false}])", mpls(), true},
      {R"("present": [{"header": "VLAN", "present": false}])", tagged(), false},
      {R"("present": [{"header": "ARP"}, {"header": "ICMP"}])", mpls(), true},
      {R"("present": [{"header": "TUNNEL"}])", in_gre(), true},
      {R"("layer": "INNER", "present": [{"header": "IPV6"}])", in_gre(), true},
      {R"("layer": "INNER", "present": [{"header": "IPV4", "present": false}])", tcp4(), true},
      {R"("bytes": [{"anchor": "PAYLOAD", "value": "R0VU"}])", tcp4(), true},  // GET
      {R"("bytes": [{"anchor": "PAYLOAD", "offset": 1, "value": "R0VU"}])", tcp4(), false},
      {R"("bytes": [{"anchor": "L4", "offset": 2, "value": "AbsE", "mask": "///8"}])", tcp4(), false},
      {R"("bytes": [{"anchor": "L4", "offset": 2, "value": "AbsA", "mask": "//8A"}])", tcp4(), true},        // 443, whatever follows
      {R"("bytes": [{"anchor": "FRAME", "offset": 12, "value": "CAA="}])", tcp4(), true},                    // 0x0800
      {R"("bytes": [{"anchor": "L3", "value": "RQ=="}, {"anchor": "L3", "value": "YA=="}])", tcp4(), true},  // 0x45
      {R"("bytes": [{"anchor": "L4", "value": "AA=="}])", arp(), false},
      {R"("layer": "INNER", "bytes": [{"anchor": "L3", "value": "YA==", "mask": "8A=="}])", in_gre(), true},
      {R"("regex": "^GET /")", tcp4(), true},
      {R"("regex": "^ET")", tcp4(), false},
      {R"("regex": "HTTP$")", tcp4(), true},
      {R"("regex": "(?i)get.*http")", tcp4(), true},
      {R"("regex": "get")", tcp4(), false},
      {R"("regex": "\\x47[\\x00-\\xff]T")", tcp4(), true},
      {R"("regex": "^que")", udp6(), true},
      {R"("regex": "GET", "ip": {"src": ["10.0.0.0/8"]}, "bytes": [{"anchor": "L3", "value": "RQ=="}])", tcp4(), true},
      {R"("regex": "GET", "bytes": [{"anchor": "L3", "value": "YA=="}])", tcp4(), false},
      {R"("not": ["regex"], "regex": "POST")", tcp4(), true},
      {R"("not": ["regex"], "regex": "GET")", tcp4(), false},
      {R"("layer": "INNER", "regex": "GET")", tcp4(), false},
      {R"("layer": "INNER", "not": ["regex"], "regex": "POST")", tcp4(), false},
      {R"("layer": "INNER", "regex": "^inner$")", Packet(in_gtp()).payload("inner"), true},
      {R"("regex": "^inner$")", Packet(in_gtp()).payload("inner"), false},
      {R"("bidirectional": true, "ip": {"src": ["192.0.2.9"]}, "l4": {"dst_port": ["1234"]})", tcp4(), true},
      {R"("bidirectional": true, "ip": {"src": ["192.0.2.9"]}, "l4": {"src_port": ["1234"]})", tcp4(), false},
      {R"("bidirectional": true, "ethernet": {"src": ["02:00:00:00:00:02"]})", tcp4(), true},
      // Negated: the field is there, and has another value.
      {R"("not": ["ip.src"], "ip": {"src": ["10.0.0.0/8"]})", tcp4(), false},
      {R"("not": ["ip.src"], "ip": {"src": ["10.0.0.0/8"]})", udp6(), true},
      {R"("not": ["ip.src"], "ip": {"src": ["10.0.0.0/8"]})", arp(), false},
      {R"("not": ["ip.addr"], "ip": {"addr": ["192.0.2.9"]})", tcp4(), false},
      {R"("not": ["ip.addr"], "ip": {"addr": ["192.0.2.8"]})", tcp4(), true},
      {R"("not": ["l4.port"], "l4": {"port": ["443"]})", tcp4(), false},
      {R"("not": ["l4.port"], "l4": {"port": ["444"]})", tcp4(), true},
      {R"("not": ["l4.port"], "l4": {"port": ["444"]})", later_fragment(), false},
      {R"("not": ["ip.endpoint"], "ip": {"endpoint": {"addr": ["192.0.2.9"], "port": ["443"]}})", tcp4(), false},
      {R"("not": ["ip.endpoint"], "ip": {"endpoint": {"addr": ["192.0.2.9"], "port": ["444"]}})", tcp4(), true},
      {R"("not": ["ip.endpoint"], "ip": {"endpoint": {"addr": ["192.0.2.9"], "port": ["444"]}})", later_fragment(), false},
      {R"("not": ["vlan.id"], "vlan": {"id": ["200"]})", tagged(), true},
      {R"("not": ["vlan.id"], "vlan": {"id": ["200"]})", tcp4(), false},
      {R"("not": ["l4.tcp_flags"], "l4": {"tcp_flags": ["ack"]})", tcp4(0x02), true},
      {R"("not": ["l4.tcp_flags"], "l4": {"tcp_flags": ["ack"]})", udp6(), false},
      {R"("not": ["direction"], "direction": ["B"])", tcp4(), true},
      {R"("not": ["tunnel.kind"], "tunnel": {"kind": ["VXLAN"]})", in_gre(), true},
      {R"("not": ["tunnel.kind"], "tunnel": {"kind": ["VXLAN"]})", tcp4(), false},
      {R"("not": ["bytes"], "bytes": [{"anchor": "PAYLOAD", "value": "UE9T"}])", tcp4(), true},
      {R"("not": ["bytes"], "bytes": [{"anchor": "PAYLOAD", "value": "R0VU"}])", tcp4(), false},
      {R"("not": ["bytes"], "bytes": [{"anchor": "PAYLOAD", "offset": 9000, "value": "R0VU"}])", tcp4(), false},
      {R"("not": ["present"], "present": [{"header": "VLAN"}])", tcp4(), true},
  };
  for (const auto& row : rows) {
    const std::string match = row.match;
    CAPTURE(match);
    CHECK(passes("\"match\": {" + match + "}", row.packet) == row.expected);
  }
}

TEST_CASE("match: named filters and address sets decide as if they stood in the rule") {
  const std::string more = R"("address_sets": [{"name": "servers", "entries": ["192.0.2.0/24", "2001:db8:1::/48"]}],
    "filters": [{"name": "web", "matches": [{"l4": {"port": ["443"]}}, {"l4": {"port": ["80"]}}]},
      {"name": "not-web", "negate": true, "matches": [{"l4": {"port": ["443"]}}, {"bytes": [{"anchor": "PAYLOAD", "value": "R0VU"}]}]},
      {"name": "never", "matches": []}, {"name": "always", "negate": true, "matches": []}], )";
  CHECK(passes(R"("filter": "web")", tcp4(), more));
  CHECK_FALSE(passes(R"("filter": "web")", udp6(), more));
  CHECK_FALSE(passes(R"("filter": "not-web")", tcp4(), more));
  CHECK(passes(R"("filter": "not-web")", udp6(), more));
  CHECK(passes(R"("filter": "not-web")", arp(), more));  // the answer is turned round, not each criterion
  CHECK_FALSE(passes(R"("filter": "never")", tcp4(), more));
  CHECK(passes(R"("filter": "always")", tcp4(), more));
  CHECK(passes(R"("match": {"ip": {"dst_set": "servers"}})", tcp4(), more));
  CHECK(passes(R"("match": {"ip": {"dst_set": "servers"}})", udp6(), more));
  CHECK_FALSE(passes(R"("match": {"ip": {"src_set": "servers"}})", tcp4(), more));
  CHECK(passes(R"("match": {"ip": {"addr_set": "servers"}})", tcp4(), more));
  CHECK(passes(R"("match": {"not": ["ip.src_set"], "ip": {"src_set": "servers"}})", tcp4(), more));
  CHECK_FALSE(passes(R"("match": {"not": ["ip.addr_set"], "ip": {"addr_set": "servers"}})", tcp4(), more));
  CHECK_FALSE(passes(R"("match": {"not": ["ip.src_set"], "ip": {"src_set": "servers"}})", arp(), more));
}

TEST_CASE("match: what cannot be meant is refused by the field's path") {
  struct Bad {
    const char* match;
    const char* path;
  };
  for (const auto& bad :
       std::vector<Bad>{{R"({"not": ["ip.src"]})", "maps[0].rules[0].match.not"},
                        {R"({"not": ["ip.nothing"], "ip": {"src": ["10.0.0.0/8"]}})", "maps[0].rules[0].match.not[0]"},
                        {R"({"ip": {"endpoint": {}}})", "maps[0].rules[0].match.ip.endpoint"},
                        {R"({"direction": ["A"]})", "maps[0].rules[0].match.direction"},
                        {R"({"ethernet": {"dst": ["00:00:00:00:00:02/00:00:00:00:00:ff"]}})", "maps[0].rules[0].match.ethernet.dst[0]"},
                        {R"({"bytes": [{"anchor": "L3", "value": "RQ==", "mask": "//8="}]})", "maps[0].rules[0].match.bytes[0].mask"},
                        {R"({"regex": "a\u0000b"})", "maps[0].rules[0].match.regex"},
                        {R"({"regex": "a("})", "maps[0].rules[0].match.regex"},
                        {R"({"regex": "a*"})", "maps[0].rules[0].match.regex"},  // matches nothing, everywhere
                        {R"({"regex": "(?=a)b"})", "maps[0].rules[0].match.regex"}}) {
    CAPTURE(bad.match);
    const auto config = test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK"}], "maps": [{"name": "m",
      "sources": {"ports": ["in1"]}, "rules": [{"match": )" +
                                          std::string(bad.match) + R"(, "action": "PASS"}]}]})");
    compile::Compiler compiler;
    const auto compiled = compiler.compile(config, 1);
    REQUIRE(!compiled);
    CHECK(compiled.error().field_path == bad.path);
  }
}

TEST_CASE("match: a refused expression is told with the library's reason, and 256 different ones are the most") {
  const auto compiled = [](unsigned first, unsigned last) {
    std::string rules;
    for (unsigned r = first; r < last; ++r)
      rules += (rules.empty() ? "" : ",") + (R"({"action": "PASS", "match": {"regex": "n)" + std::to_string(r % 300) + R"("}})");
    compile::Compiler compiler;
    return compiler.compile(test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK"}],
      "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "rules": [)" +
                                              rules + (rules.empty() ? R"({"action": "PASS", "match": {"regex": "a("}})" : "") + "]}]}"),
                            1);
  };
  const auto refused = compiled(0, 0);
  REQUIRE(!refused);
  CHECK(refused.error().message.find("Missing close parenthesis") != std::string::npos);
  CHECK(compiled(0, 256));
  CHECK(compiled(300 - 10, 300 + 200));  // 210 different ones, and some again
  const auto too_many = compiled(0, 257);
  REQUIRE(!too_many);
  CHECK(too_many.error().code == ErrorCode::kExhausted);
  CHECK(too_many.error().field_path == "maps[0].rules[256].match.regex");
}

TEST_CASE("match: few bytes of a configuration that ask for very many ranges or alternatives are refused at the rule that is too much") {
  const auto refusal = [](const std::string& more, const std::string& rule, unsigned rules, const std::string& default_action = "") {
    std::string list;
    for (unsigned r = 0; r < rules; ++r) list += (r ? "," : "") + rule;
    const auto config =
        test::make_config(R"({"ports": [{"name": "in1", "role": "NETWORK"}], )" + more +
                          R"("maps": [{"name": "m", "sources": {"ports": ["in1"]}, )" + default_action + R"("rules": [)" + list + "]}]}");
    compile::Compiler compiler;
    const auto compiled = compiler.compile(config, 1);
    return compiled ? std::string("taken") : compiled.error().field_path + ": " + compiled.error().message;
  };
  std::string matches, macs;
  for (int i = 0; i < 1024; ++i) matches += (i ? "," : "") + std::string(R"({"l4": {"port": [")") + std::to_string(i) + "\"]}}";
  for (int i = 0; i < 256; ++i) {
    char mac[64];
    std::snprintf(mac, sizeof mac, R"(%s"02:%02x:00:00:00:01/ff:ff:f0:0f:ff:ff")", i ? "," : "", i);
    macs += mac;
  }
  const std::string filters = R"("filters": [{"name": "f", "matches": [)" + matches + "]}], ";
  CHECK(refusal(filters, R"({"filter": "f", "action": "PASS"})", 64) == "taken");
  CHECK(refusal(filters, R"({"filter": "f", "action": "PASS"})", 64, R"("default_action": "PASS", )")
            .starts_with("maps: the rules and defaults have"));
  CHECK(refusal(filters, R"({"filter": "f", "action": "PASS"})", 65)
            .starts_with("maps[0].rules[64]: with this one the rules have more than 131072"));
  const auto scattered = refusal("", R"({"match": {"ethernet": {"src": [)" + macs + R"(]}}, "action": "PASS"})", 40);
  CHECK_MESSAGE(scattered.find("ranges of values together") != std::string::npos, scattered);
}
