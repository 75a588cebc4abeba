// A configuration as JSON, compiled, for programs that are no unit tests: what is wrong with it ends them.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "compile/compile.h"
#include "config/proto_json.h"
#include "config/resources.h"

namespace sluice::test {

inline compile::Compiled compile_json(const std::string& json) {
  v1::Config config;
  uint64_t next = 0;
  compile::Compiler compiler;
  if (!config::from_json(json, config) || !config::complete(config, {}, [&next] { return "b-" + std::to_string(++next); })) std::abort();
  auto compiled = compiler.compile(config, 1);
  if (!compiled) {
    std::fprintf(stderr, "%s: %s\n", compiled.error().field_path.c_str(), compiled.error().message.c_str());
    std::abort();
  }
  return std::move(*compiled);
}

}  // namespace sluice::test
