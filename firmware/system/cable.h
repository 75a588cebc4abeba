// What is plugged into a network device: the module, its light, and what somebody at the rack should look at next.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "base/result.h"

namespace sluice::system {

/// A pluggable module, as its EEPROM tells.
struct Module {
  enum class State : uint8_t {
    kUnknown,  ///< the driver does not tell: a fixed port, a virtual device
    kAbsent,
    kPresent,
  } state = State::kUnknown;
  std::string kind;    ///< "SFP", "QSFP"
  std::string vendor;  ///< printable, without the padding
  std::string part;
  bool copper = false;                 ///< a direct-attach cable: no light in it
  std::optional<uint32_t> light_0u1w;  ///< received power of the weakest lane, in 0.1 microwatts; none: it does not measure
};

/// From an EEPROM of one of the kernel's ETH_MODULE_ types; any bytes. Sources: SFF-8472 rev 12.4 (table 4-1, section 9.4.2), SFF-8636 rev
/// 2.11 (tables 6-7, 6-14).
[[nodiscard]] Module parse_module(uint32_t type, std::span<const std::byte> eeprom);
/// Reads it from the device; takes up to some tenths of a second. Any thread.
[[nodiscard]] Module read_module(const std::string& netdev);
/// "-3.2 dBm", "none", or "" where nobody measures.
[[nodiscard]] std::string light_of(const Module& module);

/// What an engineer sees, and does next.
struct Cable {
  const char* state;  ///< NO_MODULE, NO_LIGHT, LIGHT_NO_LINK, NO_LINK, NO_PACKETS, OK
  std::string next_step;
};
/// idle_seconds: how long no packet came on a port that should receive; none: it need not.
[[nodiscard]] Cable diagnose(const Module& module, bool carrier, std::optional<uint64_t> idle_seconds);
/// So long without a packet is worth a word.
inline constexpr uint64_t kIdleSeconds = 15;

/// Makes the device's light blink so that it is found in the rack; returns at once. Errors: the device can't, or blinks already.
[[nodiscard]] Result<void> blink(const std::string& netdev, uint32_t seconds);

/// Megabits a second; 0: no link, or not known.
[[nodiscard]] uint32_t speed_of(const std::string& netdev);

/// Reads the modules of all devices on PCI every five seconds, on a thread of its own: the bus to a module is slow.
class ModuleWatch {
 public:
  ModuleWatch();
  ~ModuleWatch();
  /// As it was read last. Any thread.
  [[nodiscard]] Module of(const std::string& netdev) const;

 private:
  void run();

  mutable std::mutex mutex_;
  std::condition_variable ending_;
  bool end_ = false;
  std::map<std::string, Module> modules_;
  std::thread thread_;
};

}  // namespace sluice::system
