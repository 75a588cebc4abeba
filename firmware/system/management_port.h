// The management port: which device it is, and how it gets its address. All other devices are the broker's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "system/links.h"

namespace sluice::system {

/// What sluice.conf on the boot partition says. Empty: the first on-board port, by DHCP.
struct ManagementConfig {
  std::string mac;                     ///< which device
  std::optional<uint16_t> vlan;        ///< 1 to 4094; absent: untagged
  std::vector<std::string> addresses;  ///< with prefix length, "192.0.2.10/24"; none: DHCP
  std::vector<std::string> gateways;   ///< one an address family at most
  std::string name;                    ///< of the appliance; empty: made of the device's MAC
};

/// Lines of "key = value"; '#' begins a comment. Errors name the line, the key and the reason.
[[nodiscard]] Result<ManagementConfig> parse_management_config(std::string_view text);

/// A device that could be the management port, and what the firmware calls it.
struct Candidate {
  Link link;
  std::optional<uint32_t> onboard;  ///< number of an on-board device (ACPI _DSM or SMBIOS type 41)
};
/// The devices on PCI among the links.
[[nodiscard]] std::vector<Candidate> management_candidates(const std::vector<Link>& links);
/// The device that the configuration names; without a name the on-board one with the lowest number, else the one with the lowest PCI
/// address. Errors: it is not there, or two devices have its MAC: never another one instead.
[[nodiscard]] Result<Link> choose_management_port(const std::vector<Candidate>& candidates, const ManagementConfig& config);

/// "sluice-" and the last three bytes of the MAC, unless the configuration gives a name.
[[nodiscard]] std::string appliance_name(const std::string& mac, const ManagementConfig& config);

/// What the management VLAN's device is called.
inline constexpr const char* kManagementVlan = "management";
/// The address that an engineer with a cable finds when no DHCP server answers.
inline constexpr const char* kFallbackAddress = "192.168.100.1/24";

struct NetworkFile {
  std::string name;
  std::string text;
};
/// Files for systemd-networkd: the management port as configured.
[[nodiscard]] std::vector<NetworkFile> management_network(const Link& port, const ManagementConfig& config);
/// A file for systemd-networkd: every device that no other file names is left alone.
[[nodiscard]] NetworkFile broker_ports_network();

}  // namespace sluice::system
