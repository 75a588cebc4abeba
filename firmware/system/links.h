// Network devices: which there are, and what a port needs done to one. rtnetlink by libmnl, ethtool by ioctl.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace sluice::system {

struct Link {
  unsigned ifindex = 0;
  std::string netdev;    ///< the kernel's name of the moment
  std::string mac;       ///< permanent if the NIC tells one, else the present one
  std::string pci;       ///< "0000:03:00.0"; empty: not on PCI
  bool stacked = false;  ///< on top of another device (a VLAN, a bridge), which may have the same MAC: never a port
  uint32_t mtu = 0;
  bool up = false;
  bool carrier = false;
  uint64_t rx_missed = 0;  ///< lost by the NIC for want of buffers
  uint64_t tx_dropped = 0;
};

[[nodiscard]] Result<std::vector<Link>> list_links();
/// How many devices have this MAC or PCI address.
[[nodiscard]] std::size_t count_devices(const std::vector<Link>& links, const std::string& device);
/// The one device with this MAC or PCI address; null: none, several, or the address is empty.
[[nodiscard]] const Link* find_device(const std::vector<Link>& links, const std::string& device);

/// Makes a device fit for a port: this MTU, promiscuous (mirrored frames are addressed to others), no ARP, no IPv6 address of its own
/// making.
[[nodiscard]] Result<void> quiet_port(const Link& link, uint32_t mtu);
/// Brings it up. Only a device that is quiet: one that is up speaks.
[[nodiscard]] Result<void> raise_port(const Link& link);

/// Takes a device down: nothing comes in or goes out until it is raised.
[[nodiscard]] Result<void> lower_port(const Link& link);

/// The driver's name; empty if it does not tell.
[[nodiscard]] std::string driver_of(const std::string& netdev);
/// Gives the device so many queues, or as many as it has where those are fewer; returns how many it has now.
[[nodiscard]] Result<uint32_t> set_queues(const std::string& netdev, uint32_t queues);

/// How the device spreads packets over its queues.
enum class Rss : uint8_t {
  kNone,        ///< one queue, or a driver that has no key to set
  kSymmetric,   ///< both directions of a flow come on one queue
  kAsymmetric,  ///< the key could not be set
};
/// Sets the hash key that makes RSS symmetric: 0x6d5a repeated (Woo and Park, "Scalable TCP Session Monitoring with Symmetric
/// Receive-side Scaling", 2012).
[[nodiscard]] Rss make_rss_symmetric(const std::string& netdev);

/// Packets as they were on the wire: no VLAN tag taken aside by the NIC, none joined with others (LRO). Devices that never do either
/// refuse, which is as good.
void receive_plainly(const std::string& netdev);

/// A socket that becomes readable when any link changes, appears or goes.
[[nodiscard]] Result<UniqueFd> watch_links();
/// Reads and forgets what a watch_links() socket has.
void drain(int fd);

}  // namespace sluice::system
