#include "config/rows.h"

#include <google/protobuf/unknown_field_set.h>
#include <sodium.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/wire.h"
#include "config/order.h"
#include "config/resources.h"

namespace sluice::config {
namespace {

namespace pb = google::protobuf;

constexpr const char* kSystem = "system";

bool has_unknown_fields(const pb::Message& message) {
  const auto* r = message.GetReflection();
  if (!r->GetUnknownFields(message).empty()) return true;
  std::vector<const pb::FieldDescriptor*> fields;
  r->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    const int n = field->is_repeated() ? r->FieldSize(message, field) : 1;
    for (int i = 0; i < n; ++i)
      if (has_unknown_fields(field->is_repeated() ? r->GetRepeatedMessage(message, field, i) : r->GetMessage(message, field))) return true;
  }
  return false;
}

pb::Message* add_resource(v1::Config& config, const std::string& kind) {
  if (kind == kSystem) return config.mutable_system();
  const auto* collection = find_collection(kind);
  return collection ? config.GetReflection()->AddMessage(&config, collection) : nullptr;
}

}  // namespace

Rows rows_of(const v1::Config& config) { return rows_of(config, bytes_of(config)); }

Rows rows_of(const v1::Config& config, const std::string& bytes) {
  Rows rows;
  for (const auto system : wire_fields(bytes, v1::Config::kSystemFieldNumber)) rows[{kSystem, ""}] = {std::string(system), 0};
  for (const auto* collection : collections()) {
    int place = 0;
    for (const auto body : wire_fields(bytes, static_cast<uint32_t>(collection->number()))) {
      rows[{collection->name(), id_of(resource(config, collection, place))}] = {std::string(body), place};
      ++place;
    }
  }
  return rows;
}

Result<v1::Config> config_of(const Rows& rows) {
  std::vector<const Rows::value_type*> ordered;
  for (const auto& row : rows) ordered.push_back(&row);
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto* a, const auto* b) {
    return std::pair(a->first.first, a->second.position) < std::pair(b->first.first, b->second.position);
  });
  v1::Config config;
  for (const auto* row : ordered) {
    const auto& [kind, id] = row->first;
    auto* m = add_resource(config, kind);
    if (!m || !m->ParseFromString(row->second.body)) return Error{ErrorCode::kInternal, kind + "/" + id, "cannot be read"};
    if (has_unknown_fields(*m)) return Error{ErrorCode::kInternal, kind + "/" + id, "was written by a newer version of Sluice"};
  }
  return config;
}

void place_back(Rows& rows, const Rows& back) {
  std::map<std::string, std::vector<Key>> kinds, returning;  // by kind, in order
  const auto ordered = [](const Rows& of, std::map<std::string, std::vector<Key>>& out) {
    for (const auto& [key, row] : of) out[key.first].push_back(key);
    for (auto& [kind, keys] : out)
      std::stable_sort(keys.begin(), keys.end(), [&of](const Key& a, const Key& b) { return of.at(a).position < of.at(b).position; });
  };
  Rows staying = rows;
  for (const auto& [key, row] : back) staying.erase(key);
  ordered(staying, kinds);
  ordered(back, returning);
  for (const auto& [kind, keys] : returning) {
    auto& list = kinds[kind];
    for (const auto& key : keys) {
      const auto place = std::min<std::size_t>(static_cast<std::size_t>(back.at(key).position), list.size());
      list.insert(list.begin() + static_cast<std::ptrdiff_t>(place), key);
    }
  }
  for (const auto& [kind, keys] : kinds)
    for (std::size_t i = 0; i < keys.size(); ++i) rows[keys[i]].position = static_cast<int>(i);
}

Merged merge(Rows present, const std::vector<Change>& changes, Places places) {
  Merged out{std::move(present), {}};
  Rows back;
  std::set<std::string> follow;
  for (const auto& change : changes)
    if (places == Places::kAllTold && (!change.before || !change.after)) follow.insert(change.key.first);
  for (const auto& change : changes) {
    const auto now = out.rows.find(change.key);
    const auto is = [&](const std::optional<Row>& wanted) {
      return wanted ? now != out.rows.end() && now->second.body == wanted->body : now == out.rows.end();
    };
    const bool stays = change.before && change.after, there = now != out.rows.end();
    const bool same = stays && change.before->body == change.after->body;
    if (!same && !is(change.before) && !is(change.after)) out.conflicts.push_back(change);
    if (!change.after) {
      out.rows.erase(change.key);
    } else if (!there) {
      if (!same) out.rows[change.key] = back[change.key] = *change.after;
    } else {
      if (!same) now->second.body = change.after->body;
      if (stays && (places == Places::kMovesTold ? change.moved : same && !follow.contains(change.key.first)))
        back[change.key] = {now->second.body, change.after->position};
    }
  }
  place_back(out.rows, back);
  return out;
}

std::vector<Change> edits(const Rows& before, const Rows& after) {
  std::map<std::string, std::vector<std::pair<int, Key>>> staying;  // by kind, at their places before
  for (const auto& [key, row] : after)
    if (const auto was = before.find(key); was != before.end()) staying[key.first].emplace_back(row.position, key);
  std::set<Key> displaced;
  for (auto& [kind, keys] : staying) {
    std::sort(keys.begin(), keys.end());
    std::vector<int> order;
    std::map<int, Key> by_place;
    for (const auto& [place, key] : keys) order.push_back(before.at(key).position), by_place[before.at(key).position] = key;
    for (const int place : moved(order)) displaced.insert(by_place[place]);
  }
  std::vector<Change> out;
  for (const auto& [key, row] : after) {
    const auto was = before.find(key);
    Change change{key, was == before.end() ? std::optional<Row>() : was->second, row};
    change.moved = displaced.contains(key);
    if (!change.before || change.moved || change.before->body != row.body) out.push_back(std::move(change));
  }
  for (const auto& [key, row] : before)
    if (!after.contains(key)) out.push_back({key, row, std::nullopt});
  return out;
}

std::vector<Change> inverse(std::vector<Change> changes) {
  for (auto& change : changes) std::swap(change.before, change.after);
  return changes;
}

std::string titles(const std::vector<Change>& changes) {
  std::string out;
  for (const auto& change : changes)
    out += (out.empty() ? "" : ", ") + title(change.key, change.after ? change.after->body : change.before ? change.before->body : "");
  return out;
}

std::string digest(const Rows& rows) {
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, 32);
  const auto add = [&state](const std::string& text) {
    const uint64_t size = text.size();
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(&size), sizeof size);
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  };
  for (const auto& [key, row] : rows) {
    add(key.first);
    add(key.second);
    add(std::to_string(row.position));
    add(row.body);
  }
  std::string out(32, '\0');
  crypto_generichash_final(&state, reinterpret_cast<unsigned char*>(out.data()), out.size());
  return out;
}

std::string title(const Key& key, const std::string& body) {
  v1::Config scratch;
  auto* m = key.first == kSystem ? nullptr : add_resource(scratch, key.first);
  if (!m) return key.first;
  const bool read = m->ParseFromString(body);
  return key.first + "/" + (read && !name_of(*m).empty() ? name_of(*m) : key.second);
}

}  // namespace sluice::config
