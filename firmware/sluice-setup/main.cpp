// Chooses the management port and tells systemd-networkd about it. Runs once at boot, as root, when all devices are known.
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "system/management_port.h"

namespace {

using namespace sluice;
namespace fs = std::filesystem;

struct Options {
  std::string config = "/boot/sluice.conf";
  std::string network = "/run/systemd/network";
  std::string out = "/run/sluice-setup";
};

Result<void> write_file(const fs::path& path, const std::string& text) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  std::ofstream file(path, std::ios::trunc);
  file << text << std::flush;
  if (!file) return Error{ErrorCode::kInternal, "", "cannot write " + path.string()};
  return {};
}

Result<system::ManagementConfig> read_config(const std::string& path) {
  std::error_code error;
  struct stat folder {
  }, root{};
  if (stat(fs::path(path).parent_path().c_str(), &folder) != 0 || stat("/", &root) != 0 || folder.st_dev == root.st_dev)
    return Error{ErrorCode::kUnreachable, "", "the boot partition that holds it is not there"};
  if (!fs::exists(path, error) && !error) return system::ManagementConfig{};
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (!file) return Error{ErrorCode::kInvalid, "", "cannot be read"};
  return system::parse_management_config(text.str());
}

/// The management port; one that is named and not there yet is waited for: some cards take long.
Result<system::Link> find_port(const system::ManagementConfig& config) {
  constexpr int kPatienceSeconds = 60;
  for (int second = 0;; ++second) {
    const auto links = system::list_links();
    if (!links) return links.error();
    auto port = system::choose_management_port(system::management_candidates(*links), config);
    if (port || port.error().code != ErrorCode::kNotFound || second == kPatienceSeconds) return port;
    sleep(1);
  }
}

Result<void> set_up(const Options& options) {
  // First of all, and whatever follows: nobody configures a port by himself.
  const auto broker = system::broker_ports_network();
  if (auto r = write_file(fs::path(options.network) / broker.name, broker.text); !r) return r;

  const auto config = read_config(options.config);
  if (!config) {
    const auto& e = config.error();
    return Error{e.code, "sluice.conf" + (e.field_path.empty() ? "" : ": " + e.field_path), e.message};
  }
  const auto port = find_port(*config);
  if (!port) return port.error();

  const std::string name = system::appliance_name(port->mac, *config);
  if (sethostname(name.data(), name.size()) != 0) return Error{ErrorCode::kInternal, "name", "cannot be set"};
  for (const auto& file : system::management_network(*port, *config))
    if (auto r = write_file(fs::path(options.network) / file.name, file.text); !r) return r;
  if (auto r = write_file(fs::path(options.out) / "fallback.conf", std::string("[Network]\nAddress=") + system::kFallbackAddress + "\n");
      !r)
    return r;
  spdlog::info("{} is the management port: {} on {}", port->netdev, port->mac, port->pci);
  return write_file(fs::path(options.out) / "management",
                    "MANAGEMENT_DEVICE=" + (config->vlan ? std::string(system::kManagementVlan) : port->netdev) +
                        "\nMANAGEMENT_MAC=" + port->mac + "\nMANAGEMENT_BY=" + (config->addresses.empty() ? "DHCP" : "sluice.conf") +
                        "\nSLUICED_RESERVE=\"--reserve " + port->mac + " " + port->pci + "\"\n");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Sets up the management port of a Sluice appliance, at boot."};
  app.add_option("--config", options.config, "sluice.conf")->capture_default_str();
  app.add_option("--network", options.network, "where systemd-networkd reads")->capture_default_str();
  app.add_option("--out", options.out, "where units read")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (auto r = set_up(options); !r) {
    const auto& error = r.error();
    const std::string fault = (error.field_path.empty() ? "" : error.field_path + ": ") + error.message;
    spdlog::critical("{}", fault);
    (void)write_file(fs::path(options.out) / "fault", fault + "\n");
    return 1;
  }
  return 0;
}
