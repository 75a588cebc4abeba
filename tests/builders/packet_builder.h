// Builds packets for tests, from outside in: Packet().ethernet().vlan(100).ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).payload("hello").
// A tunnel header makes what follows the inner packet: ....udp(49152, 4789).vxlan(5).ethernet().ipv4(...); ipv4() or ipv6() behind an IP
// header nests as well. Lengths and checksums are right unless a test breaks them, and expected() says what was built. Knows nothing of
// firmware/packet.
#pragma once

#include "tests/builders/packet_core.h"

namespace sluice::test {

/// Fields of a GRE header (RFC 2890; routing: RFC 1701). Without a protocol it is that of the header that follows.
struct Gre {
  bool checksum = false;
  bool routing = false;
  std::optional<uint32_t> key = {};
  std::optional<uint32_t> sequence = {};
  std::optional<uint16_t> protocol = {};
};
/// How PPP is framed in PPTP: address and control bytes first, left out, or left out and the protocol in one byte (RFC 1661 section 6.5).
enum class Ppp : uint8_t { kFull, kNoAddress, kCompressed };
/// Of a GTP-U header (3GPP TS 29.281 section 5.1). An extension header is its type and its length in four bytes.
struct Gtp {
  bool extension = false, sequence = false, npdu = false;
  std::vector<std::pair<uint8_t, uint8_t>> headers = {};
  uint8_t message = 255;
};

class Packet : public PacketCore {
 public:
  Packet& ethernet(const std::string& src = "02:00:00:00:00:01", const std::string& dst = "02:00:00:00:00:02") {
    follows(0x6558, 0, 0);
    enter();
    now().ethernet = true;
    now().l2_offset = bytes_.size();
    layer(What::kEthernet, bytes_.size());
    mac(dst);
    mac(src);
    return type_field();
  }
  Packet& vlan(uint16_t id, uint16_t tpid = 0x8100, uint8_t pcp = 0) {
    follows(tpid, 0, 0);
    if (now().tci.size() == 8) too_deep();
    now().tci.push_back(static_cast<uint16_t>(pcp << 13 | id));
    put16(static_cast<unsigned>(pcp << 13 | id));
    return type_field();
  }
  Packet& ethertype(uint16_t value) {
    follows(value, 0, 0);
    return *this;
  }
  /// 802.3: the type field becomes a length, an LLC header follows.
  Packet& llc(uint8_t dsap, uint8_t ssap, uint8_t control = 3) {
    layer(What::kLength, link_at_);
    put8(dsap), put8(ssap), put8(control);
    link(Link::kNone, 0);
    return *this;
  }
  /// LLC and SNAP; with the OUI 0 an ethertype stands behind it.
  Packet& snap(uint32_t oui = 0, uint16_t protocol = 0) {
    llc(0xAA, 0xAA);
    put8(oui >> 16), put16(oui & 0xFFFF), put16(protocol);
    if (oui != 0) return *this;
    layers_.back().level = 2;  // the length is not the ethertype
    now().ethertype = protocol;
    link(Link::kEthertype, bytes_.size() - 2);
    header_ends();
    return *this;
  }
  /// One label; the last of a row is the bottom of the stack.
  Packet& mpls(uint32_t label, uint8_t tc = 0, uint8_t ttl = 64, uint16_t ethertype = 0x8847) {
    if (bytes_.size() >= 4 && mpls_end_ == bytes_.size()) {
      bytes_[mpls_end_ - 2] &= std::byte{0xFE};
      if (!now().mpls.empty()) now().mpls.back() &= ~0x100U;
    } else {
      follows(ethertype, 0, 0);
      enter();
      now().mpls_offset = bytes_.size();
    }
    if (now().mpls.size() == 16) too_deep();
    const uint32_t entry = label << 12 | static_cast<uint32_t>(tc) << 9 | 0x100 | ttl;
    now().mpls.push_back(entry);
    put32(entry);
    mpls_end_ = bytes_.size();
    link(Link::kNone, 0);
    header_ends();
    return *this;
  }
  /// The control word of a pseudowire (RFC 4448 section 4.6): Ethernet follows.
  Packet& control_word(uint16_t sequence = 0) {
    tunnel("pseudowire");
    put16(0), put16(sequence);
    return *this;
  }
  /// A PPPoE session packet; without a protocol it is that of the IP header that follows.
  Packet& pppoe(uint16_t session, uint16_t protocol = 0) {
    follows(0x8864, 0, 0);
    now().pppoe = session;
    layer(What::kPppoe, bytes_.size());
    put16(0x1100), put16(session), put16(0), put16(protocol);
    link(Link::kPpp, bytes_.size() - 2);
    header_ends();
    return *this;
  }
  /// Ethernet and IPv4 addresses.
  Packet& arp(const std::string& sender, const std::string& target, uint16_t operation = 1) {
    follows(0x0806, 0, 0);
    enter();
    now().l3 = "arp";
    now().l3_offset = bytes_.size();
    put16(1), put16(0x0800), put16(0x0604), put16(operation);
    mac("02:00:00:00:00:01");
    address(AF_INET, sender);
    zeros(6);
    address(AF_INET, target);
    header_ends();
    return *this;
  }
  Packet& ipv4(const std::string& src, const std::string& dst, uint8_t protocol = 255, uint16_t fragment = 0) {
    ip_begins(0x0800, 4, 0x0021, false);
    put16(0x4500), put16(0), put16(0x1234), put16(fragment), put8(64), put8(protocol), put16(0);
    ip_addresses(AF_INET, src, dst, ip_ + 9, protocol);
    fragmented(fragment & 0x1FFF, (fragment & 0x2000) != 0);
    return *this;
  }
  /// Of the last ipv4().
  Packet& identification(uint16_t id) {
    set16(bytes_, ip_ + 4, id);
    return *this;
  }
  /// Options of so many words of four bytes (no-operations and an end); right behind ipv4().
  Packet& options(unsigned words) {
    for (unsigned i = 0; i + 1 < words * 4; ++i) put8(1);
    put8(0);
    bytes_[ip_] = static_cast<std::byte>(0x45 + words);
    set_of(link_level_).payload_offset = bytes_.size();
    return *this;
  }
  Packet& ipv6(const std::string& src, const std::string& dst, uint8_t next = 59) {
    ip_begins(0x86DD, 41, 0x0057, true);
    put16(0x6000), put16(0), put16(0), put8(next), put8(64);
    ip_addresses(AF_INET6, src, dst, ip_ + 6, next);
    return *this;
  }
  /// An IPv6 extension header of `units` times 8 bytes, or the fragment header (44) with this field.
  Packet& extension(uint8_t kind, uint8_t units = 1, uint16_t fragment = 0) {
    next_header(kind);
    put8(59), put8(kind == 44 ? 0 : units - 1U), put16(fragment);
    if (kind == 0 || kind == 60) {  // one PadN option that fills the header
      bytes_[bytes_.size() - 2] = std::byte{1};
      bytes_[bytes_.size() - 1] = static_cast<std::byte>(units * 8 - 4);
    }
    if (kind == 139 && units > 1)
      bytes_[bytes_.size() - 2] = std::byte{1}, bytes_[bytes_.size() - 1] = std::byte{0x21};  // HIP: I1, version 2
    if (kind == 140) bytes_[bytes_.size() - 2] = std::byte{0x80};                             // shim6: carries payload
    zeros(units * 8U - 4);
    header_ends();
    if (kind == 44) fragmented(fragment >> 3, (fragment & 1) != 0);
    return *this;
  }
  /// Authentication header (RFC 4302) with an integrity value of so many words; IPv6 wants 8-byte multiples: an odd number.
  Packet& ah(unsigned words = 3, uint32_t spi = 0x100) {
    next_header(51);
    put8(59), put8(words + 1), put16(0), put32(spi), put32(1);
    zeros(words * 4U);
    header_ends();
    return *this;
  }
  Packet& tcp(uint16_t src, uint16_t dst, uint8_t flags = 0x18, uint32_t sequence = 1, unsigned option_words = 0) {
    ports(6, "tcp", What::kTcp, src, dst);
    put32(sequence), put32(0), put16(0x5000 + (option_words << 12) + flags), put16(0xFFFF), put32(0);
    for (unsigned i = 0; i < option_words * 4; ++i) put8(1);
    header_ends();
    return *this;
  }
  Packet& udp(uint16_t src, uint16_t dst) {
    ports(17, "udp", What::kUdp, src, dst);
    put32(0);
    header_ends();
    return *this;
  }
  /// The common header; chunks are payload.
  Packet& sctp(uint16_t src, uint16_t dst) {
    ports(132, "sctp", What::kSctp, src, dst);
    put32(1), put32(0);
    header_ends();
    return *this;
  }
  Packet& icmp(uint8_t kind, uint8_t code = 0) {
    upper(v6_ ? 58 : 1, v6_ ? "icmpv6" : "icmp", What::kIcmp);
    now().icmp = {kind, code};
    put8(kind), put8(code), put16(0);
    header_ends();  // what all messages have in common (RFC 4443 section 2.1)
    put32(0x00010001);
    return *this;
  }
  Packet& gre(const Gre& with = {}) {
    follows(0, 47, 0);
    tunnel("gre", with.key);
    if (with.checksum) layer(What::kGre, bytes_.size());
    put16((with.checksum ? 0x8000U : 0) | (with.routing ? 0x4000U : 0) | (with.key ? 0x2000U : 0) | (with.sequence ? 0x1000U : 0));
    put16(with.protocol.value_or(0));
    link(Link::kEthertype, bytes_.size() - 2);
    if (with.checksum || with.routing) put32(0);
    if (with.key) put32(*with.key);
    if (with.sequence) put32(*with.sequence);
    if (with.routing) put16(0x0800), put16(4), put32(0xC0000201), put32(0);  // one source route of one address, and the end
    return *this;
  }
  /// GRE version 1 (RFC 2637): a sequence number where a packet follows, without one an acknowledgement alone.
  Packet& pptp(uint16_t call, bool sequence = true, bool acknowledged = false, Ppp framing = Ppp::kFull) {
    follows(0, 47, 0);
    tunnel("gre", call);
    layer(What::kPptp, bytes_.size());
    put16(0x2001U | (sequence ? 0x1000 : 0) | (acknowledged ? 0x80 : 0)), put16(0x880B), put16(0), put16(call);
    if (sequence) put32(7);
    if (acknowledged) put32(6);
    link(Link::kNone, 0);
    if (!sequence) return *this;
    if (framing == Ppp::kFull) put16(0xFF03);
    if (framing == Ppp::kCompressed) put8(0x21);
    else put16(0), link(Link::kPpp, bytes_.size() - 2);
    return *this;
  }
  /// Ethernet in GRE at once (ERSPAN type I).
  Packet& erspan1() {
    erspan_gre(0x88BE, false, {});
    return *this;
  }
  Packet& erspan2(uint16_t session, uint16_t vlan_id = 0) {
    erspan_gre(0x88BE, true, session);
    put16(0x1000U | vlan_id), put16(session), put32(1);
    return *this;
  }
  Packet& erspan3(uint16_t session, bool subheader = false) {
    erspan_gre(0x22EB, true, session);
    put16(0x2000), put16(session), put32(0x12345678), put16(0), put16(subheader ? 1 : 0);
    if (subheader) put32(0x0C000000), put32(0);  // platform 3, whose contents are plain
    return *this;
  }
  Packet& vxlan(uint32_t vni) {
    tunnel("vxlan", vni);
    put32(0x08000000), put32(vni << 8);
    return *this;
  }
  /// Options by their length in words of four bytes, without the option's own header.
  Packet& geneve(uint32_t vni, const std::vector<uint8_t>& with_options = {}) {
    unsigned words = 0;
    for (const auto n : with_options) words += n + 1U;
    tunnel("geneve", vni);
    put8(words), put8(0), put16(0);
    link(Link::kEthertype, bytes_.size() - 2);
    put32(vni << 8);
    for (const auto n : with_options) put16(0x0102), put8(1), put8(n), zeros(n * 4U);
    return *this;
  }
  Packet& gtpu(uint32_t teid, const Gtp& with = {}) {
    tunnel("gtpu", teid);
    layer(What::kGtp, bytes_.size());
    put8(0x30U | (with.extension ? 4 : 0) | (with.sequence ? 2 : 0) | (with.npdu ? 1 : 0)), put8(with.message), put16(0), put32(teid);
    if (with.extension || with.sequence || with.npdu) put16(with.sequence ? 9 : 0), put8(with.npdu ? 5 : 0), put8(0);
    for (const auto& [kind, words] : with.headers) {
      bytes_.back() = std::byte{kind};
      put8(words), zeros(words * 4U - 1);
    }
    return *this;
  }
  /// RFC 4380 section 5.1.1; an IPv6 header follows.
  Packet& teredo(bool authentication = false, bool origin = false, uint8_t id_size = 0, uint8_t value_size = 0) {
    tunnel("teredo");
    if (authentication) put16(1), put8(id_size), put8(value_size), zeros(id_size + value_size + 8U), put8(0);
    if (origin) put16(0), put16(0x0102), put32(0x3FFFFDFE);
    return *this;
  }
  Packet& payload(const std::string& text) {
    for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  /// Zero bytes up to this frame length; they are payload: every length counts them.
  Packet& pad_to(std::size_t length) {
    while (bytes_.size() < length) bytes_.push_back(std::byte{0});
    return *this;
  }
  /// Padding of the innermost Ethernet frame up to this length, behind the end that its IP header or 802.3 length states.
  Packet& trailer_to(std::size_t length, uint8_t filler = 0) {
    auto frame = layers_.rbegin();
    while (frame->what != What::kEthernet) {
      if (frame->end == 0) frame->end = bytes_.size();
      ++frame;
    }
    while (bytes_.size() < frame->at + length) put8(filler);
    return *this;
  }

 private:
  Packet& type_field() {
    put16(0);
    link(Link::kEthertype, bytes_.size() - 2);
    header_ends();
    return *this;
  }
  void ip_begins(uint16_t ethertype, uint8_t protocol, uint16_t ppp, bool v6) {
    if (link_ == Link::kIpProtocol && !tunnelled_) {
      follows(ethertype, protocol, ppp);
      tunnel("ip_in_ip");
    } else {
      follows(ethertype, protocol, ppp);
    }
    enter();
    ip_ = bytes_.size(), v6_ = v6, fragment_ = false, extensions_ = 0;
    layer(v6 ? What::kIpv6 : What::kIpv4, ip_);
  }
  void ip_addresses(int family, const std::string& src, const std::string& dst, std::size_t next_at, uint8_t next) {
    now().l3 = family == AF_INET ? "ipv4" : "ipv6";
    now().l3_offset = ip_;
    now().src = address(family, src);
    now().dst = address(family, dst);
    now().protocol = next;
    link(Link::kIpProtocol, next_at);
    header_ends();
  }
  void next_header(uint8_t kind) {
    follows(0, kind, 0);
    if (v6_ && ++extensions_ == 9) now().protocol.reset(), too_deep();
    link(Link::kIpProtocol, bytes_.size());
    now().protocol = 59;
  }
  /// A later fragment shows nothing of what it carries but the protocol's number.
  void fragmented(unsigned offset, bool more) {
    if (offset != 0 || more) fragment_ = true, now().fragment = offset != 0 ? "later" : "first";
    if (offset != 0) blind_ = true;
  }
  void ports(uint8_t protocol, const std::string& name, What what, uint16_t src, uint16_t dst) {
    upper(protocol, name, what);
    now().ports = {src, dst};
    put16(src), put16(dst);
  }
  void erspan_gre(uint16_t protocol, bool sequence, std::optional<uint32_t> session) {
    follows(0, 47, 0);
    tunnel("erspan", session);
    put16(sequence ? 0x1000 : 0), put16(protocol);
    if (sequence) put32(3);
    link(Link::kNone, 0);
  }

  std::size_t mpls_end_ = 0;
};

}  // namespace sluice::test
