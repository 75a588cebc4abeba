
#include <algorithm>

#include "system/management_port.h"
#include "tests/fuzz/targets.h"

/// What is accepted makes files for systemd-networkd in which nothing stands that was not meant: no line but those of our own.
void sluice::fuzz::management(Bytes bytes) {
  const auto config = system::parse_management_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!config) return;
  system::Link port;
  port.netdev = "port";
  std::ptrdiff_t lines = 0;
  for (const auto& file : system::management_network(port, *config))
    for (const char c : file.text) {
      lines += c == '\n';
      if (c != '\n' && (c < ' ' || c > '~')) __builtin_trap();
    }
  // As many as the same number of harmless values make.
  system::ManagementConfig harmless;
  harmless.vlan = config->vlan;
  harmless.addresses.assign(config->addresses.size(), "192.0.2.10/24");
  harmless.gateways.assign(config->gateways.size(), "192.0.2.1");
  for (const auto& file : system::management_network(port, harmless)) lines -= std::count(file.text.begin(), file.text.end(), '\n');
  if (lines != 0) __builtin_trap();
}
