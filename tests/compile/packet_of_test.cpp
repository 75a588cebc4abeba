#include "compile/packet_of.h"

#include <doctest/doctest.h>

#include <map>

#include "config/proto_json.h"
#include "packet/parse.h"

using namespace sluice;

namespace {

Result<std::vector<std::byte>> made(const std::string& json) {
  v1::PacketFields fields;
  REQUIRE(config::from_json(json, fields));
  return compile::packet_of(fields, "fields");
}

}  // namespace

TEST_CASE("explain: a packet made of fields has them, as the parser sees it") {
  const auto packet =
      made(R"({"vlan": [100, 200], "src": "10.0.0.1", "dst": "10.0.0.2", "protocol": "udp", "src_port": 1, "dst_port": 53})");
  REQUIRE(packet);
  CHECK(packet->size() == 60);
  const Parsed p = parse(*packet);
  CHECK(p.outer.vlan_count == 2);
  CHECK((vlan_tci(packet->data(), p.outer, 1) & 0xFFF) == 200);
  CHECK(p.outer.l4 == L4::kUdp);
  CHECK(p.outer.dst_port == 53);
  CHECK((p.outer.flags & (parse_flag::kTruncated | parse_flag::kMalformed)) == 0);
  CHECK(made(R"({"src": "::1", "dst": "::2", "length": 9238})")->size() == 9238);
  CHECK(parse(*made(R"({"ethertype": "0x0806"})")).outer.ethertype == 0x0806);
}

TEST_CASE("explain: packets made of fields are byte for byte those whose lengths and checksums tshark found right") {
  for (
      const auto& fields : std::map<std::string, std::string>{
          {R"({"vlan":[7],"src":"10.0.0.1","dst":"10.0.0.2","src_port":1234,"dst_port":443,"tcp_flags":"syn,ack","dscp":46,"ttl":3,"length":80})",
           "02000000000202000000000181000007080045b8003e000000000306a3000a0000010a00000204d201bb00000000000000005012ffff952d000000000000000"
           "000000000000000000000000000000000"},
          {R"({"src":"2001:db8::1","dst":"2001:db8::2","protocol":"udp","src_port":5353,"dst_port":53,"length":71})",
           "02000000000202000000000186dd600000000011114020010db800000000000000000000000120010db800000000000000000000000214e9003500118f39000"
           "000000000000000"},
          {R"({"src":"2001:db8::1","dst":"2001:db8::2","protocol":"icmp6","icmp_type":128})",
           "02000000000202000000000186dd6000000000083a4020010db800000000000000000000000120010db80000000000000000000000028000244800000000"},
          {R"({"src":"10.20.0.1","dst":"10.20.0.2","protocol":"icmp","icmp_type":8,"length":42})",
           "02000000000202000000000108004500001c00000000400166b70a1400010a1400020800f7ff00000000"},
          {R"({"src":"10.20.0.1","dst":"10.20.0.2","protocol":"tcp"})",
           "02000000000202000000000108004500002800000000400666a60a1400010a1400020000000000000000000000005002ffff9bb80000000000000000"},
      }) {
    const auto packet = made(fields.first);
    REQUIRE(packet);
    std::string hex;
    for (const std::byte b : *packet)
      for (const unsigned half : {static_cast<unsigned>(b) >> 4, static_cast<unsigned>(b) & 15U}) hex += "0123456789abcdef"[half];
    CHECK_MESSAGE(hex == fields.second, fields.first);
  }
}

TEST_CASE("explain: fields that make no packet are refused by their name") {
  for (const auto& bad : std::map<std::string, std::string>{
           {R"({"src": "10.0.0.1"})", "fields.dst"},
           {R"({"dst": "10.0.0.1"})", "fields.src"},
           {R"({"src": "10.0.0.1", "dst": "::1"})", "fields.dst"},
           {R"({"src": "10.0.0.x", "dst": "::1"})", "fields.src"},
           {R"({"dst_port": 80})", "fields.src"},
           {R"({})", "fields.ethertype"},
           {R"({"ethertype": "0x"})", "fields.ethertype"},
           {R"({"ethertype": "0x0806", "src": "::1", "dst": "::2"})", "fields.ethertype"},
           {R"({"src": "::1", "dst": "::2", "protocol": "icmp6", "dst_port": 80})", "fields.protocol"},
           {R"({"src": "::1", "dst": "::2", "protocol": "teecp"})", "fields.protocol"},
           {R"({"src": "::1", "dst": "::2", "tcp_flags": "syn,!ack"})", "fields.tcp_flags"},
           {R"({"src": "::1", "dst": "::2", "dst_port": 65536})", "fields.dst_port"},
           {R"({"src": "::1", "dst": "::2", "length": 53})", "fields.length"},
           {R"({"src": "::1", "dst": "::2", "length": 9239})", "fields.length"},
           {R"({"src": "::1", "dst": "::2", "src_mac": "2:0"})", "fields.src_mac"},
           {R"({"src": "::1", "dst": "::2", "vlan": [1, 4096]})", "fields.vlan"},
       }) {
    const auto packet = made(bad.first);
    REQUIRE_MESSAGE(!packet, bad.first);
    CHECK_MESSAGE(packet.error().field_path == bad.second, bad.first);
  }
}
