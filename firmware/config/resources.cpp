#include "config/resources.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <sodium.h>

#include <array>
#include <map>
#include <set>
#include <sstream>
#include <string_view>
#include <unordered_set>

#include "config/field_path.h"

namespace sluice::config {
namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;
using pb::Message;

std::string text(const Message& m, const char* field) {
  const auto* f = m.GetDescriptor()->FindFieldByName(field);
  return f ? m.GetReflection()->GetString(m, f) : std::string();
}
void set_text(Message& m, const char* field, const std::string& value) {
  m.GetReflection()->SetString(&m, m.GetDescriptor()->FindFieldByName(field), value);
}

/// A field that is a reference, or a message with some inside.
struct Way {
  const FieldDescriptor* field;
  const std::vector<Way>* inside;  ///< null: a reference itself
};
using Ways = std::vector<Way>;

/// From a type to its references.
const Ways& ways_to_references(const pb::Descriptor* type) {
  using Known = std::map<const pb::Descriptor*, Ways>;
  static const Known known = [] {
    Known out;
    const std::function<bool(const pb::Descriptor*)> explore = [&](const pb::Descriptor* of) {
      if (const auto found = out.find(of); found != out.end()) return !found->second.empty();
      Ways& ways = out[of];
      for (int f = 0; f < of->field_count(); ++f) {
        const auto* field = of->field(f);
        if (limits_of(*field).has_refers_to()) ways.push_back({field, nullptr});
        else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_map() && explore(field->message_type()))
          ways.push_back({field, &out.at(field->message_type())});
      }
      return !ways.empty();
    };
    explore(v1::Config::descriptor());
    return out;
  }();
  return known.at(type);
}

/// Calls visit(message, field, index, path) -> Result<void> for every reference inside a message. index is -1 for a single field.
Result<void> for_references(Message& message, const Ways& ways, const FieldPath& path, const auto& visit) {
  const auto* r = message.GetReflection();
  for (const auto& [field, inside] : ways) {
    const int n = field->is_repeated() ? r->FieldSize(message, field) : r->HasField(message, field) ? 1 : 0;
    const bool are_rules = field->is_repeated() && field->message_type() == v1::Rule::descriptor();
    for (int i = 0; i < n; ++i) {
      if (are_rules && !may_refer(static_cast<const v1::Rule&>(r->GetRepeatedMessage(message, field, i)))) continue;
      const FieldPath here{&path, field, field->is_repeated() ? i : -1};
      if (!inside) {
        if (auto result = visit(message, *field, here.index, here); !result) return result;
      } else {
        auto& inner = field->is_repeated() ? *r->MutableRepeatedMessage(&message, field, i) : *r->MutableMessage(&message, field);
        if (auto result = for_references(inner, *inside, here, visit); !result) return result;
      }
    }
  }
  return {};
}
Result<void> for_references(Message& message, const auto& visit) {
  return for_references(message, ways_to_references(message.GetDescriptor()), {}, visit);
}

std::string get_reference(const Message& m, const FieldDescriptor& f, int i) {
  return i < 0 ? m.GetReflection()->GetString(m, &f) : m.GetReflection()->GetRepeatedString(m, &f, i);
}
void set_reference(Message& m, const FieldDescriptor& f, int i, const std::string& value) {
  if (i < 0) m.GetReflection()->SetString(&m, &f, value);
  else m.GetReflection()->SetRepeatedString(&m, &f, i, value);
}

Result<void> give_ids(v1::Config& config, const v1::Config& before, const std::function<std::string()>& make_id) {
  for (const auto* collection : collections()) {
    std::map<std::string, std::string> id_by_name;
    std::set<std::string> ids;
    for (int i = 0; i < count(before, collection); ++i) {
      id_by_name[name_of(resource(before, collection, i))] = id_of(resource(before, collection, i));
      ids.insert(id_of(resource(before, collection, i)));
    }
    std::set<std::string> taken;  // by a resource that says which it is: its former namesake is another one
    for (int i = 0; i < count(config, collection); ++i) taken.insert(id_of(resource(config, collection, i)));
    for (int i = 0; i < count(config, collection); ++i) {
      auto& m = mutable_resource(config, collection, i);
      const std::string given = text(m, "id");
      if (!given.empty() && !ids.contains(given))
        return Error{ErrorCode::kInvalid, collection->name() + "[" + std::to_string(i) + "].id",
                     "ids are made by the server; leave it out for a new " + singular(collection)};
      if (!given.empty()) continue;
      const auto namesake = id_by_name.find(name_of(m));
      set_text(m, "id", namesake != id_by_name.end() && !taken.contains(namesake->second) ? namesake->second : make_id());
    }
  }
  return {};
}

/// By collection and name, or id: the id.
using Ids = std::map<std::string, std::map<std::string, std::string>>;

Ids ids_of(const v1::Config& config) {
  Ids ids;
  for (const auto* collection : collections())
    for (int i = 0; i < count(config, collection); ++i) {
      const auto& m = resource(config, collection, i);
      ids[collection->name()][id_of(m)] = id_of(m);
      ids[collection->name()][name_of(m)] = id_of(m);
    }
  return ids;
}

/// References by name, or id, become those by id.
Result<void> refer_by_ids(Message& message, Ids& ids) {
  return for_references(message, [&ids](Message& m, const FieldDescriptor& f, int i, const FieldPath& path) -> Result<void> {
    const std::string given = get_reference(m, f, i);
    const std::string& target = limits_of(f).refers_to();
    const auto& known = ids[target];
    const auto id = known.find(given);
    if (given.empty() || id == known.end())
      return Error{ErrorCode::kInvalid, path.text(), "there is no " + singular(find_collection(target)) + " \"" + given + "\""};
    if (id->second != given) set_reference(m, f, i, id->second);
    return {};
  });
}

/// Rules have no name. One without an id that equals a rule of the map's former state is that rule.
void give_rule_ids(v1::Config& config, const v1::Config& before, const std::function<std::string()>& make_id, const ChangedRules& changed) {
  std::optional<Ids> former_ids;
  const auto* maps = find_collection("maps");
  for (int m = 0; m < config.maps_size(); ++m) {
    auto& map = *config.mutable_maps(m);
    const int former = find(before, maps, map.id());
    const auto window = changed.of_map(m).value_or(RuleWindow{0, former < 0 ? 0 : before.maps(former).rules_size(), map.rules_size()});
    std::unordered_set<std::string_view> known, taken;
    for (int i = window.begin; i < window.before_end; ++i) known.insert(before.maps(former).rules(i).id());
    for (int i = window.begin; i < window.end; ++i)
      if (auto& rule = *map.mutable_rules(i); !known.contains(rule.id()) || !taken.insert(rule.id()).second) rule.clear_id();
    // By their bytes, so that 16,384 rules are not compared with each other one by one. Rules hold no map field: the bytes are canonical.
    std::multimap<std::string, std::string> by_content;
    for (int i = window.begin; i < window.before_end; ++i) {
      const auto& was = before.maps(former).rules(i);
      if (taken.contains(was.id())) continue;
      v1::Rule rule = was;
      rule.clear_id();
      if (!former_ids) former_ids = ids_of(before);
      if (!refer_by_ids(rule, *former_ids)) continue;  // of a draft, whose filter a colleague removed: no rule of today's is like it
      by_content.emplace(rule.SerializeAsString(), was.id());
    }
    for (int i = window.begin; i < window.end; ++i) {
      auto& rule = *map.mutable_rules(i);
      if (!rule.id().empty()) continue;
      const auto equal = by_content.find(rule.SerializeAsString());
      if (equal == by_content.end()) {
        rule.set_id(make_id());
      } else {
        rule.set_id(equal->second);
        by_content.erase(equal);
      }
    }
  }
}

}  // namespace

const std::vector<Collection>& collections() {
  static const std::vector<Collection> all = [] {
    std::vector<Collection> found;
    const auto* type = v1::Config::descriptor();
    for (int f = 0; f < type->field_count(); ++f)
      if (type->field(f)->is_repeated()) found.push_back(type->field(f));
    return found;
  }();
  return all;
}

bool is_about_people(Collection collection) { return collection->name() == "tenants" || collection->name() == "grants"; }

Collection find_collection(const std::string& name) {
  for (const auto* c : collections())
    if (c->name() == name) return c;
  return nullptr;
}

std::string singular(Collection collection) {
  std::string word = collection->name();
  word.pop_back();
  for (char& c : word)
    if (c == '_') c = ' ';
  return word.starts_with("tap ") ? "TAP" + word.substr(3) : word;
}

int count(const v1::Config& config, Collection collection) { return config.GetReflection()->FieldSize(config, collection); }
const Message& resource(const v1::Config& config, Collection collection, int index) {
  return config.GetReflection()->GetRepeatedMessage(config, collection, index);
}
Message& mutable_resource(v1::Config& config, Collection collection, int index) {
  return *config.GetReflection()->MutableRepeatedMessage(&config, collection, index);
}
void remove_resource(v1::Config& config, Collection collection, int index) {
  const auto* r = config.GetReflection();
  for (int i = index; i + 1 < count(config, collection); ++i) r->SwapElements(&config, collection, i, i + 1);
  r->RemoveLast(&config, collection);
}
std::string bytes_of(const Message& message) {
  std::string out(message.ByteSizeLong(), '\0');
  pb::io::ArrayOutputStream stream(out.data(), static_cast<int>(out.size()));
  pb::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeWithCachedSizes(&coded);
  coded.Trim();
  return out;
}
std::string id_of(const Message& m) { return text(m, "id"); }
std::string name_of(const Message& m) { return text(m, "name"); }

int find(const v1::Config& config, Collection collection, const std::string& name_or_id) {
  for (int i = 0; i < count(config, collection); ++i) {
    const auto& m = resource(config, collection, i);
    if (!name_or_id.empty() && (name_of(m) == name_or_id || id_of(m) == name_or_id)) return i;
  }
  return -1;
}

namespace {

/// Of a type, the fields that fill_defaults() has to look at.
const std::vector<const FieldDescriptor*>& fields_to_fill(const pb::Descriptor* type) {
  thread_local std::map<const pb::Descriptor*, std::vector<const FieldDescriptor*>> known;
  const auto [entry, is_new] = known.try_emplace(type);
  if (is_new)
    for (int f = 0; f < type->field_count(); ++f) {
      const auto* field = type->field(f);
      const bool inside = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_map();
      if (inside || limits_of(*field).has_default_value()) entry->second.push_back(field);
    }
  return entry->second;
}

}  // namespace

void fill_defaults(Message& message, const ChangedRules& changed) {
  const auto* r = message.GetReflection();
  for (const auto* field : fields_to_fill(message.GetDescriptor())) {
    if (field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
      if (r->FieldSize(message, field) > 0) continue;
      for (const auto& value : values_of_default(limits_of(*field)))
        r->AddEnum(&message, field, field->enum_type()->FindValueByName(value));
      continue;
    }
    if (field->is_repeated()) {
      const auto [begin, end] = changed.range(message, *field, r->FieldSize(message, field));
      for (int i = begin; i < end; ++i) fill_defaults(*r->MutableRepeatedMessage(&message, field, i), changed);
      continue;
    }
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (r->HasField(message, field)) fill_defaults(*r->MutableMessage(&message, field), changed);
      continue;
    }
    if (r->HasField(message, field)) continue;
    const std::string& value = limits_of(*field).default_value();
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL: r->SetBool(&message, field, value == "true"); break;
      case FieldDescriptor::CPPTYPE_UINT32: r->SetUInt32(&message, field, static_cast<uint32_t>(std::stoul(value))); break;
      case FieldDescriptor::CPPTYPE_STRING: r->SetString(&message, field, value); break;
      case FieldDescriptor::CPPTYPE_ENUM: r->SetEnum(&message, field, field->enum_type()->FindValueByName(value)); break;
      default: break;
    }
  }
}

std::vector<std::string> values_of_default(const v1::FieldLimits& limits) {
  std::vector<std::string> out;
  std::stringstream text(limits.default_value());
  for (std::string value; std::getline(text, value, ',');) out.push_back(value);
  return out;
}

const v1::FieldLimits& limits_of(const FieldDescriptor& field) { return field.options().GetExtension(v1::limits); }

std::string new_id() {
  std::array<unsigned char, 16> b{};
  randombytes_buf(b.data(), b.size());
  b[6] = static_cast<unsigned char>((b[6] & 0x0FU) | 0x40U);
  b[8] = static_cast<unsigned char>((b[8] & 0x3FU) | 0x80U);
  std::array<char, 33> hex{};
  sodium_bin2hex(hex.data(), hex.size(), b.data(), b.size());
  const std::string h = hex.data();
  return h.substr(0, 8) + "-" + h.substr(8, 4) + "-" + h.substr(12, 4) + "-" + h.substr(16, 4) + "-" + h.substr(20);
}

Result<void> complete(v1::Config& config, const v1::Config& before, const std::function<std::string()>& make_id,
                      const ChangedRules& changed) {
  fill_defaults(config, changed);
  if (auto r = give_ids(config, before, make_id); !r) return r;
  Ids ids = ids_of(config);
  if (auto r = refer_by_ids(config, ids); !r) return r;
  give_rule_ids(config, before, make_id, changed);
  return {};
}

bool may_refer(const v1::Rule& rule) {
  if (rule.has_filter()) return true;  // an empty one leads nowhere, and is refused
  const v1::IpMatch& ip = rule.match().ip();
  return !ip.src_set().empty() || !ip.dst_set().empty() || !ip.addr_set().empty();
}

bool rules_refer_alike(const v1::Config& a, const v1::Config& b) {
  static const std::set<std::string> targets = [] {
    std::set<std::string> out;
    const std::function<void(const Ways&)> gather = [&](const Ways& ways) {
      for (const auto& [field, inside] : ways)
        if (!inside) out.insert(limits_of(*field).refers_to());
        else gather(*inside);
    };
    gather(ways_to_references(v1::Rule::descriptor()));
    return out;
  }();
  return std::all_of(targets.begin(), targets.end(), [&](const std::string& target) {
    const auto* collection = find_collection(target);
    const int n = count(a, collection);
    if (n != count(b, collection)) return false;
    for (int i = 0; i < n; ++i) {
      const auto &one = resource(a, collection, i), &other = resource(b, collection, i);
      if (id_of(one) != id_of(other) || name_of(one) != name_of(other)) return false;
    }
    return true;
  });
}

Result<void> check_references(const v1::Config& config) {
  std::map<std::string, std::set<std::string>> ids;
  for (const auto* collection : collections())
    for (int i = 0; i < count(config, collection); ++i) ids[collection->name()].insert(id_of(resource(config, collection, i)));
  v1::Config copy = config;  // for_references() may change what it visits
  return for_references(copy, [&](Message& m, const FieldDescriptor& f, int i, const FieldPath& path) -> Result<void> {
    const std::string& target = limits_of(f).refers_to();
    if (ids[target].contains(get_reference(m, f, i))) return {};
    return Error{ErrorCode::kInvalid, path.text(), "the " + singular(find_collection(target)) + " that it names is gone"};
  });
}

v1::Config with_names(v1::Config config) {
  std::map<std::string, std::string> names;  // ids are unique over all collections
  for (const auto* collection : collections()) {
    std::map<std::string, int> bearers;
    for (int i = 0; i < count(config, collection); ++i) ++bearers[name_of(resource(config, collection, i))];
    // Where two have one name (a draft beside what a colleague committed), only the id says which is meant.
    for (int i = 0; i < count(config, collection); ++i)
      if (bearers[name_of(resource(config, collection, i))] == 1)
        names[id_of(resource(config, collection, i))] = name_of(resource(config, collection, i));
  }
  (void)for_references(config, [&](Message& m, const FieldDescriptor& f, int i, const FieldPath&) -> Result<void> {
    if (const auto name = names.find(get_reference(m, f, i)); name != names.end()) set_reference(m, f, i, name->second);
    return {};
  });
  return config;
}

void refer_by_id(v1::Config& config, Collection collection, const std::string& name, const std::string& id) {
  (void)for_references(config, [&](Message& m, const FieldDescriptor& f, int i, const FieldPath&) -> Result<void> {
    if (limits_of(f).refers_to() == collection->name() && get_reference(m, f, i) == name) set_reference(m, f, i, id);
    return {};
  });
}

std::vector<std::string> referrers(const v1::Config& config, Collection collection, const std::string& reference) {
  std::vector<std::string> out;
  for (const auto* from : collections())
    for (int r = 0; r < count(config, from); ++r) {
      const std::unique_ptr<Message> copy(resource(config, from, r).New());
      copy->CopyFrom(resource(config, from, r));
      (void)for_references(*copy, [&](Message& m, const FieldDescriptor& f, int i, const FieldPath& path) -> Result<void> {
        if (limits_of(f).refers_to() == collection->name() && get_reference(m, f, i) == reference)
          out.push_back(from->name() + "/" + name_of(*copy) + " (" + path.text() + ")");
        return {};
      });
    }
  return out;
}

}  // namespace sluice::config
