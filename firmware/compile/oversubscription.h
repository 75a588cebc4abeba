// Tools that can be sent more than they take: told before a revision is in force, and no reason to refuse it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compile/compile.h"

namespace sluice::compile {

/// Bits per second that a port's link carries; 0: not known.
using LinkSpeed = std::function<uint64_t(const PortPlan&)>;

/// A warning for each tool port and tool group whose sources' links together carry more than its own, or than its rate limit. Ports whose
/// speed nobody knows carry nothing here; filters and rules are taken to pass everything.
[[nodiscard]] std::vector<std::string> oversubscriptions(const Compiled& compiled, const LinkSpeed& speed_of);

/// Of a tool port whose fullest queue had so many percent of what it may hold; empty: less than half of it was needed.
[[nodiscard]] std::string burst_warning(unsigned fullest);

}  // namespace sluice::compile
