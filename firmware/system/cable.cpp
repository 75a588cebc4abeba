#include "system/cable.h"

#include <linux/ethtool.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <future>
#include <vector>

#include "base/endian.h"
#include "system/ethtool.h"
#include "system/links.h"

namespace sluice::system {
namespace {

/// -30 dBm: what comes out of a dark fibre is noise.
constexpr uint32_t kDark = 10;

std::string text_at(std::span<const std::byte> eeprom, std::size_t at, std::size_t size) {
  std::string out;
  for (std::size_t i = at; i < std::min(at + size, eeprom.size()); ++i) {
    const auto c = static_cast<char>(eeprom[i]);
    out += c >= ' ' && c <= '~' ? c : '?';
  }
  return out.substr(0, out.find_last_not_of(" ?") + 1);
}

uint8_t byte_at(std::span<const std::byte> eeprom, std::size_t at) { return at < eeprom.size() ? static_cast<uint8_t>(eeprom[at]) : 0; }

void parse_sfp(std::span<const std::byte> eeprom, Module& out) {
  constexpr std::size_t kDiagnostics = 256;  // address A2h follows A0h
  out.kind = "SFP";
  out.vendor = text_at(eeprom, 20, 16);
  out.part = text_at(eeprom, 40, 16);
  constexpr uint8_t kCableTechnology = 0x0C;  // byte 8: passive or active
  out.copper = byte_at(eeprom, 8) & kCableTechnology;
  constexpr uint8_t kImplemented = 0x40, kInternallyCalibrated = 0x20;  // byte 92
  const uint8_t monitoring = byte_at(eeprom, 92);
  if (out.copper || !(monitoring & kImplemented) || !(monitoring & kInternallyCalibrated) || eeprom.size() < kDiagnostics + 106) return;
  out.light_0u1w = read_be16(eeprom.data() + kDiagnostics + 104);
}

void parse_qsfp(std::span<const std::byte> eeprom, Module& out) {
  out.kind = "QSFP";
  out.vendor = text_at(eeprom, 148, 16);
  out.part = text_at(eeprom, 168, 16);
  constexpr uint8_t kFirstCopper = 0xA;  // byte 147, upper half: transmitter technology
  out.copper = byte_at(eeprom, 147) >> 4 >= kFirstCopper;
  if (out.copper || eeprom.size() < 42) return;
  uint32_t weakest = UINT32_MAX;
  for (std::size_t lane = 0; lane < 4; ++lane) weakest = std::min<uint32_t>(weakest, read_be16(eeprom.data() + 34 + 2 * lane));
  out.light_0u1w = weakest;
}

}  // namespace

Module parse_module(uint32_t type, std::span<const std::byte> eeprom) {
  Module out;
  out.state = Module::State::kPresent;
  if (type == ETH_MODULE_SFF_8079 || type == ETH_MODULE_SFF_8472) parse_sfp(eeprom, out);
  else if (type == ETH_MODULE_SFF_8436 || type == ETH_MODULE_SFF_8636) parse_qsfp(eeprom, out);
  return out;
}

Module read_module(const std::string& netdev) {
  constexpr uint32_t kMost = 1024;
  ethtool_modinfo info{};
  info.cmd = ETHTOOL_GMODULEINFO;
  const int failed = ethtool(netdev, &info);
  Module out;
  // Drivers name a missing module as they like (EIO, EINVAL, ENODEV); all say EOPNOTSUPP where there can be none.
  if (failed) out.state = failed == EOPNOTSUPP ? Module::State::kUnknown : Module::State::kAbsent;
  if (failed) return out;
  const uint32_t length = std::min(info.eeprom_len, kMost);
  std::vector<std::byte> memory(sizeof(ethtool_eeprom) + length);
  auto* request = reinterpret_cast<ethtool_eeprom*>(memory.data());
  request->cmd = ETHTOOL_GMODULEEEPROM;
  request->len = length;
  if (ethtool(netdev, request) != 0) {
    out.state = Module::State::kPresent;  // it is there, and does not talk
    return out;
  }
  return parse_module(info.type, std::span<const std::byte>(memory).subspan(sizeof(ethtool_eeprom)));
}

std::string light_of(const Module& module) {
  if (!module.light_0u1w) return "";
  if (*module.light_0u1w < kDark) return "none";
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f dBm", 10 * std::log10(*module.light_0u1w * 1e-4));  // 0.1 uW in mW
  return text.data();
}

Cable diagnose(const Module& module, bool carrier, std::optional<uint64_t> idle_seconds) {
  if (!carrier) {
    if (module.state == Module::State::kAbsent) return {"NO_MODULE", "plug a module, or a direct-attach cable, into this port"};
    if (module.light_0u1w && *module.light_0u1w < kDark)
      return {"NO_LIGHT", "the module is there and receives no light: check the fibre, its two strands, and that the far end sends"};
    if (module.light_0u1w)
      return {"LIGHT_NO_LINK",
              "light comes in (" + light_of(module) + ") and no link: compare speed, FEC and autonegotiation with the far end"};
    return {"NO_LINK", "no link: check the cable at both ends, and that the far end is up"};
  }
  if (idle_seconds && *idle_seconds >= kIdleSeconds)
    return {"NO_PACKETS", "the link is up and no packet has come for " + std::to_string(*idle_seconds) +
                              " s: check that the switch mirrors to it, or that the tapped link has traffic"};
  return {"OK", ""};
}

Result<void> blink(const std::string& netdev, uint32_t seconds) {
  static std::atomic<bool> blinking{false};
  if (blinking.exchange(true)) return Error{ErrorCode::kConflict, "", "another light blinks this moment: look for that one first"};
  // The call lasts as long as the blinking, or fails at once.
  const auto done = std::make_shared<std::promise<int>>();
  auto result = done->get_future();
  std::thread([netdev, seconds, done] {
    ethtool_value request{ETHTOOL_PHYS_ID, seconds};
    const int failed = ethtool(netdev, &request);
    blinking = false;
    done->set_value(failed);
  }).detach();
  if (result.wait_for(std::chrono::milliseconds(200)) != std::future_status::ready) return {};
  const int failed = result.get();
  if (failed == 0) return {};
  return Error{ErrorCode::kConflict, "",
               failed == EOPNOTSUPP ? "the driver " + driver_of(netdev) + " has no light to blink with"
                                    : std::string("cannot blink: ") + std::strerror(failed)};
}

uint32_t speed_of(const std::string& netdev) {
  // Not out of /sys, which may be that of another network namespace.
  ethtool_cmd link{};
  link.cmd = ETHTOOL_GSET;
  if (ethtool(netdev, &link) != 0) return 0;
  const uint32_t speed = ethtool_cmd_speed(&link);
  return speed == static_cast<uint32_t>(SPEED_UNKNOWN) ? 0 : speed;
}

ModuleWatch::ModuleWatch() : thread_([this] { run(); }) {}

ModuleWatch::~ModuleWatch() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ending_.notify_all();
  thread_.join();
}

void ModuleWatch::run() {
  constexpr auto kEvery = std::chrono::seconds(5);
  for (std::unique_lock lock(mutex_); !end_; ending_.wait_for(lock, kEvery, [this] { return end_; })) {
    lock.unlock();
    std::map<std::string, Module> now;
    if (const auto links = list_links())
      for (const auto& link : *links)
        if (!link.pci.empty() && !link.stacked) now[link.netdev] = read_module(link.netdev);
    lock.lock();
    modules_ = std::move(now);
  }
}

Module ModuleWatch::of(const std::string& netdev) const {
  const std::lock_guard lock(mutex_);
  const auto found = modules_.find(netdev);
  return found == modules_.end() ? Module{} : found->second;
}

}  // namespace sluice::system
