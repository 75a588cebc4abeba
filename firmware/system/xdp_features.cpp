#include "system/xdp_features.h"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>

#include <array>
#include <memory>

namespace sluice::system {
namespace {

struct Close {
  void operator()(mnl_socket* s) const { mnl_socket_close(s); }
};

/// Sends a generic netlink request of one attribute and feeds the attributes of the answer to `on_attribute`. False: refused.
template <class Put, class OnAttribute>
bool ask(uint16_t family, uint8_t command, Put put, OnAttribute on_attribute) {
  const std::unique_ptr<mnl_socket, Close> socket(mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) return false;
  std::array<char, 256> request{};
  nlmsghdr* header = mnl_nlmsg_put_header(request.data());
  header->nlmsg_type = family;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  header->nlmsg_seq = 1;
  auto* generic = static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(header, sizeof(genlmsghdr)));
  generic->cmd = command;
  generic->version = 1;
  put(header);
  if (mnl_socket_sendto(socket.get(), header, header->nlmsg_len) < 0) return false;
  const mnl_cb_t callback = [](const nlmsghdr* answer, void* data) {
    const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(answer));
    const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(answer, sizeof(genlmsghdr)));
    for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute))); attribute = mnl_attr_next(attribute))
      (*static_cast<OnAttribute*>(data))(attribute);
    return MNL_CB_OK;
  };
  std::array<char, 8192> buffer{};
  int more = MNL_CB_OK;
  while (more > MNL_CB_STOP) {
    const ssize_t n = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    if (n < 0) return false;
    more = mnl_cb_run(buffer.data(), static_cast<std::size_t>(n), 1, mnl_socket_get_portid(socket.get()), callback, &on_attribute);
  }
  return more == MNL_CB_STOP;
}

}  // namespace

std::optional<uint64_t> xdp_features(unsigned ifindex) {
  uint16_t family = 0;
  const auto name = [](nlmsghdr* header) { mnl_attr_put_strz(header, CTRL_ATTR_FAMILY_NAME, "netdev"); };
  const auto read_id = [&family](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID) family = mnl_attr_get_u16(attribute);
  };
  if (!ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, name, read_id) || family == 0) return std::nullopt;
  constexpr uint8_t kDeviceGet = 1;                // NETDEV_CMD_DEV_GET
  constexpr uint16_t kIfindex = 1, kFeatures = 3;  // NETDEV_A_DEV_IFINDEX, NETDEV_A_DEV_XDP_FEATURES
  std::optional<uint64_t> features;
  const auto device = [ifindex](nlmsghdr* header) { mnl_attr_put_u32(header, kIfindex, ifindex); };
  const auto read_features = [&features](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == kFeatures) features = mnl_attr_get_u64(attribute);
  };
  if (!ask(family, kDeviceGet, device, read_features)) return std::nullopt;
  return features;
}

}  // namespace sluice::system
