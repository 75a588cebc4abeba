// A database in a folder of the test's own, and a data plane that says yes.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "config/data_plane.h"
#include "config/transaction.h"

namespace sluice::test {

/// Gone when it ends.
struct Folder {
  inline static int made = 0;
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("sluice-store-" + std::to_string(getpid()) + "-" + std::to_string(made++));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
};

/// Says yes, or no where a test tells it to.
struct Plane final : config::DataPlane {
  std::optional<Error> prepare_error, publish_error;
  std::function<bool(const v1::Config&)> refuses = [](const v1::Config&) { return false; };
  uint64_t published = 0;
  config::Purpose purpose{};  ///< of the last preparation
  std::string bytes;          ///< of its configuration
  Result<v1::Prepared> prepare(uint64_t, const std::string& given, config::Purpose wanted) override {
    purpose = wanted, bytes = given;
    v1::Config config;
    config.ParseFromString(bytes);
    if (refuses(config)) return Error{ErrorCode::kInvalid, "maps[0]", "is refused by the test"};
    return prepare_error ? Result<v1::Prepared>(*prepare_error) : v1::Prepared();
  }
  Result<void> publish(uint64_t revision) override {
    if (publish_error) return *publish_error;
    published = revision;
    return {};
  }
};

/// A store on disk and a configuration on it; restart() is another life of the daemon.
struct Appliance {
  Folder folder;
  std::string path = (folder.path / "s.sqlite").string();
  Plane plane;
  std::unique_ptr<config::Store> store;
  std::unique_ptr<config::Configuration> configuration;

  Appliance() { restart(); }
  void restart() {
    configuration.reset();
    store.reset();
    auto opened = config::Store::open(path);
    REQUIRE_MESSAGE(opened, opened.error().message);
    store = std::move(*opened);
    configuration = std::make_unique<config::Configuration>(*store, plane);
    const auto loaded = configuration->load();
    REQUIRE_MESSAGE(loaded, loaded.error().message);
  }
};

}  // namespace sluice::test
