// No field of the model is silently ignored: each one either changes what is compiled, or is refused as not available, or is one of
// the few that only people read.
#include "compile/availability.h"

#include <doctest/doctest.h>
#include <google/protobuf/descriptor.h>

#include <map>
#include <set>
#include <sstream>

#include "tests/builders/broker.h"

using namespace sluice;
namespace pb = google::protobuf;

namespace {

const char* const kBase = R"({
  "ports": [{"name": "in1", "role": "NETWORK"}, {"name": "in2", "role": "NETWORK"}, {"name": "in3", "role": "NETWORK"}, {"name": "in4", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}, {"name": "t2", "role": "TOOL"}],
  "port_groups": [{"name": "pg", "ports": ["in2"]}, {"name": "pg2", "ports": ["in4"]}],
  "tap_pairs": [{"name": "tp", "a": "in2", "b": "in3"}],
  "tool_groups": [{"name": "tg", "members": [{"port": "t1"}, {"port": "t2"}], "hash": {}}, {"name": "tg2", "members": [{"port": "t2"}]}],
  "dedup_domains": [{"name": "dd", "ports": ["in2"]}],
  "address_sets": [{"name": "as", "entries": ["198.51.100.0/24"]}],
  "filters": [{"name": "f", "matches": [{"vlan": {"id": ["7"]}, "ip": {"src": ["10.0.0.0/8"]}}]}],
  "maps": [{"name": "m", "sources": {"ports": ["in1"], "port_groups": ["pg"], "tap_pairs": ["tp"]},
    "rules": [
      {"match": {"vlan": {"id": ["7"]}, "ip": {"src": ["10.0.0.0/8"]}, "l4": {}}, "action": "PASS"},
      {"match": {"ip": {"dst_set": "as"}}, "action": "PASS"}, {"filter": "f", "action": "PASS"}], "destinations": [{"port": "t1", "operations": {"slice": {"length": 64}, "rate_limit": "8000"}}, {"tool_group": "tg"}]}]})";

/// Fields that people read and the engine need not know.
const std::set<std::string> kForPeople = {"id", "name", "labels", "comment", "owner", "location", "contact"};

/// The compiled form in words; two configurations that behave alike may look alike, two that look alike behave alike.
std::string describe(const compile::Compiled& c) {
  std::ostringstream out;
  for (const auto& p : c.plan.ports)
    out << "port " << p.slot << ' ' << p.role << ' ' << p.device << ' ' << p.enabled << ' ' << p.mtu << ' ' << p.busy_poll << ' ' << p.buffer << '\n';
  for (const auto& s : c.snapshot->shapers)
    if (s) out << "shaped to " << s->rate() << '\n';
  for (const auto& g : c.snapshot->groups) {
    out << "group";
    for (const auto m : g.members) out << ' ' << m;
    for (unsigned b = 0; b < 8; ++b) out << ' ' << int{g.table->in_force()[b]};
    out << " by " << int{g.hash.fields} << g.hash.inner << " or " << static_cast<int>(g.failover) << '\n';
  }
  for (const auto& g : c.plan.groups) out << "heeds links " << g.by_link << ", reports " << g.by_report << ", warns above " << g.imbalance << '\n';
  for (const auto& d : c.snapshot->domains)
    out << "domain " << static_cast<int>(d.comparison.start) << ' ' << int{d.comparison.ignore} << ' ' << d.window_ns << '\n';
  for (const auto d : c.snapshot->domain_of) out << int{d} << ' ';
  for (const auto& m : c.snapshot->maps) {
    out << "map " << m.consume << m.collector;
    for (const auto& d : m.destinations)
      out << " -> " << d.port << '/' << d.group << '/' << d.slice.length << static_cast<int>(d.slice.after) << d.keeps_duplicates
          << static_cast<int>(d.priority) << (d.limit ? d.limit->rate() + d.limit->burst_ns() : 0) << (d.packet_limit ? d.packet_limit->rate() + d.packet_limit->burst_ns() : 0);
    out << '\n';
  }
  const std::function<void(const RuleMatch&)> match = [&](const RuleMatch& asked) {
    for (const auto& alternative : asked.alternatives) {
      out << " or";
      for (const auto& asks : alternative.criteria) {
        out << ' ' << int(asks.where.field) << asks.where.inner << int{asks.where.level} << '=';
        for (const auto* list : {&asks.values->numbers, &asks.values->ipv6})
          for (const auto& i : *list)
            out << uint64_t(i.from >> 64) << '.' << uint64_t(i.from) << '-' << uint64_t(i.to >> 64) << '.' << uint64_t(i.to) << ',';
      }
      if (!alternative.remainder) continue;
      out << " bytes " << alternative.remainder->patterns_negated << alternative.remainder->inner;
      for (const auto& p : alternative.remainder->patterns) {
        out << ' ' << static_cast<int>(p.anchor) << p.offset;
        for (std::size_t i = 0; i < p.value.size(); ++i)
          out << ',' << std::to_integer<int>(p.value[i]) << '/' << std::to_integer<int>(p.mask[i]);
      }
      if (alternative.remainder->unless) out << " unless (", match(*alternative.remainder->unless), out << ')';
    }
  };
  for (const auto& m : c.snapshot->classifier.maps()) {
    out << "classify " << m.ports << m.untagged << m.default_pass;
    for (const auto& r : m.vlans) out << " vlan" << r.from << '-' << r.to;
    for (const auto& r : m.rules) out << "\n rule " << r.pass, match(*r.match);
  }
  return out.str();
}

/// What becomes of a configuration: its compiled form, or the refusal.
std::string outcome(const v1::Config& config) {
  compile::Compiler compiler;
  auto compiled = compiler.compile(config, 1);
  return compiled ? describe(*compiled) : "refused: " + compiled.error().field_path;
}

/// A value of a field that is valid somewhere and not what the base has; values that the type alone does not give are by path.
void set_sample(pb::Message& m, const pb::FieldDescriptor& f, const std::string& path) {
  static const std::map<std::string, std::string> kTexts = {{"prefix", "192.0.2.0/24"},      {"range", "3"},
                                                            {"range_or_untagged", "3"},      {"protocol", "udp"},
                                                            {"device", "02:00:00:00:00:09"}, {"mac_mask", "02:00:00:00:00:01"},
                                                            {"ethertype", "0x0806"},         {"tcp_flags", "syn"}};
  static const std::map<std::string, std::string> kReferences = {{"maps.sources.ports", "in4"},    {"maps.sources.port_groups", "pg2"},
                                                                 {"port_groups.ports", "in4"},     {"tap_pairs.a", "in4"},
                                                                 {"dedup_domains.ports", "in4"},
                                                                 {"tap_pairs.b", "in4"},           {"tool_groups.members.port", "t2"},
                                                                 {"maps.destinations.port", "t2"}, {"maps.destinations.tool_group", "tg2"}};
  const auto* r = m.GetReflection();
  const auto& limits = f.options().GetExtension(v1::limits);
  const auto text = [&]() -> std::string {
    if (limits.has_refers_to()) return kReferences.contains(path) ? kReferences.at(path) : "anything";
    return kTexts.contains(limits.format()) ? kTexts.at(limits.format()) : "sample";
  };
  switch (f.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_BOOL: r->SetBool(&m, &f, !r->GetBool(m, &f) && limits.default_value() != "true"); break;
    case pb::FieldDescriptor::CPPTYPE_UINT32:
      r->SetUInt32(&m, &f, path == "maps.rules.match.ip.version" ? 6 : path == "ports.mtu" ? 1400 : 2);
      break;
    case pb::FieldDescriptor::CPPTYPE_UINT64: r->SetUInt64(&m, &f, 2); break;
    case pb::FieldDescriptor::CPPTYPE_STRING: f.is_repeated() ? r->AddString(&m, &f, text()) : r->SetString(&m, &f, text()); break;
    case pb::FieldDescriptor::CPPTYPE_MESSAGE: f.is_repeated() ? (void)r->AddMessage(&m, &f) : (void)r->MutableMessage(&m, &f); break;
    default: break;
  }
}

std::string id_for(const v1::Config& config, const std::string& name) {
  for (const auto* collection : config::collections())
    if (const int i = config::find(config, collection, name); i >= 0) return config::id_of(config::resource(config, collection, i));
  return name;
}

/// Every field, reached through the first element of every list that the base has; `visit` gets a fresh copy of the base each time.
void walk(const pb::Descriptor& type, const std::vector<const pb::FieldDescriptor*>& way,
          const std::function<void(const std::vector<const pb::FieldDescriptor*>&)>& visit) {
  for (int i = 0; i < type.field_count(); ++i) {
    auto next = way;
    next.push_back(type.field(i));
    visit(next);
    if (type.field(i)->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE && !type.field(i)->is_map())
      walk(*type.field(i)->message_type(), next, visit);
  }
}

/// May be defined before the engine can use them: whatever would refer to them from a port or a map is refused.
const std::set<std::string> kDefinitions{"operation_profiles", "schedules", "tunnels", "tenants", "grants"};

bool is_listed(const std::string& path) {
  for (const auto& u : compile::unavailable())
    if (path == u.field || path.starts_with(std::string(u.field) + ".")) return true;
  return false;
}
bool value_is_listed(const std::string& path, const std::string& value) {
  for (const auto& u : compile::unavailable())
    if (path + ":" + value == u.field) return true;
  return false;
}

}  // namespace

TEST_CASE("model: every field changes what is compiled, or is refused as not available, or is for people alone") {
  const v1::Config base = test::make_config(kBase);
  const std::string unchanged = outcome(base);
  REQUIRE(unchanged.find("refused") == std::string::npos);
  int compiled_fields = 0;
  walk(*v1::Config::descriptor(), {}, [&](const auto& way) {
    std::string path;
    for (const auto* f : way) path += (path.empty() ? "" : ".") + f->name();
    const auto& field = *way.back();
    if (kDefinitions.contains(way.front()->name())) return;  // no effect by themselves: see the next test
    if (is_listed(path) || kForPeople.contains(field.name()) || way.front()->name() == "system") return;
    if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) return;  // its fields are asked one by one
    CAPTURE(path);
    const auto with = [&](auto&& set) {
      v1::Config config = base;
      pb::Message* m = &config;
      for (std::size_t i = 0; i + 1 < way.size(); ++i) {
        const auto* r = m->GetReflection();
        if (!way[i]->is_repeated()) m = r->MutableMessage(m, way[i]);
        else if (r->FieldSize(*m, way[i]) > 0)
          m = r->MutableRepeatedMessage(m, way[i], path == "maps.destinations.tool_group" && way[i]->name() == "destinations" ? 1 : 0);
        else m = r->AddMessage(m, way[i]);
      }
      set(*m);
      return outcome(config);
    };
    if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM) {
      for (int v = 1; v < field.enum_type()->value_count(); ++v) {
        const auto* value = field.enum_type()->value(v);
        CAPTURE(value->name());
        const std::string now = with([&](pb::Message& m) {
          field.is_repeated() ? m.GetReflection()->AddEnum(&m, &field, value) : m.GetReflection()->SetEnum(&m, &field, value);
        });
        const auto defaults = config::values_of_default(field.options().GetExtension(v1::limits));
        const bool is_default = std::find(defaults.begin(), defaults.end(), value->name()) != defaults.end();
        // The base's own value and a default leave everything as it is; so does FIVE_TUPLE, which an empty list means.
        const bool is_base =
            now == unchanged && (is_default || value->name() == "NETWORK" || value->name() == "PASS" || value->name() == "FIVE_TUPLE");
        if (value_is_listed(path, value->name())) CHECK(now.starts_with("refused"));
        else CHECK((now != unchanged || is_base));
      }
    } else {
      const std::string now = with([&](pb::Message& m) {
        set_sample(m, field, path);
        const auto& limits = field.options().GetExtension(v1::limits);
        if (!limits.has_refers_to()) return;
        const auto* r = m.GetReflection();
        if (field.is_repeated()) {
          const int last = r->FieldSize(m, &field) - 1;
          r->SetRepeatedString(&m, &field, last, id_for(base, r->GetRepeatedString(m, &field, last)));
        } else {
          r->SetString(&m, &field, id_for(base, r->GetString(m, &field)));
        }
      });
      CHECK_MESSAGE((now != unchanged), path, " is neither compiled nor listed as unavailable");
    }
    ++compiled_fields;
  });
  CHECK(compiled_fields > 25);
}

TEST_CASE("model: what may be defined without effect can be referred to by nothing that has one") {
  int references = 0;
  walk(*v1::Config::descriptor(), {}, [&](const auto& way) {
    const auto& limits = way.back()->options().GetExtension(v1::limits);
    if (!kDefinitions.contains(limits.refers_to()) || kDefinitions.contains(way.front()->name())) return;
    std::string path;
    for (const auto* f : way) path += (path.empty() ? "" : ".") + f->name();
    CHECK_MESSAGE(is_listed(path), path, " refers to what has no effect yet");
    ++references;
  });
  CHECK(references >= 4);
}

TEST_CASE("model: every entry of the table names a field that exists, and is refused by that path") {
  for (const auto& entry : compile::unavailable()) {
    CAPTURE(entry.field);
    const std::string field(entry.field.substr(0, entry.field.find(':')));
    v1::Config config;
    pb::Message* m = &config;
    std::istringstream parts(field);
    const pb::FieldDescriptor* f = nullptr;
    for (std::string part; std::getline(parts, part, '.');) {
      if (f) m = f->is_repeated() ? m->GetReflection()->AddMessage(m, f) : m->GetReflection()->MutableMessage(m, f);
      f = m->GetDescriptor()->FindFieldByName(part);
      REQUIRE(f);
    }
    if (f->cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM && entry.field.find(':') != std::string_view::npos) {
      const auto* value = f->enum_type()->FindValueByName(std::string(entry.field.substr(entry.field.find(':') + 1)));
      REQUIRE(value);
      f->is_repeated() ? m->GetReflection()->AddEnum(m, f, value) : m->GetReflection()->SetEnum(m, f, value);
    } else if (f->cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM) {
      m->GetReflection()->AddEnum(m, f, f->enum_type()->value(1));
    } else {
      set_sample(*m, *f, field);
    }
    const auto refused = compile::check_available(config);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kNotAvailable);
    std::string path = refused.error().field_path;
    for (auto open = path.find('['); open != std::string::npos; open = path.find('[')) path.erase(open, path.find(']') - open + 1);
    CHECK(path == field);
  }
}
