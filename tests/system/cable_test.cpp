#include "system/cable.h"

#include <doctest/doctest.h>
#include <linux/ethtool.h>

#include <cstring>
#include <random>
#include <vector>

using namespace sluice;
using system::Module;

namespace {

/// An EEPROM as the standards lay it out, with what a test writes into it.
struct Eeprom {
  uint32_t type;
  std::vector<std::byte> bytes;
  Eeprom(uint32_t kind, std::size_t size) : type(kind), bytes(size) {}
  Eeprom& text(std::size_t at, const std::string& value) {
    for (std::size_t i = 0; i < 16; ++i) bytes[at + i] = static_cast<std::byte>(i < value.size() ? value[i] : ' ');
    return *this;
  }
  Eeprom& set(std::size_t at, unsigned value) {
    bytes[at] = static_cast<std::byte>(value);
    return *this;
  }
  Eeprom& power(std::size_t at, unsigned tenths_of_microwatts) {
    return set(at, tenths_of_microwatts >> 8).set(at + 1, tenths_of_microwatts & 255);
  }
  [[nodiscard]] Module parse() const { return system::parse_module(type, bytes); }
};

Eeprom sfp() { return Eeprom(ETH_MODULE_SFF_8472, 512).text(20, "ACME OPTICS").text(40, "SR-10G").set(92, 0x60); }
Eeprom qsfp() { return Eeprom(ETH_MODULE_SFF_8636, 256).text(148, "ACME").text(168, "LR4-100G"); }

}  // namespace

TEST_CASE("cable: no module, no light, light but no link, and link but no packets are told apart, each with what to do next") {
  const auto state = [](const Module& module, bool carrier, std::optional<uint64_t> idle = {}) {
    const auto cable = system::diagnose(module, carrier, idle);
    CHECK((std::string(cable.state) == "OK") == cable.next_step.empty());
    return std::string(cable.state);
  };
  Module absent;
  absent.state = Module::State::kAbsent;
  CHECK(state(absent, false) == "NO_MODULE");
  CHECK(state(sfp().power(360, 0).parse(), false) == "NO_LIGHT");
  CHECK(state(sfp().power(360, 9).parse(), false) == "NO_LIGHT");
  CHECK(state(sfp().power(360, 5000).parse(), false) == "LIGHT_NO_LINK");
  CHECK(system::diagnose(sfp().power(360, 5000).parse(), false, {}).next_step.find("-3.0 dBm") != std::string::npos);
  CHECK(state(sfp().set(8, 0x04).power(360, 0).parse(), false) == "NO_LINK");  // a copper cable has no light
  CHECK(state(Module{}, false) == "NO_LINK");
  CHECK(state(Module{}, true) == "OK");
  CHECK(state(Module{}, true, system::kIdleSeconds - 1) == "OK");
  CHECK(state(Module{}, true, system::kIdleSeconds) == "NO_PACKETS");
  CHECK(state(absent, true, 0) == "OK");  // a link is a link, whatever the driver says of the module
}

TEST_CASE("cable: modules tell vendor, part and light as SFF-8472 and SFF-8636 lay them out") {
  const auto small = sfp().power(360, 10000).parse();
  CHECK(small.kind == "SFP");
  CHECK(small.vendor == "ACME OPTICS");
  CHECK(small.part == "SR-10G");
  CHECK(system::light_of(small) == "0.0 dBm");
  CHECK_FALSE(sfp().set(92, 0).parse().light_0u1w);     // measures nothing
  CHECK_FALSE(sfp().set(92, 0x50).parse().light_0u1w);  // externally calibrated: not in microwatts
  CHECK(system::light_of(sfp().set(92, 0).parse()).empty());
  const auto large = qsfp().power(34, 5000).power(36, 4000).power(38, 1).power(40, 4000).parse();
  CHECK(large.kind == "QSFP");
  CHECK(large.vendor == "ACME");
  CHECK(system::light_of(large) == "none");  // one dark lane of four, and there is no link
  CHECK(qsfp().set(147, 0xA0).parse().copper);
  CHECK_FALSE(qsfp().set(147, 0x90).parse().copper);
}

TEST_CASE("cable: no EEPROM, of any kind, length or content, is read beyond its end or printed as it is") {
  const auto seed = std::random_device()();
  MESSAGE("seed ", seed);
  std::mt19937 rng(seed);
  for (const uint32_t type : {0U, 1U, 2U, 3U, 4U, 99U})
    for (std::size_t size = 0; size <= 512; size += 1 + rng() % 7) {
      std::vector<std::byte> bytes(size);
      for (auto& b : bytes) b = static_cast<std::byte>(rng());
      const auto module = system::parse_module(type, bytes);
      for (const auto& text : {module.vendor, module.part})
        for (const char c : text) CHECK((c >= ' ' && c <= '~'));
      (void)system::diagnose(module, false, {});
    }
}

TEST_CASE("cable: a device without a module or a light says so") {
  CHECK(system::read_module("lo").state == Module::State::kUnknown);
  CHECK(system::blink("lo", 1).error().code == ErrorCode::kConflict);
}
