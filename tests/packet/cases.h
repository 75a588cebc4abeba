// Packets of every protocol that the parser knows, alone and in each other, as the builder makes and records them.
#pragma once

#include <string>
#include <vector>

#include "tests/builders/packet_builder.h"

namespace sluice::test {

struct Case {
  std::string name;  ///< unique
  Packet packet;
};

/// All cases, always in the same order.
[[nodiscard]] const std::vector<Case>& parse_cases();

}  // namespace sluice::test
