// Builds packets for tests, from outside in: Packet().ethernet().vlan(100).ipv4("10.0.0.1", "10.0.0.2").tcp(1025, 80).payload("hello").
// Lengths and checksums are right unless a test breaks them. Knows nothing of firmware/packet.
#pragma once

#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace sluice::test {

class Packet {
 public:
  using Bytes = std::vector<std::byte>;

  Packet& ethernet(const std::string& src = "02:00:00:00:00:01", const std::string& dst = "02:00:00:00:00:02") {
    mac(dst);
    mac(src);
    put16(0);
    return *this;
  }
  Packet& vlan(uint16_t id, uint16_t tpid = 0x8100, uint8_t pcp = 0) {
    type(tpid);
    put16(static_cast<uint16_t>(pcp << 13 | id));
    put16(0);
    return *this;
  }
  Packet& ethertype(uint16_t value) {
    type(value);
    return *this;
  }
  Packet& ipv4(const std::string& src, const std::string& dst, uint8_t protocol = 255, uint16_t fragment = 0) {
    type(0x0800);
    l3_ = bytes_.size();
    v6_ = false;
    put16(0x4500);
    put16(0);
    put16(0x1234);
    put16(fragment);
    put16(static_cast<uint16_t>(64 << 8 | protocol));
    put16(0);
    address(AF_INET, src, 4);
    address(AF_INET, dst, 4);
    next_at_ = l3_ + 9;
    return *this;
  }
  Packet& ipv6(const std::string& src, const std::string& dst, uint8_t next = 59) {
    type(0x86DD);
    l3_ = bytes_.size();
    v6_ = true;
    put16(0x6000);
    put16(0);
    put16(0);
    put16(static_cast<uint16_t>(next << 8 | 64));
    address(AF_INET6, src, 16);
    address(AF_INET6, dst, 16);
    next_at_ = l3_ + 6;
    return *this;
  }
  /// An IPv6 extension header of `units` times 8 bytes (options, routing), or the fragment header (44) with this field.
  Packet& extension(uint8_t kind, uint8_t units = 1, uint16_t fragment = 0) {
    bytes_[next_at_] = std::byte{kind};
    next_at_ = bytes_.size();
    put16(static_cast<uint16_t>(59 << 8 | (kind == 44 ? 0 : units - 1)));
    put16(fragment);
    for (int i = 0; i < units * 8 - 4; ++i) bytes_.push_back(std::byte{0});
    return *this;
  }
  Packet& tcp(uint16_t src, uint16_t dst, uint8_t flags = 0x18, uint32_t sequence = 1) {
    l4(6);
    put16(src);
    put16(dst);
    put32(sequence);
    put32(0);
    put16(static_cast<uint16_t>(0x5000 | flags));
    put16(0xFFFF);
    put32(0);
    return *this;
  }
  Packet& udp(uint16_t src, uint16_t dst) {
    l4(17);
    put16(src);
    put16(dst);
    put32(0);
    return *this;
  }
  Packet& icmp(uint8_t kind, uint8_t code = 0) {
    l4(v6_ ? 58 : 1);
    put16(static_cast<uint16_t>(kind << 8 | code));
    put16(0);
    put32(0x00010001);
    return *this;
  }
  Packet& payload(const std::string& text) {
    for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  /// Zero bytes up to this frame length.
  Packet& pad_to(std::size_t length) {
    while (bytes_.size() < length) bytes_.push_back(std::byte{0});
    return *this;
  }
  /// The finished packet.
  [[nodiscard]] Bytes bytes() const {
    Bytes out = bytes_;
    if (l3_ != 0) {
      const std::size_t length = out.size() - l3_;
      if (v6_) set16(out, l3_ + 4, static_cast<uint16_t>(length - 40));
      else set16(out, l3_ + 2, static_cast<uint16_t>(length)), set16(out, l3_ + 10, checksum(out, l3_, 20));
      if (l4_ != 0 && protocol_ == 17) set16(out, l4_ + 4, static_cast<uint16_t>(out.size() - l4_));
    }
    return out;
  }

 private:
  void put8(unsigned v) { bytes_.push_back(static_cast<std::byte>(v & 0xFF)); }
  void put16(uint16_t v) { put8(v >> 8U), put8(v); }
  void put32(uint32_t v) { put16(static_cast<uint16_t>(v >> 16)), put16(static_cast<uint16_t>(v)); }
  static void set16(Bytes& b, std::size_t at, uint16_t v) {
    b[at] = static_cast<std::byte>(v >> 8);
    b[at + 1] = static_cast<std::byte>(v & 0xFF);
  }
  static uint16_t checksum(const Bytes& b, std::size_t at, std::size_t n) {
    uint32_t sum = 0;
    for (std::size_t i = 0; i < n; i += 2) sum += std::to_integer<uint32_t>(b[at + i]) << 8 | std::to_integer<uint32_t>(b[at + i + 1]);
    while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
  }
  void mac(const std::string& text) {
    for (std::size_t i = 0; i < 6; ++i) put8(static_cast<unsigned>(std::stoul(text.substr(i * 3, 2), nullptr, 16)));
  }
  /// The type field of the Ethernet header or of the last tag.
  void type(uint16_t v) { set16(bytes_, bytes_.size() - 2, v); }
  void address(int family, const std::string& text, std::size_t size) {
    unsigned char raw[16] = {};
    if (inet_pton(family, text.c_str(), raw) != 1) throw std::invalid_argument(text);
    for (std::size_t i = 0; i < size; ++i) put8(raw[i]);
  }
  void l4(uint8_t protocol) {
    bytes_[next_at_] = std::byte{protocol};
    protocol_ = protocol;
    l4_ = bytes_.size();
  }

  Bytes bytes_;
  std::size_t l3_ = 0, l4_ = 0, next_at_ = 0;
  uint8_t protocol_ = 0;
  bool v6_ = false;
};

}  // namespace sluice::test
