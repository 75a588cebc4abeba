// libFuzzer's entry into one target.
#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  sluice::fuzz::SLUICE_TARGET({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
