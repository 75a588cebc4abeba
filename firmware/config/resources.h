// The resources of a Config by name and by id, generically: every collection works the same way, so that the API, the store and the
// references need no list of them by hand.
#pragma once

#include <google/protobuf/descriptor.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/changed_rules.h"
#include "sluice/v1/config.pb.h"
#include "sluice/v1/options.pb.h"

namespace sluice::config {

/// A repeated resource field of Config: "ports", "maps" ...
using Collection = const google::protobuf::FieldDescriptor*;

[[nodiscard]] const std::vector<Collection>& collections();
/// Who may do what: its resources are for admins to change.
[[nodiscard]] bool is_about_people(Collection collection);
/// Null if there is none of this name.
[[nodiscard]] Collection find_collection(const std::string& name);
/// "tool group" for "tool_groups": one of them, in words.
[[nodiscard]] std::string singular(Collection collection);

[[nodiscard]] int count(const v1::Config& config, Collection collection);
[[nodiscard]] const google::protobuf::Message& resource(const v1::Config& config, Collection collection, int index);
[[nodiscard]] google::protobuf::Message& mutable_resource(v1::Config& config, Collection collection, int index);
/// The others keep their order.
void remove_resource(v1::Config& config, Collection collection, int index);
/// Binary Protobuf. Labels are a Protobuf map, whose order in bytes is free: here it is not, so that equal messages are equal bytes.
[[nodiscard]] std::string bytes_of(const google::protobuf::Message& message);
[[nodiscard]] std::string id_of(const google::protobuf::Message& resource);
[[nodiscard]] std::string name_of(const google::protobuf::Message& resource);
/// Position of the resource with this name or id; -1 if there is none.
[[nodiscard]] int find(const v1::Config& config, Collection collection, const std::string& name_or_id);

/// Of a repeated field with a default: its values.
[[nodiscard]] std::vector<std::string> values_of_default(const v1::FieldLimits& limits);
/// The limits that the proto states for a field.
[[nodiscard]] const v1::FieldLimits& limits_of(const google::protobuf::FieldDescriptor& field);

/// Fills in what a client may leave out, where it has a default.
void fill_defaults(google::protobuf::Message& message, const ChangedRules& changed = {});

/// Makes a new id: a random UUID (RFC 9562 version 4).
[[nodiscard]] std::string new_id();

/// Fills in what a client may leave out: defaults, and ids. A resource takes over the id of its namesake in `before`, a rule that of
/// an equal rule of the same map. `before`, valid and complete, references by name or id, is the authority on ids: a resource with another
/// id is refused, of a rule it is taken away.
/// Then turns references by name (or id) into ids. Rules that are not among `changed` are those of `before`, and nobody else gets their
/// ids. Errors name the reference that leads nowhere, or the id.
[[nodiscard]] Result<void> complete(v1::Config& config, const v1::Config& before, const std::function<std::string()>& make_id = new_id,
                                    const ChangedRules& changed = {});

/// Whether a rule may have a reference: to look for it in 16,384 that have none takes long.
[[nodiscard]] bool may_refer(const v1::Rule& rule);
/// Whether what rules may refer to has the same names and ids in both.
[[nodiscard]] bool rules_refer_alike(const v1::Config& a, const v1::Config& b);

/// Whether every reference, by id, leads to a resource. Errors: the first that does not, by its path.
[[nodiscard]] Result<void> check_references(const v1::Config& config);

/// The same configuration with references by name, as people read and write it; by id where two have that name.
[[nodiscard]] v1::Config with_names(v1::Config config);

/// Turns the references to this resource into references by its id, which complete() understands too: so that it can be renamed.
void refer_by_id(v1::Config& config, Collection collection, const std::string& name, const std::string& id);

/// Who refers to this resource: "maps/web-to-ids (sources.ports[0])". reference: its id, or its name where the configuration has names.
[[nodiscard]] std::vector<std::string> referrers(const v1::Config& config, Collection collection, const std::string& reference);

}  // namespace sluice::config
