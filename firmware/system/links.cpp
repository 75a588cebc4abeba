#include "system/links.h"

#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>

#include "base/net.h"
#include "system/ethtool.h"

namespace sluice::system {
namespace {

Error failed(const std::string& what, int error) { return {ErrorCode::kUnreachable, "", what + ": " + std::strerror(error)}; }

struct Close {
  void operator()(mnl_socket* s) const { mnl_socket_close(s); }
};
using Socket = std::unique_ptr<mnl_socket, Close>;

Socket open_socket() {
  Socket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (socket && mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) socket.reset();
  return socket;
}

std::string mac_text(const nlattr* attribute) {
  Mac mac{};
  if (mnl_attr_get_payload_len(attribute) != mac.size()) return "";
  std::memcpy(mac.data(), mnl_attr_get_payload(attribute), mac.size());
  return mac == Mac{} ? "" : to_string(mac);
}

/// Devices that the kernel makes on top of others. A veth is none of them: it is a lab's NIC.
bool is_stacked(const nlattr* link_info) {
  static constexpr std::string_view kStacked[] = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "bridge", "bond", "team"};
  const auto* end = static_cast<const char*>(mnl_attr_get_payload(link_info)) + mnl_attr_get_payload_len(link_info);
  const auto* attribute = static_cast<const nlattr*>(mnl_attr_get_payload(link_info));
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute))); attribute = mnl_attr_next(attribute))
    if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
      return std::find(std::begin(kStacked), std::end(kStacked), std::string_view(mnl_attr_get_str(attribute))) != std::end(kStacked);
  return false;
}

/// The PCI device that a virtio device is; empty: none.
std::string pci_above(const std::string& netdev) {
  std::error_code error;
  auto path = std::filesystem::canonical("/sys/class/net/" + netdev + "/device", error);
  for (; !error && path.has_filename(); path = path.parent_path())
    if (std::filesystem::exists("/sys/bus/pci/devices/" + path.filename().string(), error)) return path.filename();
  return "";
}

int read_link(const nlmsghdr* header, void* out) {
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(header));
  Link link;
  link.ifindex = static_cast<unsigned>(info->ifi_index);
  link.up = (info->ifi_flags & IFF_UP) != 0;
  std::string permanent;
  std::string_view bus;
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(header));
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, sizeof *info));
  for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute))); attribute = mnl_attr_next(attribute)) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_IFNAME: link.netdev = mnl_attr_get_str(attribute); break;
      case IFLA_ADDRESS: link.mac = mac_text(attribute); break;
      case IFLA_PERM_ADDRESS: permanent = mac_text(attribute); break;
      // Not IFF_RUNNING, which the kernel changes at most once a second.
      case IFLA_CARRIER: link.carrier = link.up && mnl_attr_get_u8(attribute) != 0; break;
      case IFLA_MTU: link.mtu = mnl_attr_get_u32(attribute); break;
      case IFLA_LINKINFO: link.stacked = is_stacked(attribute); break;
      case IFLA_PARENT_DEV_NAME: link.pci = mnl_attr_get_str(attribute); break;
      case IFLA_PARENT_DEV_BUS_NAME: bus = mnl_attr_get_str(attribute); break;
      case IFLA_STATS64: {
        rtnl_link_stats64 s{};
        std::memcpy(&s, mnl_attr_get_payload(attribute), std::min<std::size_t>(sizeof s, mnl_attr_get_payload_len(attribute)));
        link.rx_missed = s.rx_missed_errors + s.rx_fifo_errors;
        link.tx_dropped = s.tx_dropped;
        break;
      }
      default: break;
    }
  }
  if (!permanent.empty()) link.mac = permanent;
  // A USB device is on PCI too, some way up; but its controller's address is not its own.
  if (bus != "pci") link.pci = bus == "virtio" ? pci_above(link.netdev) : "";
  static_cast<std::vector<Link>*>(out)->push_back(std::move(link));
  return MNL_CB_OK;
}

/// Sends a request and feeds the answers to `callback` until the kernel says done; the kernel's error if it refused.
Result<void> talk(nlmsghdr* request, mnl_cb_t callback, void* data, const std::string& what) {
  const Socket socket = open_socket();
  if (!socket) return failed("opening a netlink socket", errno);
  request->nlmsg_seq = 1;
  if (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) return failed(what, errno);
  std::vector<char> buffer(1 << 17);
  int more = MNL_CB_OK;
  while (more > MNL_CB_STOP) {
    const ssize_t n = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    if (n < 0) return failed(what, errno);
    more = mnl_cb_run(buffer.data(), static_cast<std::size_t>(n), 1, mnl_socket_get_portid(socket.get()), callback, data);
    if (more < 0) return failed(what, errno);
  }
  return {};
}

}  // namespace

Result<std::vector<Link>> list_links() {
  std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETLINK;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)))->ifi_family = AF_UNSPEC;
  // A dump that a change has interrupted is asked for again: half a list looks like devices that are gone.
  constexpr int kAttempts = 5;
  for (int attempt = 1;; ++attempt) {
    std::vector<Link> links;
    const auto r = talk(request, read_link, &links, "listing network devices");
    if (r) return links;
    if (attempt == kAttempts) return r.error();
  }
}

namespace {
bool is_device(const Link& link, const std::string& device) { return !link.stacked && (link.mac == device || link.pci == device); }
}  // namespace

std::size_t count_devices(const std::vector<Link>& links, const std::string& device) {
  return device.empty() ? 0 : std::count_if(links.begin(), links.end(), [&](const auto& l) { return is_device(l, device); });
}

const Link* find_device(const std::vector<Link>& links, const std::string& device) {
  if (count_devices(links, device) != 1) return nullptr;
  return &*std::find_if(links.begin(), links.end(), [&](const auto& l) { return is_device(l, device); });
}

namespace {

/// The beginning of a request that changes a link: these flags of it are set so, the others stay.
nlmsghdr* link_request(std::array<char, 512>& buffer, const Link& link, unsigned flags, unsigned changed) {
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_NEWLINK;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  info->ifi_family = AF_UNSPEC;
  info->ifi_index = static_cast<int>(link.ifindex);
  info->ifi_flags = flags;
  info->ifi_change = changed;
  return request;
}

}  // namespace

Result<void> quiet_port(const Link& link, uint32_t mtu) {
  std::array<char, 512> first{};
  nlmsghdr* quiet = link_request(first, link, IFF_NOARP | IFF_PROMISC, IFF_NOARP | IFF_PROMISC);
  mnl_attr_put_u32(quiet, IFLA_MTU, mtu);
  nlattr* families = mnl_attr_nest_start(quiet, IFLA_AF_SPEC);
  nlattr* inet6 = mnl_attr_nest_start(quiet, AF_INET6);
  mnl_attr_put_u8(quiet, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  mnl_attr_nest_end(quiet, inet6);
  mnl_attr_nest_end(quiet, families);
  return talk(quiet, nullptr, nullptr, link.netdev + ": setting MTU " + std::to_string(mtu) + " and silence");
}

Result<void> raise_port(const Link& link) {
  std::array<char, 512> buffer{};
  return talk(link_request(buffer, link, IFF_UP, IFF_UP), nullptr, nullptr, link.netdev + ": bringing it up");
}

Result<void> lower_port(const Link& link) {
  std::array<char, 512> buffer{};
  return talk(link_request(buffer, link, 0, IFF_UP), nullptr, nullptr, link.netdev + ": taking it down");
}

std::string driver_of(const std::string& netdev) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  return ethtool(netdev, &info) == 0 ? info.driver : "";
}

Result<uint32_t> set_queues(const std::string& netdev, uint32_t queues) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (ethtool(netdev, &channels) != 0) return 1U;  // a device that does not tell has one
  const uint32_t most = channels.max_combined ? channels.max_combined : std::min(channels.max_rx, channels.max_tx);
  const uint32_t wanted = std::clamp(queues, 1U, std::max(most, 1U));
  channels.cmd = ETHTOOL_SCHANNELS;
  if (channels.max_combined) {
    if (channels.combined_count == wanted) return wanted;
    channels.combined_count = wanted;
  } else {
    if (channels.rx_count == wanted && channels.tx_count == wanted) return wanted;
    channels.rx_count = channels.tx_count = wanted;
  }
  if (const int e = ethtool(netdev, &channels); e != 0) return failed(netdev + ": setting " + std::to_string(wanted) + " queues", e);
  return wanted;
}

Rss make_rss_symmetric(const std::string& netdev) {
  ethtool_rxfh sizes{};
  sizes.cmd = ETHTOOL_GRSSH;
  if (ethtool(netdev, &sizes) != 0 || sizes.key_size == 0) return Rss::kNone;
  std::vector<std::byte> memory(sizeof(ethtool_rxfh) + sizes.key_size);
  auto* request = reinterpret_cast<ethtool_rxfh*>(memory.data());
  request->cmd = ETHTOOL_SRSSH;
  request->indir_size = ETH_RXFH_INDIR_NO_CHANGE;
  request->key_size = sizes.key_size;
  std::byte* key = memory.data() + sizeof(ethtool_rxfh);
  for (uint32_t i = 0; i < sizes.key_size; ++i) key[i] = i % 2 == 0 ? std::byte{0x6D} : std::byte{0x5A};
  return ethtool(netdev, request) == 0 ? Rss::kSymmetric : Rss::kAsymmetric;
}

void receive_plainly(const std::string& netdev) {
  ethtool_value flags{ETHTOOL_GFLAGS, 0};
  if (ethtool(netdev, &flags) != 0) return;
  flags.cmd = ETHTOOL_SFLAGS;
  flags.data &= ~static_cast<uint32_t>(ETH_FLAG_RXVLAN | ETH_FLAG_LRO);
  (void)ethtool(netdev, &flags);
}

Result<UniqueFd> watch_links() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return failed("watching links", errno);
  return fd;
}

void drain(int fd) {
  std::array<char, 8192> ignored;
  while (recv(fd, ignored.data(), ignored.size(), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace sluice::system
