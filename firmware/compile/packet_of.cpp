#include "compile/packet_of.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "base/net.h"
#include "packet/checksum.h"
#include "packet/headers.h"

namespace sluice::compile {
namespace {

constexpr std::size_t kShortest = 60;  // IEEE 802.3 section 3.2.8, without the check sequence
constexpr const char* kOurSource = "02:00:00:00:00:01";
constexpr const char* kOurDestination = "02:00:00:00:00:02";

/// Bytes as they go out.
class Writer {
 public:
  void u8(uint32_t v) { bytes.push_back(static_cast<std::byte>(v)); }
  void u16(uint32_t v) { u8(v >> 8), u8(v); }
  void u32(uint32_t v) { u16(v >> 16), u16(v); }
  void raw(const uint8_t* data, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) u8(data[i]);
  }
  void set_u16(std::size_t at, uint32_t v) { bytes[at] = static_cast<std::byte>(v >> 8), bytes[at + 1] = static_cast<std::byte>(v); }
  [[nodiscard]] std::span<const std::byte> from(std::size_t at) const { return std::span(bytes).subspan(at); }
  std::vector<std::byte> bytes;
};

struct Packet {
  const v1::PacketFields& fields;
  const std::string& path;
  Writer out = {};
  IpAddress src = {}, dst = {};
  bool ip = false;
  uint8_t protocol = 0;
  std::size_t l3 = 0, l4 = 0;  ///< where these begin

  [[nodiscard]] Error bad(const char* field, const std::string& why) const { return {ErrorCode::kInvalid, path + "." + field, why}; }
  [[nodiscard]] bool has_ports() const {
    return protocol == ip_protocol::kTcp || protocol == ip_protocol::kUdp || protocol == ip_protocol::kSctp;
  }
  [[nodiscard]] bool is_icmp() const { return protocol == ip_protocol::kIcmp || protocol == ip_protocol::kIcmpv6; }

  Result<void> read() {
    if (fields.src().empty() != fields.dst().empty())
      return bad(fields.src().empty() ? "src" : "dst", "is missing: a packet has both addresses or none");
    ip = !fields.src().empty();
    if (!ip) {
      if (!fields.protocol().empty() || fields.src_port() || fields.dst_port())
        return bad("src", "is missing: what is above IP needs addresses");
      return {};
    }
    const auto from = parse_address(fields.src()), to = parse_address(fields.dst());
    if (!from) return bad("src", "is no IPv4 or IPv6 address");
    if (!to) return bad("dst", "is no IPv4 or IPv6 address");
    if (from->version != to->version) return bad("dst", "is of another IP version than src");
    src = *from, dst = *to;
    const auto number = parse_protocol(fields.protocol().empty() ? "tcp" : fields.protocol());
    if (!number) return bad("protocol", "is no protocol's name and no number from 0 to 255");
    protocol = *number;
    if (!has_ports() && (fields.src_port() || fields.dst_port())) return bad("protocol", "has no ports; tcp, udp and sctp have");
    return {};
  }

  Result<void> ethernet() {
    for (const auto& [name, text, otherwise] :
         {std::tuple{"dst_mac", fields.dst_mac(), kOurDestination}, {"src_mac", fields.src_mac(), kOurSource}}) {
      const auto mac = parse_mac(text.empty() ? otherwise : text);
      if (!mac) return bad(name, "is no MAC address such as 02:00:00:00:00:01");
      out.raw(mac->data(), mac->size());
    }
    for (const uint32_t id : fields.vlan()) {
      if (id > 4095) return bad("vlan", "has ids from 0 to 4095");
      out.u16(ethertype::kVlan);
      out.u16(id);
    }
    uint16_t type = src.version == 4 ? ethertype::kIpv4 : ethertype::kIpv6;
    if (!ip) {
      const std::string& text = fields.ethertype();
      const auto [stop, failed] = std::from_chars(text.data() + std::min<std::size_t>(2, text.size()), text.data() + text.size(), type, 16);
      if (!text.starts_with("0x") || failed != std::errc{} || stop != text.data() + text.size())
        return bad("ethertype", "is required of a packet without addresses, in hexadecimal digits such as 0x0806");
    } else if (!fields.ethertype().empty()) {
      return bad("ethertype", "follows from the addresses: leave it out");
    }
    out.u16(type);
    l3 = out.bytes.size();
    return {};
  }

  void network() {
    const uint32_t dscp = fields.dscp() << 2, ttl = fields.has_ttl() ? fields.ttl() : 64;
    const std::size_t size = src.version == 4 ? 4 : 16;
    if (src.version == 4) {
      out.u8(0x45), out.u8(dscp), out.u16(0);     // its length follows
      out.u32(0);                                 // identification, no fragment
      out.u8(ttl), out.u8(protocol), out.u16(0);  // its checksum follows
    } else {
      out.u32(6U << 28 | dscp << 20);
      out.u16(0), out.u8(protocol), out.u8(ttl);
    }
    out.raw(src.bytes.data(), size);
    out.raw(dst.bytes.data(), size);
    l4 = out.bytes.size();
  }

  /// "syn,ack", as bits of the header (RFC 9293 section 3.1).
  Result<uint32_t> tcp_flags() const {
    constexpr std::array<std::string_view, 8> kNames{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};
    const std::string text = fields.tcp_flags().empty() ? "syn" : fields.tcp_flags();
    uint32_t bits = 0;
    for (std::size_t begin = 0; begin <= text.size();) {
      const auto end = std::min(text.find(',', begin), text.size());
      const auto found = std::find(kNames.begin(), kNames.end(), std::string_view(text).substr(begin, end - begin));
      if (found == kNames.end()) return bad("tcp_flags", "are those that are set, out of fin, syn, rst, psh, ack, urg, ece, cwr");
      bits |= 1U << (found - kNames.begin());
      begin = end + 1;
    }
    return bits;
  }

  Result<void> transport() {
    if (has_ports()) {
      if (fields.src_port() > 65535 || fields.dst_port() > 65535) return bad("dst_port", "and src_port go from 0 to 65535");
      out.u16(fields.src_port());
      out.u16(fields.dst_port());
    }
    if (protocol == ip_protocol::kTcp) {
      const auto flags = tcp_flags();
      if (!flags) return flags.error();
      out.u32(0), out.u32(0);
      out.u8(kTcpMinSize / 4 << 4), out.u8(*flags), out.u16(65535);
      out.u32(0);
    } else if (protocol == ip_protocol::kUdp || protocol == ip_protocol::kSctp) {
      out.u32(0);
      if (protocol == ip_protocol::kSctp) out.u32(0);
    } else if (is_icmp()) {
      if (fields.icmp_type() > 255 || fields.icmp_code() > 255) return bad("icmp_type", "and icmp_code go from 0 to 255");
      out.u8(fields.icmp_type()), out.u8(fields.icmp_code());
      out.u16(0), out.u32(0);
    }
    return {};
  }

  /// Zeros up to the length asked for, or to the shortest frame; what is behind the IP packet's end is Ethernet's padding.
  Result<void> pad() {
    const std::size_t length = fields.length(), headers = out.bytes.size();
    if (length && (length < headers || length > kLongestExplained))
      return bad("length", "goes from " + std::to_string(headers) + ", its headers, to " + std::to_string(kLongestExplained));
    if (length) out.bytes.resize(length);
    return {};
  }

  void lengths_and_checksums() {
    const std::size_t end = out.bytes.size(), payload = end - l4;
    if (src.version == 4) {
      out.set_u16(l3 + 2, static_cast<uint32_t>(end - l3));
      out.set_u16(l3 + 10, checksum_finish(checksum_add(out.from(l3).first(kIpv4MinSize))));
    } else {
      out.set_u16(l3 + 4, static_cast<uint32_t>(payload));
    }
    if (protocol == ip_protocol::kUdp) out.set_u16(l4 + 4, static_cast<uint32_t>(payload));
    // RFC 9293 section 3.1, RFC 768, RFC 4443 section 2.3: over a pseudo header too; RFC 792: without one.
    const std::size_t addresses = src.version == 4 ? l4 - 8 : l4 - 32;
    const uint32_t pseudo = checksum_add(out.from(addresses).first(l4 - addresses), static_cast<uint32_t>(payload) + protocol);
    if (protocol == ip_protocol::kTcp) out.set_u16(l4 + 16, checksum_finish(checksum_add(out.from(l4), pseudo)));
    else if (protocol == ip_protocol::kIcmp) out.set_u16(l4 + 2, checksum_finish(checksum_add(out.from(l4))));
    else if (protocol == ip_protocol::kIcmpv6) out.set_u16(l4 + 2, checksum_finish(checksum_add(out.from(l4), pseudo)));
    else if (protocol == ip_protocol::kUdp) {
      const uint16_t sum = checksum_finish(checksum_add(out.from(l4), pseudo));
      out.set_u16(l4 + 6, sum ? sum : 0xFFFF);  // 0 says that there is none
    }
  }
};

}  // namespace

Result<std::vector<std::byte>> packet_of(const v1::PacketFields& fields, const std::string& path) {
  Packet packet{fields, path};
  if (auto r = packet.read(); !r) return r.error();
  if (auto r = packet.ethernet(); !r) return r.error();
  if (packet.ip) {
    packet.network();
    if (auto r = packet.transport(); !r) return r.error();
  }
  if (auto r = packet.pad(); !r) return r.error();
  if (packet.ip) packet.lengths_and_checksums();
  auto& bytes = packet.out.bytes;
  if (!fields.length() && bytes.size() < kShortest) bytes.resize(kShortest);
  return std::move(bytes);
}

}  // namespace sluice::compile
