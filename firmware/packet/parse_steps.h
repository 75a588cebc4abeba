// The parser's steps, shared by its three files: link layer (parse.cpp), IP and transport (parse_ip.cpp), tunnels (parse_tunnel.cpp).
#pragma once

#include "base/endian.h"
#include "packet/parse.h"

namespace sluice::parsing {

/// A stretch of the packet that is there: offsets from the packet's first byte, at <= end <= the packet's length.
struct Stretch {
  const std::byte* packet;
  uint32_t at;
  uint32_t end;
  uint32_t beyond = 0;  ///< bytes of the packet that follow, in frames that are not looked at
  [[nodiscard]] uint32_t left() const { return end - at; }
  [[nodiscard]] const std::byte* here() const { return packet + at; }
  [[nodiscard]] unsigned byte(uint32_t offset) const { return std::to_integer<unsigned>(packet[at + offset]); }
  /// Ends `length` bytes from here; false if that is behind the packet's end, which stays as it is then.
  bool limit(uint32_t length) {
    if (length <= left()) [[likely]] {
      end = at + length;
      beyond = 0;
      return true;
    }
    if (length > left() + beyond) return false;
    beyond = length - left();
    return true;
  }
};

/// What a layer set begins with.
enum class Start : uint8_t { kNone, kEthernet, kIpv4, kIpv6, kArp, kMpls, kPppoe };

/// What the payload of a layer set may be: only then is it looked at as a tunnel.
enum class Carries : uint8_t { kNothing, kIpProtocol, kUdp, kPseudowire };

/// Parses one layer set from where `s` stands; leaves `s` at the set's payload, ended where the packet's own length fields say.
Carries parse_layers(Start start, Stretch& s, LayerSet& set);
/// RFC 791, RFC 8200 and what they carry.
Carries parse_ipv4(Stretch& s, LayerSet& set);
Carries parse_ipv6(Stretch& s, LayerSet& set);
/// The tunnel header at `s`, and where and what the inner packet is; kNone if there is none.
Start parse_tunnel(Carries carries, Stretch& s, Parsed& out);

/// The start that an EtherType stands for.
Start start_of(uint16_t ethertype);
/// What the version in its first four bits says; kNone: not IP, or nothing there.
inline Start ip_at(const Stretch& s) {
  const unsigned version = s.left() > 0 ? s.byte(0) >> 4 : 0;
  return version == 4 ? Start::kIpv4 : version == 6 ? Start::kIpv6 : Start::kNone;
}

/// Moves to the payload behind `header` bytes.
inline void pass(Stretch& s, uint32_t header, LayerSet& set) {
  s.at += header;
  set.payload_offset = static_cast<uint16_t>(s.at);
}

}  // namespace sluice::parsing
