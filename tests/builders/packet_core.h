// What the packet builder stands on: bytes, the lengths and checksums that are set once the packet is whole, and the record of what was
// built.
#pragma once

#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/builders/facts.h"

namespace sluice::test {

class PacketCore {
 public:
  using Bytes = std::vector<std::byte>;

  /// The finished packet.
  [[nodiscard]] Bytes bytes() const {
    Bytes out = bytes_;
    // Inside out: the checksum of an outer header covers the finished inner ones.
    for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) finish(out, *layer, end_of(*layer));
    return out;
  }
  /// What a reader should find in bytes(), following at most 8 tags, 16 labels, 8 extension headers and one tunnel.
  [[nodiscard]] Facts expected() const {
    Facts out = facts_;
    for (const auto& layer : layers_) {
      if (layer.what != What::kLength || layer.level > 1) continue;
      (layer.level == 0 ? out.outer : *out.inner).ethertype = static_cast<uint16_t>(end_of(layer) - layer.at - 2);
    }
    return out;
  }
  /// Where the outermost IP packet ends; 0 if there is none. What stands behind it is padding.
  [[nodiscard]] std::size_t ip_end() const {
    for (const auto& layer : layers_) {
      if (layer.what == What::kIpv4 || layer.what == What::kIpv6) return end_of(layer);
    }
    return 0;
  }

 protected:
  /// Headers with a field that depends on what follows them.
  enum class What : uint8_t { kLength, kEthernet, kIpv4, kIpv6, kUdp, kTcp, kIcmp, kSctp, kGre, kPptp, kGtp, kPppoe };
  struct Layer {
    What what;
    std::size_t at;
    std::size_t end = 0;  ///< 0: the packet's end
    unsigned level = 0;   ///< 0 outer, 1 inner, 2 not recorded
    std::size_t ip = 0;   ///< offset of the IP header that a checksum includes
    bool v6 = false;
    bool fragment = false;  ///< the checksum covers what this packet has not: it stays 0
    uint8_t protocol = 0;
  };
  /// The field of the last header that names its payload.
  enum class Link : uint8_t { kNone, kEthertype, kIpProtocol, kPpp };

  void put8(unsigned v) { bytes_.push_back(static_cast<std::byte>(v & 0xFF)); }
  void put16(unsigned v) { put8(v >> 8U), put8(v); }
  void put32(uint32_t v) { put16(v >> 16), put16(v & 0xFFFF); }
  void zeros(std::size_t n) { bytes_.insert(bytes_.end(), n, std::byte{0}); }
  static void set16(Bytes& b, std::size_t at, std::size_t v) {
    b[at] = static_cast<std::byte>(v >> 8 & 0xFF);
    b[at + 1] = static_cast<std::byte>(v & 0xFF);
  }
  void mac(const std::string& text) {
    for (std::size_t i = 0; i < 6; ++i) put8(static_cast<unsigned>(std::stoul(text.substr(i * 3, 2), nullptr, 16)));
  }
  /// Appends an address and returns its text as everybody writes it.
  std::string address(int family, const std::string& text) {
    unsigned char raw[16] = {};
    if (inet_pton(family, text.c_str(), raw) != 1) throw std::invalid_argument(text);
    for (std::size_t i = 0; i < (family == AF_INET ? 4 : 16); ++i) put8(raw[i]);
    char usual[INET6_ADDRSTRLEN];
    return inet_ntop(family, raw, usual, sizeof usual);
  }

  /// Opens a header that is recorded: behind a tunnel header it begins the inner set.
  void enter() {
    if (!tunnelled_) return;
    tunnelled_ = false;
    if (!blind_ && level_ == 0) facts_.inner.emplace();
    ++level_;
  }
  /// A tunnel header begins here; what carries it is recorded, its own length is not the set's.
  void tunnel(const std::string& kind, std::optional<uint32_t> id = {}) {
    if (!blind_ && level_ == 0) facts_.tunnel = kind, facts_.tunnel_id = id, facts_.tunnel_offset = bytes_.size();
    tunnelled_ = true;
  }
  [[nodiscard]] FactSet& set_of(unsigned level) { return level == 0 ? facts_.outer : level == 1 && facts_.inner ? *facts_.inner : unseen_; }
  /// The set that records what is added now.
  [[nodiscard]] FactSet& now() { return set_of(recorded_level()); }
  [[nodiscard]] unsigned recorded_level() const { return blind_ || tunnelled_ ? 2 : level_; }
  /// The header that was just appended is the set's innermost so far.
  void header_ends() { now().payload_offset = bytes_.size(); }
  void too_deep() {
    now().problems = {"too_deep"};
    blind_ = true;
  }
  void layer(What what, std::size_t at) { layers_.push_back({what, at, 0, recorded_level(), ip_, v6_, fragment_, 0}); }

  void link(Link kind, std::size_t at) { link_ = kind, link_at_ = at, link_level_ = recorded_level(); }
  /// Says in the header before what follows it. A header without such a field says nothing.
  void follows(uint16_t ethertype, uint8_t protocol, uint16_t ppp) {
    if (link_ == Link::kEthertype) set16(bytes_, link_at_, ethertype);
    if (link_ == Link::kPpp) set16(bytes_, link_at_, ppp);
    if (link_ == Link::kIpProtocol) bytes_[link_at_] = std::byte{protocol};
    if (link_ == Link::kIpProtocol) set_of(link_level_).protocol = protocol;
    if (link_ == Link::kEthertype && !tunnelled_ && set_of(link_level_).ethernet) set_of(link_level_).ethertype = ethertype;
  }
  void upper(uint8_t protocol, const std::string& name, What what) {
    follows(0, protocol, 0);
    layer(what, bytes_.size());
    layers_.back().protocol = protocol;
    now().l4 = name;
    now().l4_offset = bytes_.size();
    link(Link::kNone, 0);
  }

  Bytes bytes_;
  std::vector<Layer> layers_;
  Facts facts_;
  FactSet unseen_;  ///< takes what no reader is expected to see
  std::size_t ip_ = 0, link_at_ = 0;
  unsigned level_ = 0, link_level_ = 2, extensions_ = 0;
  Link link_ = Link::kNone;
  bool v6_ = false, fragment_ = false, tunnelled_ = false, blind_ = false;

 private:
  [[nodiscard]] std::size_t end_of(const Layer& layer) const { return layer.end != 0 ? layer.end : bytes_.size(); }
  static uint32_t sum(const Bytes& b, std::size_t begin, std::size_t end) {
    uint32_t out = 0;
    for (std::size_t i = begin; i < end; ++i) out += std::to_integer<uint32_t>(b[i]) << ((i - begin) % 2 == 0 ? 8 : 0);
    return out;
  }
  /// RFC 1071.
  static uint16_t checksum(uint32_t sum) {
    while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
  }
  static uint32_t pseudo_header(const Bytes& b, const Layer& layer, std::size_t length) {
    const std::size_t addresses = layer.ip + (layer.v6 ? 8 : 12);
    return sum(b, addresses, addresses + (layer.v6 ? 32 : 8)) + layer.protocol + static_cast<uint32_t>(length);
  }
  /// CRC32c, RFC 9260 appendix A.
  static uint32_t crc32c(const Bytes& b, std::size_t begin, std::size_t end) {
    uint32_t crc = ~0U;
    for (std::size_t i = begin; i < end; ++i) {
      crc ^= std::to_integer<uint32_t>(b[i]);
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0);
    }
    return ~crc;
  }
  static void finish(Bytes& b, const Layer& layer, std::size_t end) {
    const std::size_t at = layer.at, length = end - at;
    const auto transport = [&](std::size_t field) {
      if (layer.fragment) return;
      const bool plain = layer.what == What::kIcmp && !layer.v6;  // no pseudo header in ICMP for IPv4
      const uint16_t v = checksum(sum(b, at, end) + (plain ? 0 : pseudo_header(b, layer, length)));
      set16(b, at + field, layer.what == What::kUdp && v == 0 ? 0xFFFF : v);
    };
    switch (layer.what) {
      case What::kLength: set16(b, at, length - 2); break;
      case What::kEthernet: break;
      case What::kIpv4:
        set16(b, at + 2, length);
        set16(b, at + 10, checksum(sum(b, at, at + (std::to_integer<std::size_t>(b[at]) & 15) * 4)));
        break;
      case What::kIpv6: set16(b, at + 4, length - 40); break;
      case What::kUdp: set16(b, at + 4, length), transport(6); break;
      case What::kTcp: transport(16); break;
      case What::kIcmp: transport(2); break;
      case What::kSctp: {
        const uint32_t crc = crc32c(b, at, end);
        for (std::size_t i = 0; i < 4; ++i) b[at + 8 + i] = static_cast<std::byte>(crc >> 8 * i & 0xFF);
        break;
      }
      case What::kGre: set16(b, at + 4, checksum(sum(b, at, end))); break;
      case What::kPptp: {
        const unsigned flags = std::to_integer<unsigned>(b[at]), more = std::to_integer<unsigned>(b[at + 1]);
        set16(b, at + 4, length - 8 - (flags & 0x10 ? 4 : 0) - (more & 0x80 ? 4 : 0));
        break;
      }
      case What::kGtp: set16(b, at + 2, length - 8); break;
      case What::kPppoe: set16(b, at + 4, length - 6); break;
    }
  }
};

}  // namespace sluice::test
