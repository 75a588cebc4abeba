#include <cstdlib>
#include <string_view>

#include "compile/compile.h"
#include "config/proto_json.h"
#include "config/resources.h"
#include "config/validate.h"
#include "tests/fuzz/targets.h"

void sluice::fuzz::config(Bytes bytes) {
  v1::Config config;
  if (!config::from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, config)) return;
  v1::Config again;
  if (!config::from_json(config::to_json(config), again)) std::abort();  // what we write we can read
  uint64_t next = 0;
  if (!config::complete(config, {}, [&next] { return "f-" + std::to_string(++next); })) return;
  if (!config::validate(config)) return;
  compile::Compiler compiler;
  (void)compiler.compile(config, 1);
}
