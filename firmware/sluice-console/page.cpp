#include "sluice-console/page.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <vector>

#include "api/certificate.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

/// What a file holds up to its first line's end; empty: no such file.
std::string first_line(const fs::path& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::map<std::string, std::string> settings(const fs::path& path) {
  std::map<std::string, std::string> out;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (const auto equals = line.find('='); equals != std::string::npos) out[line.substr(0, equals)] = line.substr(equals + 1);
  return out;
}

/// The addresses of a device, IPv4 first. Link-local ones only say that nobody gave another.
std::vector<std::string> addresses_of(const std::string& device) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  std::vector<std::string> out;
  for (const int family : {AF_INET, AF_INET6})
    for (const ifaddrs* a = list; a; a = a->ifa_next) {
      if (!a->ifa_addr || a->ifa_addr->sa_family != family || device != a->ifa_name) continue;
      std::array<char, INET6_ADDRSTRLEN> text{};
      if (family == AF_INET) {
        inet_ntop(family, &reinterpret_cast<const sockaddr_in*>(a->ifa_addr)->sin_addr, text.data(), text.size());
        out.emplace_back(text.data());
      } else if (const auto& ip = reinterpret_cast<const sockaddr_in6*>(a->ifa_addr)->sin6_addr; !IN6_IS_ADDR_LINKLOCAL(&ip)) {
        inet_ntop(family, &ip, text.data(), text.size());
        out.push_back(std::string("[") + text.data() + "]");
      }
    }
  return out;
}

bool has_carrier(const std::string& device) { return first_line("/sys/class/net/" + device + "/carrier") == "1"; }

void add(std::string& page, const std::string& what, const std::string& value) {
  page += "  " + what + std::string(what.size() < 15 ? 15 - what.size() : 1, ' ') + value + "\r\n";
}

void add_management(std::string& page, const ConsolePaths& paths) {
  if (const auto fault = first_line(fs::path(paths.setup) / "fault"); !fault.empty()) {
    add(page, "Management", "none, because of a mistake or a missing part:");
    return add(page, "", fault);
  }
  auto management = settings(fs::path(paths.setup) / "management");
  const std::string device = management["MANAGEMENT_DEVICE"];
  if (device.empty()) return add(page, "Management", "being set up ...");
  const bool fallback = fs::exists(fs::path(paths.network) / "10-management.network.d/fallback.conf");
  const auto addresses = addresses_of(device);
  for (const auto& address : addresses) add(page, &address == &addresses.front() ? "Management" : "", "https://" + address + "/");
  if (addresses.empty()) add(page, "Management", has_carrier(device) ? "waiting for an address ..." : "no link: plug a cable in");
  add(page, "",
      "port " + device + ", " + management["MANAGEMENT_MAC"] + ", by " + management["MANAGEMENT_BY"] +
          (fallback ? "; no DHCP server has answered: a fixed address beside" : ""));
}

}  // namespace

std::string console_page(const ConsolePaths& paths) {
  std::array<char, 65> name{};
  gethostname(name.data(), name.size() - 1);
  std::string page = std::string("\r\n  Sluice ") + SLUICE_VERSION + "\r\n\r\n";
  add(page, "Name", name.data());
  add_management(page, paths);
  const auto fingerprint = api::fingerprint((fs::path(paths.state) / "tls-certificate.pem").string());
  add(page, "Certificate", fingerprint ? "SHA-256, compare before you trust it:" : "being made ...");
  if (fingerprint) {
    add(page, "", fingerprint->substr(0, 48));
    add(page, "", fingerprint->substr(48));
  }
  const auto secret = first_line(fs::path(paths.state) / "first-login");
  if (!secret.empty()) add(page, "First login", secret);
  return page + "\r\n";
}

}  // namespace sluice
