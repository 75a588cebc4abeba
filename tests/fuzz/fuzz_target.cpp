#include <string_view>

#include "api/http.h"
#include "tests/fuzz/targets.h"

void sluice::fuzz::target(Bytes bytes) { (void)api::parse_target({reinterpret_cast<const char*>(bytes.data()), bytes.size()}); }
