#include <google/protobuf/stubs/logging.h>

#include <cstdlib>

#include "compile/compile.h"
#include "sluice/v1/control.pb.h"
#include "tests/fuzz/targets.h"

void sluice::fuzz::control(Bytes bytes) {
  [[maybe_unused]] static const auto noisy = google::protobuf::SetLogHandler(nullptr);  // a line for every bad string
  v1::ControlRequest request;
  v1::Config config;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !config.ParseFromString(request.prepare().config())) return;
  compile::Compiler compiler;
  const auto first = compiler.compile(config, request.prepare().revision(), request.prepare().config());
  const auto known = compiler.compile(config, request.prepare().revision(), request.prepare().config());
  if (static_cast<bool>(first) != static_cast<bool>(known)) std::abort();  // of what is the same all is known
}
