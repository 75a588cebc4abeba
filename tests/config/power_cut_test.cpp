#include <doctest/doctest.h>

#include "config/resources.h"
#include "tests/builders/failing_disk.h"
#include "tests/builders/store.h"

using namespace sluice;
using test::Fault;

namespace {

/// One revision that puts the same number into two resources and makes a third: half of it would be seen.
config::Configuration::Edit write_number(unsigned n) {
  return [n](v1::Config& c) -> Result<void> {
    for (const char* name : {"a", "b"}) {
      int i = config::find(c, config::find_collection("ports"), name);
      if (i < 0) {
        i = c.ports_size();
        c.add_ports()->set_name(name);
        c.mutable_ports(i)->set_role(v1::PortRole::TOOL);
      }
      c.mutable_ports(i)->set_comment(std::to_string(n) + std::string(900, '.'));  // more than fits a page together
    }
    c.mutable_system()->set_name(std::to_string(n));
    return {};
  };
}

constexpr unsigned kChanges = 6;

/// What is stored, as the number that all three places agree on.
unsigned stored_number(test::Appliance& a) {
  const auto config = a.configuration->view().config;
  CHECK(a.configuration->faults().empty());
  if (config.ports_size() == 0) return 0;
  REQUIRE(config.ports_size() == 2);
  const auto number = static_cast<unsigned>(std::stoul(config.system().name()));
  for (const auto& port : config.ports()) CHECK(std::stoul(port.comment()) == number);
  return number;
}

/// Writes, with the fault at that operation. Returns how many operations there were.
unsigned suffer(Fault fault, unsigned operation) {
  test::Appliance a;
  a.configuration.reset();
  a.store.reset();
  unsigned acknowledged = 0, made = 0, tried = 0, operations = 0;
  {
    test::FailingDisk disk;
    a.restart();
    disk.arm(fault, operation);
    for (unsigned n = 1; n <= kChanges; ++n) {
      tried = n;
      if (a.configuration->change({"ann", ""}, write_number(n),
                                  {.dry_run = false, .confirm_s = n == 1 ? std::optional<uint32_t>(3600) : std::nullopt}))
        acknowledged = n, ++made;
      else if (fault != Fault::kError) break;
    }
    operations = disk.operations();
    a.configuration.reset();
    a.store.reset();
  }
  CAPTURE(operation);
  a.restart();
  const unsigned found = stored_number(a);
  if (fault == Fault::kError) {
    CHECK(found == acknowledged);  // a disk that is well again loses nothing, and keeps nothing of what it refused
    CHECK(acknowledged >= kChanges - 1);
  } else {
    CHECK((found == acknowledged || found == tried));
  }
  CHECK(*a.store->newest() == (fault == Fault::kError ? made : found));  // a refused change takes no number
  // And it goes on from there.
  REQUIRE(a.configuration->change({"bob", ""}, write_number(99)));
  a.restart();
  CHECK(stored_number(a) == 99);
  return operations;
}

void suffer_everywhere(Fault fault) {
  unsigned operation = 0;
  while (suffer(fault, operation) > operation) ++operation;  // until it is beyond the last
  CHECK(operation > 3 * kChanges);
}

}  // namespace

TEST_CASE("power cut: at every write and every sync, what was acknowledged is there and the rest is whole or absent") {
  suffer_everywhere(Fault::kCut);
}

TEST_CASE("power cut: nor does a torn write leave half a revision") { suffer_everywhere(Fault::kTear); }

TEST_CASE("disk: a write or a sync that fails refuses its change, and the next one is taken") { suffer_everywhere(Fault::kError); }
