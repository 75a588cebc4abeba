#include "sluicectl/show.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <ctime>
#include <iomanip>
#include <map>
#include <ostream>
#include <vector>

namespace sluice {
namespace {

namespace json = boost::json;
using Table = std::vector<std::vector<std::string>>;

/// Which fields of a collection stand in its table.
const std::vector<std::string>& columns_of(const std::string& collection) {
  static const std::map<std::string, std::vector<std::string>> known = {
      {"ports", {"name", "role", "enabled", "device", "mtu", "comment"}},
      {"maps", {"name", "enabled", "kind", "sources", "rules", "destinations", "comment"}},
      {"rules", {"id", "enabled", "action", "match", "comment"}},
      {"port_groups", {"name", "ports", "comment"}},
      {"tap_pairs", {"name", "a", "b", "comment"}},
      {"tool_groups", {"name", "members", "failover", "comment"}},
      {"address_sets", {"name", "entries", "comment"}},
      {"revisions", {"number", "created_unix_ns", "author", "label", "comment"}},
      {"drafts", {"id", "user", "comment", "words", "conflicts"}},
      {"users", {"name", "role", "must_change_password"}},
      {"tokens", {"id", "user", "kind", "role", "comment", "expires_unix_ns"}},
      {"devices", {"netdev", "mac", "pci", "driver", "speed_mbps", "carrier", "port"}},
  };
  static const std::vector<std::string> otherwise = {"name", "id", "comment"};
  const auto found = known.find(collection);
  return found == known.end() ? otherwise : found->second;
}

std::string time_of(int64_t unix_ns) {
  const time_t seconds = unix_ns / 1'000'000'000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%F %T UTC", &parts);
  return text.data();
}

std::string cell(const std::string& field, const json::value& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return std::string(value.get_string());
  if (field.ends_with("_unix_ns")) return time_of(value.to_number<int64_t>());
  if (value.is_array()) {
    const auto& list = value.get_array();
    if (field == "rules" || list.size() > 8) return std::to_string(list.size());
    std::string out;
    for (const auto& one : list) out += (out.empty() ? "" : ",") + cell("", one);
    return out;
  }
  if (value.is_object()) {
    // What has a target or ports is called by them: a destination, a member, a map's sources.
    std::string out;
    for (const char* name : {"port", "tool_group", "tunnel", "ports", "groups", "tap_pairs"})
      if (const auto* inner = value.get_object().if_contains(name); inner && cell(name, *inner).size())
        out += (out.empty() ? "" : ",") + cell(name, *inner);
    return out.empty() ? json::serialize(value) : out;
  }
  return json::serialize(value);
}

void print(std::ostream& out, const Table& table) {
  std::vector<std::size_t> widths;
  for (const auto& row : table)
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], row[i].size());
    }
  for (const auto& row : table) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    out << line.substr(0, line.find_last_not_of(' ') + 1) << "\n";
  }
}

std::string heading(std::string field) {
  if (field.ends_with("_unix_ns")) field = field.substr(0, field.size() - 8);
  for (char& c : field) c = c == '_' ? ' ' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return field;
}

const json::value& at(const json::value& object, const std::string& name) {
  static const json::value kNone;
  const auto* found = object.is_object() ? object.get_object().if_contains(name) : nullptr;
  return found ? *found : kNone;
}

uint64_t number(const json::value& object, const std::string& name) {
  const auto& value = at(object, name);
  return value.is_number() ? value.to_number<uint64_t>() : 0;
}

/// "12.3 M"
std::string scaled(uint64_t value) {
  constexpr std::array kUnits{"", " k", " M", " G", " T"};
  auto scaled = static_cast<double>(value);
  std::size_t unit = 0;
  for (; scaled >= 1000 && unit + 1 < kUnits.size(); ++unit) scaled /= 1000;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit ? "%.1f%s" : "%.0f%s", scaled, kUnits[unit]);
  return text.data();
}

}  // namespace

void show_json(std::ostream& out, const json::value& value, const std::string& indent) {
  const std::string deeper = indent + "  ";
  if (value.is_object() && !value.get_object().empty()) {
    out << "{";
    const char* comma = "";
    for (const auto& [key, inner] : value.get_object()) {
      out << comma << "\n" << deeper << json::serialize(json::value(key)) << ": ";
      show_json(out, inner, deeper);
      comma = ",";
    }
    out << "\n" << indent << "}";
  } else if (value.is_array() && !value.get_array().empty()) {
    out << "[";
    const char* comma = "";
    for (const auto& inner : value.get_array()) {
      out << comma << "\n" << deeper;
      show_json(out, inner, deeper);
      comma = ",";
    }
    out << "\n" << indent << "]";
  } else {
    out << json::serialize(value);
  }
  if (indent.empty()) out << "\n";
}

void show(std::ostream& out, const std::string& collection, const json::value& value) {
  if (value.is_string()) {
    out << std::string_view(value.get_string()) << "\n";
  } else if (value.is_array() && (value.get_array().empty() || value.get_array()[0].is_object())) {
    const auto& columns = columns_of(collection);
    Table table(1);
    for (const auto& column : columns) table[0].push_back(heading(column));
    for (const auto& one : value.get_array()) {
      auto& row = table.emplace_back();
      for (const auto& column : columns) row.push_back(cell(column, at(one, column)));
    }
    print(out, table);
  } else if (value.is_array()) {
    for (const auto& one : value.get_array()) out << cell("", one) << "\n";
  } else {
    show_json(out, value);
  }
}

void show_explanation(std::ostream& out, const json::value& explanation) {
  for (const auto& step : at(explanation, "steps").as_array()) {
    const std::string map = cell("", at(step, "map")), port = cell("", at(step, "port")), reason = cell("", at(step, "reason"));
    out << std::left << std::setw(11) << cell("", at(step, "stage")) << (map.empty() ? "" : map + ": ") << cell("", at(step, "text"))
        << (port.empty() || cell("", at(step, "stage")) == "parse" ? "" : " [" + port + "]") << (reason.empty() ? "" : " (" + reason + ")")
        << "\n";
    for (const auto& miss : at(step, "misses").as_array()) {
      out << "             rule " << cell("", at(miss, "rule_number")) << " does not match:";
      const char* separator = " ";
      for (const auto& field : at(miss, "fields").as_array()) {
        const std::string name = cell("", at(field, "field")), value = cell("", at(field, "value"));
        const bool inner = at(field, "inner").is_bool() && at(field, "inner").get_bool();
        out << separator << (inner ? "inner " : "") << name << (value.empty() ? "" : " is " + value);
        separator = ", ";
      }
      out << "\n";
    }
    if (const std::string more = cell("", at(step, "more_misses")); !more.empty() && more != "0")
      out << "             and " << more << " more rules do not\n";
  }
  const std::string to = cell("", at(explanation, "delivered_to"));
  out << "Delivered to " << (to.empty() ? "nobody" : to) << "\n";
}

void show_rates(std::ostream& out, const std::string& what, const json::value& rates) {
  Table table;
  const auto rate = [](const json::value& one, const char* name) {
    const auto& r = at(one, name);
    return std::array{scaled(number(r, "packets")) + "pps", scaled(number(r, "bits")) + "b/s"};
  };
  if (what == "ports") table.push_back({"PORT", "RECEIVED", "", "SENT", "", "DROPPED", "LOST BEFORE"});
  else if (what == "maps") table.push_back({"MAP", "PASSED", "", "DROPPED"});
  else table.push_back({"MAP", "DESTINATION", "SENT", "", "DROPPED"});
  for (const auto& one : at(rates, what).as_array()) {
    auto& row = table.emplace_back();
    row.push_back(cell("", at(one, what == "destinations" ? "map" : "name")));
    if (what == "destinations") row.push_back(cell("", at(one, "target")));
    for (const char* name : what == "ports"  ? std::vector{"received", "sent"}
                            : what == "maps" ? std::vector{"passed"}
                                             : std::vector{"sent"})
      for (const auto& text : rate(one, name)) row.push_back(text);
    row.push_back(rate(one, "dropped")[0]);
    if (what == "ports") row.push_back(scaled(number(one, "lost")) + "pps");
  }
  print(out, table);
}

}  // namespace sluice
