#include "config/diff.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>

#include "config/order.h"
#include "config/proto_json.h"
#include "config/resources.h"

namespace sluice::config {
namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;
using pb::Message;

class FieldChanges {
 public:
  /// rules: of a map, those that can differ.
  explicit FieldChanges(v1::ResourceChange& out, std::optional<RuleWindow> rules = {}) : out_(out), rules_(rules) {}

  void compare(const Message& a, const Message& b, const std::string& path) {
    const auto* type = a.GetDescriptor();
    for (int f = 0; f < type->field_count(); ++f) {
      const auto& field = *type->field(f);
      const std::string here = path.empty() ? field.name() : path + "." + field.name();
      if (field.is_map()) compare_labels(a, b, field, here);
      else if (field.is_repeated()) compare_lists(a, b, field, here);
      else compare_single(a, b, field, here);
    }
  }

  void add(const std::string& path, const std::string* before, const std::string* after) {
    if (out_.fields_size() >= kMostFieldChanges) return out_.set_more_fields(out_.more_fields() + 1);
    auto& change = *out_.add_fields();
    change.set_path(path);
    if (before) change.set_before(*before);
    if (after) change.set_after(*after);
  }

 private:
  void compare_single(const Message& a, const Message& b, const FieldDescriptor& field, const std::string& path) {
    const auto* r = a.GetReflection();
    const bool has_a = !field.has_presence() || r->HasField(a, &field), has_b = !field.has_presence() || r->HasField(b, &field);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && has_a && has_b)
      return compare(r->GetMessage(a, &field), r->GetMessage(b, &field), path);
    const std::string was = has_a ? to_json(a, field) : "", is = has_b ? to_json(b, field) : "";
    if (was != is) add(path, has_a ? &was : nullptr, has_b ? &is : nullptr);
  }

  void compare_labels(const Message& a, const Message& b, const FieldDescriptor& field, const std::string& path) {
    const auto read = [&field](const Message& m) {
      std::map<std::string, std::string> out;
      const auto* r = m.GetReflection();
      for (int i = 0; i < r->FieldSize(m, &field); ++i) {
        const auto& pair = r->GetRepeatedMessage(m, &field, i);
        out[pair.GetReflection()->GetString(pair, field.message_type()->map_key())] = to_json(pair, *field.message_type()->map_value());
      }
      return out;
    };
    compare_sets(read(a), read(b), [&path](const std::string& key) { return path + "." + key; });
  }

  /// Both by key; a key in one of them alone came or went.
  template <class Path>
  void compare_sets(const std::map<std::string, std::string>& a, const std::map<std::string, std::string>& b, Path&& path) {
    for (const auto& [key, value] : a) {
      const auto other = b.find(key);
      if (other == b.end()) add(path(key), &value, nullptr);
      else if (other->second != value) add(path(key), &value, &other->second);
    }
    for (const auto& [key, value] : b)
      if (!a.contains(key)) add(path(key), nullptr, &value);
  }

  void compare_lists(const Message& a, const Message& b, const FieldDescriptor& field, const std::string& path) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (field.message_type()->FindFieldByName("id")) return compare_by_id(a, b, field, path);
      return compare_by_index(a, b, field, path);
    }
    const auto read = [&field](const Message& m) {
      std::vector<std::string> out;
      for (int i = 0; i < m.GetReflection()->FieldSize(m, &field); ++i) out.push_back(to_json(m, field, i));
      return out;
    };
    const auto was = read(a), is = read(b);
    const std::set<std::string> before(was.begin(), was.end()), after(is.begin(), is.end());
    for (const auto& value : before)
      if (!after.contains(value)) add(path, &value, nullptr);
    for (const auto& value : after)
      if (!before.contains(value)) add(path, nullptr, &value);
    if (before == after && was != is) {  // another order, or another number of the same
      const std::string from = list(was), to = list(is);
      add(path, &from, &to);
    }
  }

  static std::string list(const std::vector<std::string>& values) {
    std::string out;
    for (const auto& value : values) out += (out.empty() ? "[" : ",") + value;
    return out + "]";
  }

  void compare_by_index(const Message& a, const Message& b, const FieldDescriptor& field, const std::string& path) {
    const auto* r = a.GetReflection();
    const int n = r->FieldSize(a, &field), m = r->FieldSize(b, &field);
    for (int i = 0; i < std::max(n, m); ++i) {
      const std::string here = path + "[" + std::to_string(i) + "]";
      if (i < n && i < m) compare(r->GetRepeatedMessage(a, &field, i), r->GetRepeatedMessage(b, &field, i), here);
      else add_whole(i < n ? a : b, field, i, here, i >= n);
    }
  }

  void add_whole(const Message& m, const FieldDescriptor& field, int i, const std::string& path, bool came) {
    const std::string value = to_json(m, field, i);
    add(path, came ? nullptr : &value, came ? &value : nullptr);
  }

  void compare_by_id(const Message& a, const Message& b, const FieldDescriptor& field, const std::string& path) {
    const auto* r = a.GetReflection();
    const bool of_rules = rules_ && field.message_type() == v1::Rule::descriptor();
    const RuleWindow window = of_rules ? *rules_ : RuleWindow{0, r->FieldSize(a, &field), r->FieldSize(b, &field)};
    const auto ids_of = [&](const Message& m, int end) {
      const auto* id = field.message_type()->FindFieldByName("id");
      std::vector<std::string> ids;
      for (int i = window.begin; i < end; ++i) {
        const auto& one = r->GetRepeatedMessage(m, &field, i);
        ids.push_back(one.GetReflection()->GetString(one, id));
      }
      return ids;
    };
    const auto places_of = [&window](const std::vector<std::string>& ids) {
      std::unordered_map<std::string_view, int> places;
      for (std::size_t i = 0; i < ids.size(); ++i) places[ids[i]] = window.begin + static_cast<int>(i);
      return places;
    };
    const auto ids_a = ids_of(a, window.before_end), ids_b = ids_of(b, window.end);
    const auto was = places_of(ids_a), is = places_of(ids_b);
    std::vector<int> order;  // places in a, in the order of b, of what is in both
    for (const auto& id : ids_b)
      if (const auto found = was.find(id); found != was.end()) order.push_back(found->second);
    const auto displaced = moved(order);
    const auto place = [&path](const std::string& id) { return path + "[" + id + "]"; };
    for (int i = window.begin; i < window.before_end; ++i) {
      const std::string& id = ids_a[static_cast<std::size_t>(i - window.begin)];
      const auto found = is.find(id);
      if (found == is.end()) {
        add_whole(a, field, i, place(id), false);
        continue;
      }
      const auto& one = r->GetRepeatedMessage(a, &field, i);
      const auto& other = r->GetRepeatedMessage(b, &field, found->second);
      if (bytes_of(one) != bytes_of(other)) compare(one, other, place(id));
      const std::string from = std::to_string(i), to = std::to_string(found->second);
      if (displaced.contains(i)) add(place(id) + ".position", &from, &to);
    }
    for (int i = window.begin; i < window.end; ++i)
      if (const auto& id = ids_b[static_cast<std::size_t>(i - window.begin)]; !was.contains(id)) add_whole(b, field, i, place(id), true);
  }

  v1::ResourceChange& out_;
  std::optional<RuleWindow> rules_;
};

v1::ResourceChange describe(v1::ChangeAction::Value action, const std::string& collection, const Message& m) {
  v1::ResourceChange change;
  change.set_action(action);
  change.set_collection(collection);
  if (collection == "system") return change;
  change.set_id(id_of(m));
  change.set_name(name_of(m));
  return change;
}

void diff_collection(const v1::Config& before, const v1::Config& after, Collection collection, const ChangedRules& changed,
                     std::vector<v1::ResourceChange>& out) {
  const bool maps = collection->number() == v1::Config::kMapsFieldNumber;
  std::map<std::string, int> was, is;
  for (int i = 0; i < count(before, collection); ++i) was[id_of(resource(before, collection, i))] = i;
  std::vector<int> order;
  for (int i = 0; i < count(after, collection); ++i) {
    const std::string id = id_of(resource(after, collection, i));
    is[id] = i;
    if (const auto found = was.find(id); found != was.end()) order.push_back(found->second);
  }
  const auto displaced = moved(order);
  for (int i = 0; i < count(before, collection); ++i) {
    const auto& one = resource(before, collection, i);
    const auto found = is.find(id_of(one));
    if (found == is.end()) {
      auto change = describe(v1::ChangeAction::REMOVED, collection->name(), one);
      const std::string whole = to_json(one);
      FieldChanges(change).add("", &whole, nullptr);
      out.push_back(std::move(change));
      continue;
    }
    const auto& other = resource(after, collection, found->second);
    auto change = describe(v1::ChangeAction::CHANGED, collection->name(), other);
    const auto rules = maps ? changed.of_map(found->second) : std::nullopt;
    FieldChanges fields(change, rules);
    if (rules || bytes_of(one) != bytes_of(other)) fields.compare(one, other, "");
    const std::string from = std::to_string(i), to = std::to_string(found->second);
    if (displaced.contains(i)) fields.add("position", &from, &to);
    if (change.fields_size()) out.push_back(std::move(change));
  }
  for (int i = 0; i < count(after, collection); ++i) {
    const auto& one = resource(after, collection, i);
    if (was.contains(id_of(one))) continue;
    auto change = describe(v1::ChangeAction::ADDED, collection->name(), one);
    const std::string whole = to_json(one);
    FieldChanges(change).add("", nullptr, &whole);
    out.push_back(std::move(change));
  }
}

std::string shortened(const std::string& text) {
  constexpr std::size_t kMost = 160;
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // not within a character (RFC 3629)
  return text.substr(0, end) + " ...";
}

std::string title(const v1::ResourceChange& change) {
  const auto* collection = find_collection(change.collection());
  return collection ? singular(collection) + " " + change.name() : change.collection();
}

std::string sentence(const v1::FieldChange& field) {
  if (field.path() == "position" || field.path().ends_with(".position"))
    return field.path() + ": moved from " + field.before() + " to " + field.after();
  if (!field.has_before()) return field.path() + ": " + shortened(field.after()) + " added";
  if (!field.has_after()) return field.path() + ": " + shortened(field.before()) + " removed";
  return field.path() + ": " + shortened(field.before()) + " became " + shortened(field.after());
}

}  // namespace

std::vector<v1::ResourceChange> diff(const v1::Config& before, const v1::Config& after, const ChangedRules& changed) {
  std::vector<v1::ResourceChange> out;
  auto system = describe(v1::ChangeAction::CHANGED, "system", before.system());
  FieldChanges(system).compare(before.system(), after.system(), "");
  if (system.fields_size()) out.push_back(std::move(system));
  for (const auto* collection : collections()) diff_collection(before, after, collection, changed, out);
  return out;
}

std::vector<std::string> in_words(const std::vector<v1::ResourceChange>& changes) {
  std::vector<std::string> out;
  for (const auto& change : changes) {
    if (change.action() == v1::ChangeAction::ADDED) out.push_back(title(change) + " added");
    else if (change.action() == v1::ChangeAction::REMOVED) out.push_back(title(change) + " removed");
    else
      for (const auto& field : change.fields()) out.push_back(title(change) + ": " + sentence(field));
    if (change.more_fields()) out.push_back(title(change) + ": " + std::to_string(change.more_fields()) + " more");
  }
  return out;
}

std::vector<std::string> interrupted_ports(const std::vector<v1::ResourceChange>& changes) {
  static const std::set<std::string> kInterrupting{"role", "device", "mtu", "enabled", "busy_poll"};
  std::vector<std::string> out;
  for (const auto& change : changes) {
    if (change.collection() != "ports") continue;
    const bool interrupts =
        change.action() != v1::ChangeAction::CHANGED ||
        std::any_of(change.fields().begin(), change.fields().end(), [](const auto& field) { return kInterrupting.contains(field.path()); });
    if (interrupts && change.action() != v1::ChangeAction::ADDED) out.push_back(change.name());
  }
  return out;
}

}  // namespace sluice::config
