#include "system/management_port.h"

#include <doctest/doctest.h>

#include "system/service.h"

using namespace sluice;
using system::Candidate;
using system::ManagementConfig;

namespace {

std::string refusal(std::string_view text) {
  const auto config = system::parse_management_config(text);
  return config ? "" : config.error().field_path + ": " + config.error().message;
}

Candidate nic(const std::string& mac, const std::string& pci, std::optional<uint32_t> onboard = {}) {
  return {{.netdev = "n" + pci, .mac = mac, .pci = pci}, onboard};
}

const std::vector<Candidate> kNics{nic("02:00:00:00:00:01", "0000:05:00.0"), nic("02:00:00:00:00:02", "0000:03:00.0"),
                                   nic("02:00:00:00:00:03", "0000:09:00.0", 2), nic("02:00:00:00:00:04", "0000:0a:00.0", 1)};

const std::string& file(const std::vector<system::NetworkFile>& files, std::string_view name) {
  for (const auto& f : files)
    if (f.name == name) return f.text;
  FAIL("no file " << name);
  return files.front().text;
}

}  // namespace

TEST_CASE("management port: sluice.conf is read with comments, blanks, Windows line ends and a byte order mark") {
  const auto config = system::parse_management_config(
      "\xEF\xBB\xBF# our rack\r\n\r\n mac=52:54:00:AA:bb:01 # the left one\r\n\tvlan = 100\r\naddress = "
      "192.0.2.10/24\r\naddress=2001:db8::10/64\n"
      "gateway = 192.0.2.1\ngateway = fe80::1\nname = rack7");
  REQUIRE(config);
  CHECK(config->mac == "52:54:00:aa:bb:01");
  CHECK(config->vlan == 100);
  CHECK(config->addresses == std::vector<std::string>{"192.0.2.10/24", "2001:db8::10/64"});
  CHECK(config->gateways == std::vector<std::string>{"192.0.2.1", "fe80::1"});
  CHECK(config->name == "rack7");
  CHECK(system::parse_management_config("")->mac.empty());
  CHECK(system::parse_management_config("\n# nothing\n"));
}

TEST_CASE("management port: each mistake in sluice.conf is refused with its line, its key and the reason") {
  CHECK(refusal("\n\nadress = 192.0.2.10/24\n") == "line 3: adress: is not one of mac, vlan, address, gateway, name");
  CHECK(refusal("eth0") == "line 1: \"eth0\" is not of the form key = value");
  CHECK(refusal("mac = 52:54:00:aa:bb") == "line 1: mac: \"52:54:00:aa:bb\" is not a MAC address such as 52:54:00:12:34:56");
  CHECK(refusal("vlan = 0") == "line 1: vlan: \"0\" is not a VLAN from 1 to 4094");
  CHECK(refusal("vlan = 4095") == "line 1: vlan: \"4095\" is not a VLAN from 1 to 4094");
  CHECK(refusal("vlan = 1-2") == "line 1: vlan: \"1-2\" is not a VLAN from 1 to 4094");
  CHECK(refusal("vlan = 1\nvlan = 1") == "line 2: vlan: is given twice");
  for (const char* address :
       {"192.0.2.10", "192.0.2.10/33", "192.0.2.10/0", "192.0.2.300/24", "2001:db8::/129", "192.0.2.10/24 255.255.255.0", "/24", ""})
    CHECK(refusal("address = " + std::string(address))
              .starts_with("line 1: address: \"" + std::string(address) + "\" is not an address with its prefix"));
  CHECK(refusal("address = 192.0.2.10/24\ngateway = 192.0.3.1") == "gateway: 192.0.3.1 is in the network of no address that is given");
  CHECK(refusal("address = 192.0.2.10/24\ngateway = 192.0.2.1\ngateway = 192.0.2.2") == "line 3: gateway: is given twice for IPv4");
  CHECK(refusal("gateway = fe80::1").ends_with("is given without an address: DHCP brings its own"));
  for (const char* name : {"Rack7", "-rack", "rack-", "rack 7", "a.b", ""})
    CHECK(refusal("name = " + std::string(name)).starts_with("line 1: name: "));
  CHECK(refusal("name = " + std::string(64, 'a')).starts_with("line 1: name: "));
  CHECK(refusal("x\x1b[2J = 1") == "line 1: \"x?[2J\": is not one of mac, vlan, address, gateway, name");  // a terminal shows this
  CHECK(refusal(std::string(20000, '#')) == ": the file is longer than 16 KiB");
}

TEST_CASE("management port: a file cannot bring settings of its own into systemd-networkd's") {
  CHECK(refusal("address = 192.0.2.10/24\x0b[Link]") != "");
  CHECK(refusal(std::string("address = 192.0.2.10\0x/24", 25)) != "");
  CHECK(refusal(std::string("name = a\0b", 10)) != "");
  CHECK(refusal(std::string("address = 192.0.2.10/24\0x", 25)) != "");
}

TEST_CASE("management port: without a name the on-board port with the lowest number, else the lowest PCI address") {
  CHECK(system::choose_management_port(kNics, {})->mac == "02:00:00:00:00:04");
  CHECK(system::choose_management_port({kNics[0], kNics[1]}, {})->mac == "02:00:00:00:00:02");
  CHECK(system::choose_management_port({}, {}).error().message.find("no network port") != std::string::npos);
}

TEST_CASE("management port: the one that is named, or none") {
  CHECK(system::choose_management_port(kNics, {.mac = "02:00:00:00:00:01"})->pci == "0000:05:00.0");
  const auto absent = system::choose_management_port({kNics[0]}, {.mac = "02:00:00:00:00:09"});
  REQUIRE(!absent);
  CHECK(absent.error().message == "no port has 02:00:00:00:00:09; there are 02:00:00:00:00:01");
  const auto twice = system::choose_management_port({kNics[0], nic("02:00:00:00:00:01", "0000:07:00.0")}, {.mac = "02:00:00:00:00:01"});
  REQUIRE(!twice);
  CHECK(twice.error().message == "two ports have 02:00:00:00:00:01: 0000:05:00.0 and 0000:07:00.0");
}

TEST_CASE("management port: systemd-networkd gets DHCP, fixed addresses or a VLAN, and leaves all others alone") {
  const auto& link = kNics[0].link;
  const auto dhcp = system::management_network(link, {});
  CHECK(dhcp.size() == 1);
  CHECK(file(dhcp, "10-management.network").find("Name=n0000:05:00.0\n") != std::string::npos);
  CHECK(file(dhcp, "10-management.network").find("DHCP=yes\n") != std::string::npos);

  const auto fixed = system::management_network(link, {.addresses = {"192.0.2.10/24", "2001:db8::10/64"}, .gateways = {"192.0.2.1"}});
  const auto& text = file(fixed, "10-management.network");
  for (const char* line : {"DHCP=no\n", "IPv6AcceptRA=no\n", "Address=192.0.2.10/24\n", "Address=2001:db8::10/64\n", "Gateway=192.0.2.1\n"})
    CHECK(text.find(line) != std::string::npos);

  const auto tagged = system::management_network(link, {.vlan = 100});
  CHECK(file(tagged, "10-management.netdev").find("Id=100\n") != std::string::npos);
  CHECK(file(tagged, "10-management-trunk.network").find("VLAN=management\n") != std::string::npos);
  CHECK(file(tagged, "10-management.network").find("Name=management\n") != std::string::npos);
  CHECK(system::broker_ports_network().text.find("Unmanaged=yes") != std::string::npos);
  // networkd takes the first file by name that matches: ours for the management port comes first.
  CHECK(dhcp.front().name < system::broker_ports_network().name);
}

TEST_CASE("management port: the appliance is called by its configuration, else by its port's MAC") {
  CHECK(system::appliance_name("52:54:00:aa:bb:01", {}) == "sluice-aabb01");
  CHECK(system::appliance_name("52:54:00:aa:bb:01", {.name = "rack7"}) == "rack7");
  CHECK(system::appliance_name("", {}) == "sluice");
}

TEST_CASE("links: a device is found by its MAC or PCI address, and not at all where two could be meant") {
  using system::Link;
  const std::vector<Link> links{{.netdev = "a", .mac = "02:00:00:00:00:01", .pci = "0000:01:00.0"},
                                {.netdev = "a.100", .mac = "02:00:00:00:00:01", .stacked = true},
                                {.netdev = "b", .mac = "02:00:00:00:00:02", .pci = "0000:02:00.0"},
                                {.netdev = "c", .mac = "02:00:00:00:00:02", .pci = "0000:03:00.0"},
                                {.netdev = "lo"}};
  CHECK(system::find_device(links, "02:00:00:00:00:01")->netdev == "a");
  CHECK(system::find_device(links, "0000:03:00.0")->netdev == "c");
  CHECK(system::find_device(links, "02:00:00:00:00:02") == nullptr);
  CHECK(system::count_devices(links, "02:00:00:00:00:02") == 2);
  CHECK(system::find_device(links, "") == nullptr);
  CHECK(system::find_device(links, "02:00:00:00:00:09") == nullptr);
}

TEST_CASE("service: without a service manager nothing is watched and no socket is given") {
  CHECK(!system::watchdog_ns());
  CHECK(!system::activated_socket());
  system::notify_ready();
  system::notify_alive();
}
