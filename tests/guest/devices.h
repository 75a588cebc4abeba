// Network devices of the guest, made and changed by its ip program. Failures are thrown.
#pragma once

#include <span>
#include <string>

namespace guest {

/// "link set eth0 up".
void ip(const std::string& arguments);
/// The device takes frames that are addressed to others, is silent by itself, and up.
void set_up(const std::string& device);
/// Devices and their far ends: NAME and NAME-far.
void set_up(std::span<const std::string> names);
void make_veths(std::span<const std::string> names, unsigned mtu);
/// Far ends last: a veth allows it only once the other end's XDP program does.
void set_mtu(std::span<const std::string> names, unsigned mtu);

}  // namespace guest
