#include "compile/availability.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <array>
#include <string>

#include "sluice/v1/options.pb.h"

namespace sluice::compile {
namespace {

namespace pb = google::protobuf;

constexpr std::array kUnavailable{
    Unavailable{"ports.link", "settings of the link"},
    Unavailable{"ports.ingress.terminate", "tunnels that end at a port"},
    Unavailable{"ports.ingress.strip", "stripping of headers"},
    Unavailable{"ports.ingress.label", "labels"},
    Unavailable{"ports.egress.operations", "operations at a port's egress"},
    Unavailable{"ports.ip", "IP addresses on ports"},
    Unavailable{"tool_groups.health.heartbeat", "heartbeats through a tool"},
    Unavailable{"tool_groups.health.probe", "probing of tools"},
    Unavailable{"maps.destinations.tunnel", "tunnels as destinations"},
    Unavailable{"maps.destinations.recorder", "the recorder"},
    Unavailable{"maps.destinations.operations.sample", "sampling"},
    Unavailable{"maps.destinations.operations.flow_slice", "flow slicing"},
    Unavailable{"maps.destinations.operations.strip", "stripping of headers"},
    Unavailable{"maps.destinations.operations.mask", "masking"},
    Unavailable{"maps.destinations.operations.anonymise", "anonymising"},
    Unavailable{"maps.destinations.operations.vlan_label", "VLAN labels"},
    Unavailable{"maps.destinations.operations.trailer", "trailers"},
    Unavailable{"maps.destinations.operations.encapsulate", "tunnels as destinations"},
    Unavailable{"maps.destinations.profile", "operation profiles"},
    Unavailable{"maps.schedule", "schedules"},
    Unavailable{"tenants.ports", "tenants"},
};

const Unavailable* find(std::string_view field) {
  const auto found = std::find_if(kUnavailable.begin(), kUnavailable.end(), [field](const auto& u) { return u.field == field; });
  return found == kUnavailable.end() ? nullptr : &*found;
}

/// Whether something inside this field is: of 16,384 rules nothing need be looked at.
bool is_any_within(const std::string& field) {
  return std::any_of(kUnavailable.begin(), kUnavailable.end(),
                     [prefix = field + "."](const auto& u) { return u.field.starts_with(prefix); });
}

Error refusal(const Unavailable& entry, const std::string& path) {
  return {ErrorCode::kNotAvailable, path, std::string(entry.what) + " is not available in this version; leave the field out"};
}

/// A scalar with presence that holds its declared default.
bool at_default(const pb::Message& message, const pb::FieldDescriptor& field) {
  const auto& limits = field.options().GetExtension(v1::limits);
  if (!limits.has_default_value() || field.is_repeated()) return false;
  const auto* r = message.GetReflection();
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_BOOL: return (r->GetBool(message, &field) ? "true" : "false") == limits.default_value();
    case pb::FieldDescriptor::CPPTYPE_UINT32: return std::to_string(r->GetUInt32(message, &field)) == limits.default_value();
    case pb::FieldDescriptor::CPPTYPE_ENUM: return r->GetEnum(message, &field)->name() == limits.default_value();
    default: return false;
  }
}

Result<void> check(const pb::Message& message, const std::string& generic, const std::string& path) {
  const auto* r = message.GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  r->ListFields(message, &fields);
  for (const auto* field : fields) {
    const std::string name = generic.empty() ? field->name() : generic + "." + field->name();
    const std::string base = path.empty() ? field->name() : path + "." + field->name();
    if (at_default(message, *field)) continue;
    const bool within = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE && !field->is_map() && is_any_within(name);
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE && !within && !find(name)) continue;
    const int count = field->is_repeated() ? r->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const std::string here = field->is_repeated() ? base + "[" + std::to_string(i) + "]" : base;
      if (const auto* entry = find(name)) return refusal(*entry, field->is_repeated() ? here : base);
      if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM) {
        const auto* value = field->is_repeated() ? r->GetRepeatedEnum(message, field, i) : r->GetEnum(message, field);
        if (const auto* entry = find(name + ":" + value->name())) return refusal(*entry, here);
      }
      if (!within) continue;
      const auto& inner = field->is_repeated() ? r->GetRepeatedMessage(message, field, i) : r->GetMessage(message, field);
      if (auto result = check(inner, name, here); !result) return result;
    }
  }
  return {};
}

}  // namespace

std::span<const Unavailable> unavailable() { return kUnavailable; }

Result<void> check_available(const v1::Config& config) { return check(config, "", ""); }

}  // namespace sluice::compile
