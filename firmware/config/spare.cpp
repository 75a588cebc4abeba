#include "config/spare.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "base/wire.h"

namespace sluice::config {
namespace {

namespace pb = google::protobuf;

/// Rules at the beginning and the end that are the same stay.
void make_equal(v1::Map& out, std::string_view was, const v1::Map& wanted, std::string_view is) {
  if (was == is) return;
  const auto before = wire_fields(was, v1::Map::kRulesFieldNumber), now = wire_fields(is, v1::Map::kRulesFieldNumber);
  const std::size_t shorter = std::min(before.size(), now.size());
  std::size_t head = 0, tail = 0;
  while (head < shorter && before[head] == now[head]) ++head;
  while (tail < shorter - head && before[before.size() - 1 - tail] == now[now.size() - 1 - tail]) ++tail;
  pb::RepeatedPtrField<v1::Rule> rules;
  rules.Swap(out.mutable_rules());
  const std::string rest = without_wire_fields(is, v1::Map::kRulesFieldNumber);
  if (static_cast<std::size_t>(rules.size()) != before.size() || !out.ParseFromString(rest)) return out.CopyFrom(wanted);  // not its bytes
  rules.DeleteSubrange(static_cast<int>(head), static_cast<int>(before.size() - tail - head));
  for (std::size_t i = head; i < now.size() - tail; ++i) *rules.Add() = wanted.rules(static_cast<int>(i));
  const auto added = static_cast<std::ptrdiff_t>(now.size() - tail - head);
  std::rotate(rules.pointer_begin() + static_cast<std::ptrdiff_t>(head), rules.pointer_end() - added, rules.pointer_end());
  rules.Swap(out.mutable_rules());
}

/// All but the maps. Every field of a configuration is a message or a list of messages.
void copy_others(const v1::Config& from, v1::Config& to) {
  const auto* r = from.GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  r->ListFields(from, &fields);
  for (const auto* field : fields) {
    if (field->number() == v1::Config::kMapsFieldNumber) continue;
    if (!field->is_repeated()) r->MutableMessage(&to, field)->CopyFrom(r->GetMessage(from, field));
    for (int i = 0; field->is_repeated() && i < r->FieldSize(from, field); ++i)
      r->AddMessage(&to, field)->CopyFrom(r->GetRepeatedMessage(from, field, i));
  }
}

}  // namespace

void make_equal(v1::Config& out, const MapBytes& was, const v1::Config& wanted, const MapBytes& is) {
  pb::RepeatedPtrField<v1::Map> maps;
  maps.Swap(out.mutable_maps());
  out.Clear();
  copy_others(wanted, out);
  std::unordered_map<std::string_view, v1::Map*> by_id;
  for (v1::Map& map : maps) by_id.emplace(map.id(), &map);
  for (const v1::Map& map : wanted.maps()) {
    v1::Map& to = *out.add_maps();
    const auto old = by_id.find(map.id());
    const auto old_bytes = was.find(map.id()), bytes = is.find(map.id());
    if (old == by_id.end() || old_bytes == was.end() || bytes == is.end()) {
      to = map;
      continue;
    }
    to.Swap(old->second);
    by_id.erase(old);
    make_equal(to, old_bytes->second, map, bytes->second);
  }
}

struct Spares::Returns {
  std::mutex mutex;
  const v1::Config* wanted = nullptr;
  std::unique_ptr<v1::Config> returned;
};

std::shared_ptr<const v1::Config> Spares::share(v1::Config config) {
  if (!returns_) returns_ = std::make_shared<Returns>();
  return {new v1::Config(std::move(config)), [returns = returns_](const v1::Config* last) {
            // Whose it is again; until here nobody but readers had it.
            std::unique_ptr<v1::Config> owned(const_cast<v1::Config*>(last));
            const std::lock_guard lock(returns->mutex);
            if (last == returns->wanted) returns->returned = std::move(owned);
          }};
}

std::unique_ptr<v1::Config> Spares::take_back(std::shared_ptr<const v1::Config> config) {
  if (!returns_) return nullptr;
  {
    const std::lock_guard lock(returns_->mutex);
    returns_->wanted = config.get();
  }
  config.reset();
  const std::lock_guard lock(returns_->mutex);
  returns_->wanted = nullptr;
  return std::move(returns_->returned);
}

}  // namespace sluice::config
