#include "config/validate.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>
#include <string_view>

#include "base/net.h"
#include "config/field_path.h"
#include "config/resources.h"

namespace sluice::config {
namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;
using pb::Message;

Error invalid(const FieldPath& path, std::string message) { return {ErrorCode::kInvalid, path.text(), std::move(message)}; }

bool is_uuid_like(std::string_view s) { return s.size() == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-'; }

bool is_name(std::string_view s) {
  const auto allowed = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.'; };
  return !s.empty() && s.size() <= 63 && std::isalnum(static_cast<unsigned char>(s[0])) && std::all_of(s.begin(), s.end(), allowed) &&
         !is_uuid_like(s);
}

/// "0000:03:00.0"
bool is_pci(std::string_view s) {
  const auto hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
  constexpr std::string_view kShape = "xxxx:xx:xx.x";
  if (s.size() != kShape.size()) return false;
  for (std::size_t i = 0; i < s.size(); ++i)
    if (kShape[i] == 'x' ? !hex(s[i]) : s[i] != kShape[i]) return false;
  return true;
}

/// "02:00:00:00:00:01", or with a mask behind a slash.
bool is_mac_mask(std::string_view s) {
  const auto slash = s.find('/');
  return parse_mac(s.substr(0, slash)) && (slash == std::string_view::npos || parse_mac(s.substr(slash + 1)));
}

/// "0x0806"
bool is_ethertype(std::string_view s) {
  return s.size() > 2 && s.size() <= 6 && s.starts_with("0x") &&
         std::all_of(s.begin() + 2, s.end(), [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
}

/// "syn,!ack"; each flag once.
bool is_tcp_flags(std::string_view s) {
  constexpr std::array<std::string_view, 8> kFlags{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};
  std::set<std::string_view> seen;
  for (std::size_t begin = 0; begin <= s.size();) {
    const auto end = std::min(s.find(',', begin), s.size());
    auto flag = s.substr(begin, end - begin);
    if (flag.starts_with('!')) flag.remove_prefix(1);
    if (std::find(kFlags.begin(), kFlags.end(), flag) == kFlags.end() || !seen.insert(flag).second) return false;
    begin = end + 1;
  }
  return true;
}

/// "08:30"; "24:00" is the day's end.
bool is_time(std::string_view s) {
  const auto digit = [&s](std::size_t i) { return s[i] >= '0' && s[i] <= '9'; };
  if (s.size() != 5 || s[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4)) return false;
  return (s.substr(0, 2) < "24" && s.substr(3) < "60") || s == "24:00";
}

struct Format {
  std::string_view name;
  bool (*holds)(std::string_view value, const v1::FieldLimits& limits);
  const char* expected;
};

constexpr std::array kFormats{
    Format{"name", [](auto s, const auto&) { return is_name(s); },
           "letters, digits, '-', '_' and '.', beginning with a letter or digit, at most 63 of them, and not in the form of an id"},
    Format{"device", [](auto s, const auto&) { return parse_mac(s).has_value() || is_pci(s); },
           "a MAC address (02:00:00:00:01:01) or a PCI address (0000:03:00.0)"},
    Format{"prefix", [](auto s, const auto&) { return parse_prefix(s).has_value(); },
           "an address or a prefix without host bits, such as 10.0.0.0/8 or 2001:db8::/32"},
    Format{"range", [](auto s, const auto& l) { return parse_range(s, l.range_max()).has_value(); }, "a number or a range such as 100-199"},
    Format{"range_or_untagged", [](auto s, const auto& l) { return s == "untagged" || parse_range(s, l.range_max()).has_value(); },
           "a number, a range such as 100-199, or \"untagged\""},
    Format{"protocol", [](auto s, const auto&) { return parse_protocol(s).has_value(); }, "a protocol name or a number from 0 to 255"},
    Format{"mac", [](auto s, const auto&) { return parse_mac(s).has_value(); }, "a MAC address such as 02:00:00:00:00:01"},
    Format{"mac_mask", [](auto s, const auto&) { return is_mac_mask(s); },
           "a MAC address, or with a mask 02:00:00:00:00:00/ff:ff:ff:00:00:00"},
    Format{"ethertype", [](auto s, const auto&) { return is_ethertype(s); }, "an EtherType in hexadecimal digits such as 0x0806"},
    Format{"tcp_flags", [](auto s, const auto&) { return is_tcp_flags(s); },
           "flags out of fin, syn, rst, psh, ack, urg, ece, cwr, with '!' if clear, such as syn,!ack"},
    Format{"time", [](auto s, const auto&) { return is_time(s); }, "a time of day such as 08:30"},
    Format{"address", [](auto s, const auto&) { return parse_address(s).has_value(); }, "an IPv4 or IPv6 address"},
};

Result<void> check_text(const FieldDescriptor& field, const std::string& value, const FieldPath& path) {
  const auto& limits = limits_of(field);
  if (limits.has_max_length() && value.size() > limits.max_length())
    return invalid(path, "is " + std::to_string(value.size()) + " bytes long; at most " + std::to_string(limits.max_length()));
  if ((value.empty() && !field.is_repeated()) || !limits.has_format()) return {};
  for (const auto& format : kFormats)
    if (limits.format() == format.name && !format.holds(value, limits))
      return invalid(path, "\"" + value + "\" is not valid: " + format_in_words(limits));
  return {};
}

Result<void> check_number(const FieldDescriptor& field, uint64_t value, const FieldPath& path) {
  const auto& limits = limits_of(field);
  if ((limits.has_min() && value < static_cast<uint64_t>(limits.min())) ||
      (limits.has_max() && value > static_cast<uint64_t>(limits.max())))
    return invalid(path, std::to_string(value) + " is outside " + std::to_string(limits.min()) + " to " + std::to_string(limits.max()));
  return {};
}

Result<void> check_count(const v1::FieldLimits& limits, int n, const FieldPath& path) {
  if (limits.has_max_items() && n > static_cast<int>(limits.max_items()))
    return invalid(path, std::to_string(n) + " entries; at most " + std::to_string(limits.max_items()));
  return {};
}

Result<void> check_message(const Message& message, const FieldPath& path, const ChangedRules& changed);

Result<void> check_value(const Message& m, const FieldDescriptor& field, int i, const FieldPath& path, const ChangedRules& changed) {
  const auto* r = m.GetReflection();
  std::string scratch;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return check_text(field, i < 0 ? r->GetStringReference(m, &field, &scratch) : r->GetRepeatedStringReference(m, &field, i, &scratch),
                        path);
    case FieldDescriptor::CPPTYPE_UINT32:
      return check_number(field, i < 0 ? r->GetUInt32(m, &field) : r->GetRepeatedUInt32(m, &field, i), path);
    case FieldDescriptor::CPPTYPE_UINT64:
      return check_number(field, i < 0 ? r->GetUInt64(m, &field) : r->GetRepeatedUInt64(m, &field, i), path);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return check_message(i < 0 ? r->GetMessage(m, &field) : r->GetRepeatedMessage(m, &field, i), path, changed);
    default: return {};
  }
}

bool is_empty(const Message& m, const FieldDescriptor& field) {
  const auto* r = m.GetReflection();
  if (field.is_repeated()) return r->FieldSize(m, &field) == 0;
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) return r->GetEnumValue(m, &field) == 0;
  return !r->HasField(m, &field);
}

Result<void> check_message(const Message& message, const FieldPath& path, const ChangedRules& changed) {
  const auto* type = message.GetDescriptor();
  const auto* r = message.GetReflection();
  for (int f = 0; f < type->field_count(); ++f) {
    const auto& field = *type->field(f);
    const FieldPath here{&path, &field};
    if (is_empty(message, field)) {
      if (limits_of(field).required()) return invalid(here, "is required");
      continue;
    }
    const auto& limits = limits_of(field);
    const int n = field.is_repeated() ? r->FieldSize(message, &field) : 0;
    if (auto result = check_count(limits, n, here); !result) return result;
    if (field.is_map()) {
      for (int i = 0; i < n; ++i)
        if (r->GetRepeatedMessage(message, &field, i).ByteSizeLong() > limits.max_length()) return invalid(here, "a label is too long");
      continue;
    }
    if (limits.unique() && n > 1) {
      std::set<std::string> seen;
      const bool is_enum = field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM;
      for (int i = 0; i < n; ++i)
        if (!seen.insert(is_enum ? r->GetRepeatedEnum(message, &field, i)->name() : r->GetRepeatedString(message, &field, i)).second)
          return invalid({&path, &field, i}, "stands twice");
    }
    const auto [begin, end] = changed.range(message, field, n);
    for (int i = begin; i < end; ++i)
      if (auto result = check_value(message, field, i, {&path, &field, i}, changed); !result) return result;
    if (!field.is_repeated())
      if (auto result = check_value(message, field, -1, here, changed); !result) return result;
  }
  return {};
}

Result<void> check_counts(const Message& message, const FieldPath& path, const ChangedRules& changed) {
  const auto* r = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  r->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE && !field->is_repeated()) continue;
    const auto& limits = limits_of(*field);
    const int n = field->is_repeated() ? r->FieldSize(message, field) : 1;
    if (auto result = check_count(limits, n, {&path, field}); !result) return result;
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    const auto [begin, end] = changed.range(message, *field, n);
    for (int i = begin; i < end; ++i) {
      const auto& inner = field->is_repeated() ? r->GetRepeatedMessage(message, field, i) : r->GetMessage(message, field);
      if (auto result = check_counts(inner, {&path, field, field->is_repeated() ? i : -1}, changed); !result) return result;
    }
  }
  return {};
}

}  // namespace

std::string format_in_words(const v1::FieldLimits& limits) {
  for (const auto& format : kFormats)
    if (limits.format() == format.name)
      return format.expected + (limits.has_range_max() ? ", no more than " + std::to_string(limits.range_max()) : std::string());
  return limits.format();
}

Result<void> validate_counts(const v1::Config& config, const ChangedRules& changed) { return check_counts(config, {}, changed); }

Result<void> validate_message(const Message& message) { return check_message(message, {}, {}); }

Result<void> validate(const v1::Config& config, const ChangedRules& changed) {
  if (auto r = check_message(config, {}, changed); !r) return r;
  for (const auto* collection : collections()) {
    std::map<std::string, int> seen, ids;
    for (int i = 0; i < count(config, collection); ++i) {
      const auto& m = resource(config, collection, i);
      const std::string path = collection->name() + "[" + std::to_string(i) + "]";
      if (!seen.emplace(name_of(m), i).second)
        return Error{ErrorCode::kConflict, path + ".name", "there is another " + singular(collection) + " \"" + name_of(m) + "\""};
      if (!ids.emplace(id_of(m), i).second) return Error{ErrorCode::kConflict, path + ".id", "stands twice"};
    }
  }
  return {};
}

}  // namespace sluice::config
