// Every input that a fuzzer once learned from runs through its target in every build.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/fuzz/targets.h"

using namespace sluice;

TEST_CASE("fuzz: every input of every corpus goes through its parser") {
  const std::pair<const char*, void (*)(fuzz::Bytes)> targets[] = {{"fuzz-parse", fuzz::parse},     {"fuzz-capture", fuzz::capture},
                                                                   {"fuzz-config", fuzz::config},   {"fuzz-target", fuzz::target},
                                                                   {"fuzz-control", fuzz::control}, {"fuzz-management", fuzz::management}};
  for (const auto& target : targets) {
    const char* name = target.first;
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(SLUICE_CORPUS) / name)) {
      CAPTURE(entry.path().string());
      std::ifstream file(entry.path(), std::ios::binary);
      const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
      target.second(std::as_bytes(std::span(bytes)));
      ++count;
    }
    CHECK_MESSAGE(count > 0, name, " has no corpus");
  }
}
