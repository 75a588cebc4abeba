// From two accounts, a second apart, to rates.
#pragma once

#include "sluice/v1/api.pb.h"
#include "sluice/v1/status.pb.h"

namespace sluice::api {

/// Of everything that is in both, per second. after: read interval_ns later, of the same epoch.
[[nodiscard]] v1::Rates rates_between(const v1::Ledger& before, const v1::Ledger& after, uint64_t interval_ns);

}  // namespace sluice::api
