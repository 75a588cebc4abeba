#include "system/management_port.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "base/net.h"

namespace sluice::system {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::optional<unsigned> number(std::string_view text, unsigned least, unsigned most) {
  const auto range = text.find('-') == std::string_view::npos ? parse_range(text, most) : std::nullopt;
  if (!range || range->from < least) return std::nullopt;
  return range->from;
}

struct InterfaceAddress {
  IpAddress address;
  unsigned length = 0;
};

std::optional<InterfaceAddress> parse_interface_address(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  const auto length = number(text.substr(slash + 1), 1, address->version == 4 ? 32 : 128);
  if (!length) return std::nullopt;
  return InterfaceAddress{*address, *length};
}

bool contains(const InterfaceAddress& network, const IpAddress& address) {
  if (network.address.version != address.version) return false;
  for (unsigned bit = 0; bit < network.length; ++bit)
    if ((network.address.bytes[bit / 8] ^ address.bytes[bit / 8]) & (0x80U >> (bit % 8))) return false;
  return true;
}

/// fe80::/10: reachable whatever the addresses are.
bool is_link_local(const IpAddress& address) {
  return address.version == 6 && address.bytes[0] == 0xFE && (address.bytes[1] & 0xC0) == 0x80;
}

/// RFC 1123 section 2.1: one label of a host's name.
bool is_host_name(std::string_view text) {
  const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= 63 && is_plain(text.front()) && is_plain(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return is_plain(c) || c == '-'; });
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 64;
  std::string out = "\"";
  for (const char c : text.substr(0, kShown)) out += c >= ' ' && c <= '~' ? c : '?';
  return out + (text.size() > kShown ? "...\"" : "\"");
}

/// One "key = value"; the reason if it is refused.
std::string take(ManagementConfig& config, std::string_view key, std::string_view value) {
  if (key == "mac") {
    const auto mac = parse_mac(value);
    if (!mac) return quoted(value) + " is not a MAC address such as 52:54:00:12:34:56";
    if (!config.mac.empty()) return "is given twice";
    config.mac = to_string(*mac);
  } else if (key == "vlan") {
    const auto vlan = number(value, 1, 4094);
    if (!vlan) return quoted(value) + " is not a VLAN from 1 to 4094";
    if (config.vlan) return "is given twice";
    config.vlan = static_cast<uint16_t>(*vlan);
  } else if (key == "address") {
    if (!parse_interface_address(value))
      return quoted(value) + " is not an address with its prefix length, such as 192.0.2.10/24 or 2001:db8::10/64";
    config.addresses.emplace_back(value);
  } else if (key == "gateway") {
    const auto gateway = parse_address(value);
    if (!gateway) return quoted(value) + " is not an address";
    for (const auto& other : config.gateways)
      if (parse_address(other)->version == gateway->version) return "is given twice for IPv" + std::to_string(gateway->version);
    config.gateways.emplace_back(value);
  } else if (key == "name") {
    if (!is_host_name(value)) return quoted(value) + " is not a name of small letters, digits and dashes, 63 at most";
    if (!config.name.empty()) return "is given twice";
    config.name = value;
  } else {
    return "is not one of mac, vlan, address, gateway, name";
  }
  return "";
}

Result<void> check_gateways(const ManagementConfig& config) {
  for (const auto& text : config.gateways) {
    const auto gateway = *parse_address(text);
    const auto reaches = [&](const std::string& address) { return contains(*parse_interface_address(address), gateway); };
    if (!is_link_local(gateway) && std::none_of(config.addresses.begin(), config.addresses.end(), reaches))
      return Error{ErrorCode::kInvalid, "gateway", text + " is in the network of no address that is given"};
    if (config.addresses.empty()) return Error{ErrorCode::kInvalid, "gateway", text + " is given without an address: DHCP brings its own"};
  }
  return {};
}

constexpr std::size_t kMostAddresses = 8;
constexpr std::size_t kLongest = 16384;

}  // namespace

Result<ManagementConfig> parse_management_config(std::string_view text) {
  if (text.size() > kLongest) return Error{ErrorCode::kTooLarge, "", "the file is longer than 16 KiB"};
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // the byte order mark that some editors begin with
  ManagementConfig config;
  for (unsigned line = 1; !text.empty(); ++line) {
    const auto end = text.find('\n');
    auto content = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    content = trimmed(content.substr(0, content.find('#')));
    if (content.empty()) continue;
    const auto equals = content.find('=');
    const std::string where = "line " + std::to_string(line);
    if (equals == std::string_view::npos) return Error{ErrorCode::kInvalid, where, quoted(content) + " is not of the form key = value"};
    const auto key = trimmed(content.substr(0, equals));
    if (const auto reason = take(config, key, trimmed(content.substr(equals + 1))); !reason.empty())
      return Error{ErrorCode::kInvalid, where, (is_host_name(key) ? std::string(key) : quoted(key)) + ": " + reason};
    if (config.addresses.size() > kMostAddresses) return Error{ErrorCode::kInvalid, where, "address: more than 8 are given"};
  }
  if (auto r = check_gateways(config); !r) return r.error();
  return config;
}

std::vector<Candidate> management_candidates(const std::vector<Link>& links) {
  std::vector<Candidate> out;
  for (const auto& link : links) {
    if (link.pci.empty() || link.stacked) continue;
    Candidate candidate{.link = link, .onboard = {}};
    // The firmware's numbers, ACPI's before SMBIOS's, as udev takes them for names; a virtio device's are at the PCI device above it.
    const std::string device = "/sys/bus/pci/devices/" + link.pci + "/";
    for (const char* attribute : {"acpi_index", "index"}) {
      uint32_t index = 0;
      if (std::ifstream file(device + attribute); !candidate.onboard && file >> index) candidate.onboard = index;
    }
    out.push_back(std::move(candidate));
  }
  return out;
}

Result<Link> choose_management_port(const std::vector<Candidate>& candidates, const ManagementConfig& config) {
  const auto by_place = [](const Candidate& a, const Candidate& b) {
    if (a.onboard.has_value() != b.onboard.has_value()) return a.onboard.has_value();
    return a.onboard != b.onboard ? a.onboard < b.onboard : a.link.pci < b.link.pci;
  };
  if (config.mac.empty()) {
    const auto first = std::min_element(candidates.begin(), candidates.end(), by_place);
    if (first == candidates.end()) return Error{ErrorCode::kNotFound, "", "this machine has no network port that its kernel knows"};
    return first->link;
  }
  std::string present;
  const Link* named = nullptr;
  for (const auto& [link, onboard] : candidates) {
    present += (present.empty() ? "" : ", ") + link.mac;
    if (link.mac != config.mac) continue;
    if (named)
      return Error{ErrorCode::kConflict, "sluice.conf: mac", "two ports have " + config.mac + ": " + named->pci + " and " + link.pci};
    named = &link;
  }
  if (!named)
    return Error{ErrorCode::kNotFound, "sluice.conf: mac",
                 "no port has " + config.mac + "; there are " + (present.empty() ? "none" : present)};
  return *named;
}

std::string appliance_name(const std::string& mac, const ManagementConfig& config) {
  if (!config.name.empty()) return config.name;
  std::string digits;
  std::copy_if(mac.begin(), mac.end(), std::back_inserter(digits), [](char c) { return c != ':'; });
  return digits.size() == 12 ? "sluice-" + digits.substr(6) : "sluice";
}

std::vector<NetworkFile> management_network(const Link& port, const ManagementConfig& config) {
  std::string how = "LinkLocalAddressing=ipv6\nLLMNR=no\nMulticastDNS=no\n";
  if (config.addresses.empty()) how += "DHCP=yes\nIPv6AcceptRA=yes\n";
  else how += "DHCP=no\nIPv6AcceptRA=no\n";
  for (const auto& address : config.addresses) how += "Address=" + address + "\n";
  for (const auto& gateway : config.gateways) how += "Gateway=" + gateway + "\n";
  // The lease is the device's, not that of an operating system which may be flashed anew.
  how += "\n[DHCPv4]\nClientIdentifier=mac\nUseDomains=no\n";
  const std::string match = "[Match]\nName=" + port.netdev + "\n\n";
  if (!config.vlan) return {{"10-management.network", match + "[Link]\nRequiredForOnline=yes\n\n[Network]\n" + how}};
  const std::string vlan = kManagementVlan;
  return {{"10-management-trunk.network",
           match + "[Link]\nRequiredForOnline=no\n\n[Network]\nLinkLocalAddressing=no\nDHCP=no\nVLAN=" + vlan + "\n"},
          {"10-management.netdev", "[NetDev]\nName=" + vlan + "\nKind=vlan\n\n[VLAN]\nId=" + std::to_string(*config.vlan) + "\n"},
          {"10-management.network", "[Match]\nName=" + vlan + "\n\n[Link]\nRequiredForOnline=yes\n\n[Network]\n" + how}};
}

NetworkFile broker_ports_network() { return {"90-broker-ports.network", "[Match]\nName=*\n\n[Link]\nUnmanaged=yes\n"}; }

}  // namespace sluice::system
