// Which bytes make two packets the same. The oracle is a list of fields with their places in the packet as it was built, and for each what the
// model promises of it; the code under test sees bytes alone.
#include "engine/dedup/fingerprint.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/builders/packet_builder.h"

using namespace sluice;
using sluice::test::Packet;
namespace ignore = dedup_ignore;

namespace {

using Bytes = std::vector<std::byte>;

/// The fingerprint of a packet that lies in frames of at most so many bytes.
uint64_t fingerprint(const Fingerprints& by, const Bytes& packet, const Comparison& comparison, std::size_t frame = SIZE_MAX) {
  auto burst = std::make_unique<Burst>();
  std::vector<Frame> chain;
  for (std::size_t at = 0; at < packet.size() || at == 0; at += frame) {
    chain.push_back({packet.data() + at, static_cast<uint32_t>(std::min(frame, packet.size() - at)), 0});
    if (frame == SIZE_MAX) break;
  }
  burst->add(chain, 0);
  parse_burst(*burst);
  return by.of(*burst, 0, comparison);
}

/// Bytes of a built packet, and whether a comparison looks at them.
struct Field {
  std::string name;
  std::size_t at, size;
  std::function<bool(const Comparison&)> compared;
  uint8_t bits = 0xFF;  ///< of its first byte, that may be changed without making another kind of packet of it
};

bool always(const Comparison&) { return true; }
bool never(const Comparison&) { return false; }
bool from_frame(const Comparison& c) { return c.start == DedupStart::kFrame && (c.ignore & ignore::kMac) == 0; }
auto unless(uint8_t ignored) {
  return [ignored](const Comparison& c) { return (c.ignore & ignored) == 0; };
}

/// Of an IPv4 header with TCP and a payload behind it, from `at` on. `looked_at`: whether a comparison looks at it at all.
void add_ipv4_tcp(std::vector<Field>& fields, std::size_t at, const std::string& which,
                  const std::function<bool(const Comparison&)>& looked_at = always,
                  const std::function<bool(const Comparison&)>& its_own = always) {
  const auto add = [&](const char* name, std::size_t offset, std::size_t size, uint8_t ignored) {
    fields.push_back({which + name, at + offset, size, [=](const Comparison& c) {
                        return looked_at(c) && (!its_own(c) || (c.ignore & ignored) == 0);
                      }});
  };
  add("TOS", 1, 1, ignore::kDscp);
  add("identification", 4, 2, 0);
  add("TTL", 8, 1, ignore::kTtl);
  add("IP checksum", 10, 2, ignore::kTtl | ignore::kDscp | ignore::kIpChecksum);
  add("addresses", 12, 8, 0);
  add("ports", 20, 4, 0);
  add("TCP sequence", 24, 4, ignore::kTcpSequence);
  add("acknowledgement", 28, 4, 0);
  add("TCP checksum", 36, 2, ignore::kTcpSequence);
  add("payload", 40, 10, 0);
}

struct Built {
  std::string name;
  Bytes bytes;
  std::vector<Field> fields;
};

std::vector<Built> built() {
  std::vector<Built> out;
  const std::string text = "0123456789";
  {
    Built b{"IPv4", Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).payload(text).trailer_to(80).bytes(), {}};
    b.fields.push_back({"MAC addresses", 0, 12, from_frame});
    add_ipv4_tcp(b.fields, 14, "");
    b.fields.push_back({"padding", 64, 16, never});
    out.push_back(std::move(b));
  }
  {
    Built b{"IPv4 with a tag", Packet().ethernet().vlan(100).ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).payload(text).bytes(), {}};
    b.fields.push_back({"MAC addresses", 0, 12, from_frame});
    b.fields.push_back({"tag", 14, 2, unless(ignore::kVlan)});
    add_ipv4_tcp(b.fields, 18, "");
    out.push_back(std::move(b));
  }
  {
    Built b{"IPv4 with two labels",
            Packet().ethernet().mpls(16000).mpls(17000).ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).payload(text).bytes(), {}};
    b.fields.push_back({"MAC addresses", 0, 12, from_frame});
    b.fields.push_back({"first label", 14, 2, unless(ignore::kMpls)});
    b.fields.push_back({"second label", 18, 2, unless(ignore::kMpls)});
    b.fields.push_back({"second label's TTL", 21, 1, unless(ignore::kMpls)});
    add_ipv4_tcp(b.fields, 22, "");
    out.push_back(std::move(b));
  }
  {
    Built b{"IPv6", Packet().ethernet().ipv6("2001:db8::1", "2001:db8::2").tcp(1025, 80).payload(text).bytes(), {}};
    b.fields.push_back({"traffic class, high half", 14, 1, unless(ignore::kDscp), 0x0F});
    b.fields.push_back({"traffic class, low half", 15, 1, unless(ignore::kDscp), 0xF0});
    b.fields.push_back({"flow label", 15, 1, always, 0x0F});
    b.fields.push_back({"hop limit", 21, 1, unless(ignore::kTtl)});
    b.fields.push_back({"addresses", 22, 32, always});
    b.fields.push_back({"TCP sequence", 58, 4, unless(ignore::kTcpSequence)});
    b.fields.push_back({"payload", 74, 10, always});
    out.push_back(std::move(b));
  }
  {
    Built b{"ARP", Packet().ethernet().arp("10.0.0.1", "10.0.0.2").trailer_to(60).bytes(), {}};
    b.fields.push_back({"MAC addresses", 0, 12, from_frame});
    b.fields.push_back({"addresses", 22, 20, always});
    b.fields.push_back({"padding", 42, 18, never});
    out.push_back(std::move(b));
  }
  {
    Built b{"a frame of no known layer 3", Packet().ethernet().ethertype(0x88B5).payload(text + text).bytes(), {}};
    b.fields.push_back({"MAC addresses", 0, 12, unless(ignore::kMac)});
    b.fields.push_back({"payload", 14, 20, always});
    out.push_back(std::move(b));
  }
  {
    Built b{"VXLAN", Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2").udp(50000, 4789).vxlan(7).ethernet()
                         .ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).payload(text).bytes(), {}};
    const auto carried_alone = [](const Comparison& c) { return c.start == DedupStart::kInnerL3 || (c.ignore & ignore::kTunnel) != 0; };
    const auto outer = [=](const Comparison& c) { return !carried_alone(c); };
    b.fields.push_back({"outer MAC addresses", 0, 12, from_frame});
    b.fields.push_back({"outer TOS", 15, 1, [=](const Comparison& c) { return outer(c) && (c.ignore & ignore::kDscp) == 0; }});
    b.fields.push_back({"outer TTL", 22, 1, [=](const Comparison& c) { return outer(c) && (c.ignore & ignore::kTtl) == 0; }});
    b.fields.push_back({"outer addresses", 26, 8, outer});
    b.fields.push_back({"VNI", 46, 3, outer});
    b.fields.push_back({"inner MAC addresses", 50, 12, [](const Comparison& c) { return c.start != DedupStart::kInnerL3; }});
    add_ipv4_tcp(b.fields, 64, "inner ", always, carried_alone);
    out.push_back(std::move(b));
  }
  return out;
}

}  // namespace

TEST_CASE("fingerprint: under every domain each field of a packet tells two apart exactly if it is compared") {
  const Fingerprints by;
  std::mt19937 random(std::random_device{}());
  for (const Built& packet : built())
    for (unsigned combination = 0; combination < 3 * 256; ++combination) {
      const Comparison comparison(static_cast<DedupStart>(combination / 256), static_cast<uint8_t>(combination % 256));
      const uint64_t as_built = fingerprint(by, packet.bytes, comparison);
      for (const Field& field : packet.fields) {
        Bytes changed = packet.bytes;
        const std::size_t at = field.at + (field.size > 1 && field.bits == 0xFF ? random() % field.size : 0);
        const auto choice = static_cast<uint8_t>(1U << random() % 8);
        changed[at] ^= std::byte{(choice & field.bits) != 0 ? choice : field.bits};
        const bool differs = fingerprint(by, changed, comparison) != as_built;
        CHECK_MESSAGE(differs == field.compared(comparison), packet.name, ": ", field.name, " at start ", int(comparison.start), ", ignoring ",
                      int(comparison.ignore), differs ? " tells two packets apart" : " does not tell two packets apart");
      }
    }
}

TEST_CASE("fingerprint: a packet is the same with and without what is ignored, and however many frames it lies in") {
  const Fingerprints by;
  const auto plain = [](Packet p) { return p.ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).payload(std::string(100, 'x')).bytes(); };
  const Bytes bare = plain(Packet().ethernet());
  const auto same = [&](const Bytes& other, const Comparison& comparison) {
    return fingerprint(by, bare, comparison) == fingerprint(by, other, comparison);
  };
  for (const auto start : {DedupStart::kFrame, DedupStart::kL3, DedupStart::kInnerL3}) {
    CAPTURE(int(start));
    const Comparison nothing(start, 0), vlan(start, ignore::kVlan), mpls(start, ignore::kMpls);
    CHECK(same(plain(Packet().ethernet().vlan(7)), vlan));
    CHECK_FALSE(same(plain(Packet().ethernet().vlan(7)), nothing));
    CHECK(same(plain(Packet().ethernet().vlan(7).vlan(8)), vlan));
    CHECK(same(plain(Packet().ethernet().mpls(16000).mpls(17000)), mpls));
    CHECK_FALSE(same(plain(Packet().ethernet().mpls(16000)), vlan));
    CHECK(same(plain(Packet().ethernet("02:00:00:00:00:77")), nothing) == (start != DedupStart::kFrame));
    CHECK(same(Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).payload(std::string(100, 'x')).trailer_to(300, 9).bytes(), nothing));
  }
  const Bytes carried = plain(Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2").udp(50000, 2152).gtpu(7));
  CHECK(same(carried, Comparison(DedupStart::kInnerL3, 0)));
  for (const std::size_t length : {33U, 60U, 1518U, 4096U + 14, 4096U + 15, 9216U, 20000U}) {
    CAPTURE(length);
    const Bytes packet = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").udp(1025, 80).payload(std::string(length - 33, 'y')).bytes();
    for (const std::size_t frame : {100U, 1024U, 2048U})
      if (packet.size() / frame < kMaxChain) CHECK(fingerprint(by, packet, Comparison(), frame) == fingerprint(by, packet, Comparison()));
    Bytes other = packet;
    other.back() ^= std::byte{1};
    if (length > 42) CHECK(fingerprint(by, packet, Comparison()) != fingerprint(by, other, Comparison()));
    other.back() ^= std::byte{1};
    if (length > 5000) {
      other[4096 + 20] ^= std::byte{1};
      CHECK(fingerprint(by, packet, Comparison()) != fingerprint(by, other, Comparison()));
    }
  }
}

TEST_CASE("fingerprint: packets of different kinds that have the same bytes are told apart") {
  const Fingerprints by;
  const auto with_body = [](uint16_t ethertype, const Bytes& body) {
    Bytes out = Packet().ethernet().bytes();
    out.resize(12);
    out.push_back(static_cast<std::byte>(ethertype >> 8));
    out.push_back(static_cast<std::byte>(ethertype));
    out.insert(out.end(), body.begin(), body.end());
    return out;
  };
  // A datagram that an ARP packet carries as if it were ARP's: its "hardware length" is one of the identification's bytes.
  auto ip = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").identification(0xFFFF).tcp(1025, 80).payload("0123456789").bytes();
  Bytes body(ip.begin() + 14, ip.end());
  for (const std::size_t ignored : {8U, 10U, 11U}) body[ignored] = std::byte{0};
  for (const unsigned ignored : {0U, 5U, 0x7FU}) {
    const Comparison from_l3(DedupStart::kL3, static_cast<uint8_t>(ignored)), from_frame(DedupStart::kFrame, static_cast<uint8_t>(ignored));
    CHECK(fingerprint(by, with_body(0x0806, body), from_l3) != fingerprint(by, with_body(0x0800, body), from_l3));
    CHECK(fingerprint(by, with_body(0x88B5, body), from_l3) != fingerprint(by, with_body(0x0800, body), from_l3));
    // Without its type an IP packet begins with 0x45: no other type may look like that.
    CHECK(fingerprint(by, with_body(0x4500, Bytes(body.begin() + 2, body.end())), from_frame) != fingerprint(by, with_body(0x0800, body), from_frame));
  }
  // What a tunnel carries: a frame that begins as a datagram does, and that datagram.
  const Comparison carried(DedupStart::kL3, ignore::kTunnel);
  Bytes in_ip = Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2").ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).bytes();
  Bytes in_vxlan = Packet().ethernet().ipv4("192.0.2.1", "192.0.2.2").udp(50000, 4789).vxlan(7).ethernet().payload(std::string(26, 'x')).bytes();
  std::copy(in_ip.begin() + 34, in_ip.end(), in_vxlan.begin() + 50);
  CHECK(fingerprint(by, in_ip, carried) != fingerprint(by, in_vxlan, carried));
}

TEST_CASE("fingerprint: packets of any bytes and any length are read no further than they are long") {
  const Fingerprints by;
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto all = built();
  for (int n = 0; n < 20000; ++n) {
    Bytes packet = all[random() % all.size()].bytes;
    packet.resize(random() % (packet.size() + 1));
    for (unsigned k = random() % 4; k > 0 && !packet.empty(); --k) packet[random() % packet.size()] = static_cast<std::byte>(random());
    const auto heap = std::make_unique<Bytes>(packet);  // of its own size: AddressSanitizer sees one byte more
    heap->shrink_to_fit();
    const Comparison comparison(static_cast<DedupStart>(random() % 3), static_cast<uint8_t>(random()));
    const uint64_t once = fingerprint(by, *heap, comparison);
    CHECK(once != 0);
    CHECK(once == fingerprint(by, *heap, comparison));
  }
}

TEST_CASE("fingerprint: two brokers give one packet two fingerprints: nobody outside knows the key") {
  const Bytes packet = Packet().ethernet().ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).bytes();
  CHECK(fingerprint(Fingerprints(), packet, Comparison()) != fingerprint(Fingerprints(), packet, Comparison()));
}
