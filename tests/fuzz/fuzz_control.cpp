#include <google/protobuf/stubs/logging.h>

#include "compile/compile.h"
#include "sluice/v1/control.pb.h"
#include "tests/fuzz/targets.h"

void sluice::fuzz::control(Bytes bytes) {
  [[maybe_unused]] static const auto noisy = google::protobuf::SetLogHandler(nullptr);  // a line for every bad string
  v1::ControlRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !request.has_prepare()) return;
  compile::Compiler compiler;
  (void)compiler.compile(request.prepare().config(), request.prepare().revision());
}
