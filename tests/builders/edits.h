// Small edits of a configuration, and what became of them.
#pragma once

#include <string>

#include "config/resources.h"
#include "config/transaction.h"

namespace sluice::test {

inline config::Configuration::Edit add_port(const std::string& name) {
  return [name](v1::Config& c) -> Result<void> {
    auto* port = c.add_ports();
    port->set_name(name);
    port->set_role(v1::PortRole::TOOL);
    return {};
  };
}

inline config::Configuration::Edit comment_on(const std::string& name, const std::string& comment) {
  return [name, comment](v1::Config& c) -> Result<void> {
    c.mutable_ports(config::find(c, config::find_collection("ports"), name))->set_comment(comment);
    return {};
  };
}

inline config::Configuration::Edit remove_port(const std::string& name) {
  return [name](v1::Config& c) -> Result<void> {
    config::remove_resource(c, config::find_collection("ports"), config::find(c, config::find_collection("ports"), name));
    return {};
  };
}

/// Of all ports, with their comments: "x=first y".
inline std::string names(const config::Configuration& configuration) {
  std::string out;
  const auto view = configuration.view();
  for (const auto& port : view.config.ports())
    out += (out.empty() ? "" : " ") + port.name() + (port.comment().empty() ? "" : "=" + port.comment());
  return out;
}

}  // namespace sluice::test
