
#include "system/management_port.h"
#include "tests/fuzz/targets.h"

/// What is accepted makes files for systemd-networkd in which nothing stands that was not meant: no line but those of our own.
void sluice::fuzz::management(Bytes bytes) {
  const auto config = system::parse_management_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!config) return;
  system::Link port;
  port.netdev = "port";
  for (const auto& file : system::management_network(port, *config))
    for (const char c : file.text) {
      const bool is_plain = c == '\n' || (c >= ' ' && c <= '~');
      if (!is_plain) __builtin_trap();
    }
}
