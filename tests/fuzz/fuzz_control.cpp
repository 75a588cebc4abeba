#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/stubs/logging.h>

#include <cstdlib>

#include "compile/compile.h"
#include "sluice/v1/control.pb.h"
#include "tests/fuzz/targets.h"

void sluice::fuzz::control(Bytes bytes) {
  [[maybe_unused]] static const auto noisy = google::protobuf::SetLogHandler(nullptr);  // a line for every bad string
  v1::ControlRequest request;
  v1::Config config;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  compile::Compiler compiler;
  const auto first = compiler.compile(request.prepare().config(), 1);
  const auto known = compiler.compile(request.prepare().config(), 1);
  if (static_cast<bool>(first) != static_cast<bool>(known)) std::abort();  // of what is the same all is known
  // In one piece a part lies deeper.
  google::protobuf::io::CodedInputStream whole(reinterpret_cast<const uint8_t*>(request.prepare().config().data()),
                                               static_cast<int>(request.prepare().config().size()));
  whole.SetRecursionLimit(200);
  if (first && !config.ParseFromCodedStream(&whole)) std::abort();
}
