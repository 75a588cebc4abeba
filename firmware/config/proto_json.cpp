#include "config/proto_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/reflection.h>

#include <boost/json.hpp>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "sluice/v1/options.pb.h"

namespace sluice::config {
namespace {

namespace json = boost::json;
namespace pb = google::protobuf;
using Field = pb::FieldDescriptor;

Error invalid(std::string path, std::string message) { return {ErrorCode::kInvalid, std::move(path), std::move(message)}; }

std::string member(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : path + "." + std::string(name);
}

std::string describe(const json::value& v) {
  switch (v.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "a boolean";
    case json::kind::string: return "a string";
    case json::kind::array: return "a list";
    case json::kind::object: return "an object";
    default: return "a number";
  }
}

// ---- Base64 (RFC 4648 section 4), which ProtoJSON writes bytes in ----

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string base64(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = group << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0U);
    for (unsigned j = 0; j < 4; ++j) out += i + j > bytes.size() ? '=' : kBase64[group >> (18 - 6 * j) & 63];
  }
  return out;
}

bool from_base64(std::string_view text, std::string& out) {
  if (text.size() % 4 != 0) return false;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    uint32_t group = 0;
    unsigned padding = 0;
    for (unsigned j = 0; j < 4; ++j) {
      const char c = text[i + j];
      if (c == '=' && i + 4 == text.size() && j >= 2) {
        ++padding;
        group <<= 6;
        continue;
      }
      const auto at = kBase64.find(c);
      if (at == std::string_view::npos || padding) return false;
      group = group << 6 | static_cast<uint32_t>(at);
    }
    for (unsigned j = 0; j + padding < 3; ++j) out += static_cast<char>(group >> (16 - 8 * j));
  }
  return true;
}

// ---- JSON -> message ----

/// A whole number from a JSON number, or from a string of digits as ProtoJSON writes 64-bit ones.
Result<uint64_t> unsigned_number(const json::value& v, uint64_t max, const std::string& path) {
  uint64_t n = 0;
  if (v.is_uint64()) {
    n = v.get_uint64();
  } else if (v.is_int64() && v.get_int64() >= 0) {
    n = static_cast<uint64_t>(v.get_int64());
  } else if (v.is_double() && v.get_double() >= 0 && v.get_double() < 9007199254740992.0 && std::floor(v.get_double()) == v.get_double()) {
    n = static_cast<uint64_t>(v.get_double());
  } else if (v.is_string()) {
    const auto& s = v.get_string();
    const auto [stop, failed] = std::from_chars(s.data(), s.data() + s.size(), n);
    if (s.empty() || failed != std::errc{} || stop != s.data() + s.size())
      return invalid(path, "\"" + std::string(s) + "\" is not a whole number");
  } else {
    return invalid(
        path, "must be a whole number from 0 to " + std::to_string(max) + ", not " + (v.is_number() ? json::serialize(v) : describe(v)));
  }
  if (n > max) return invalid(path, std::to_string(n) + " is more than " + std::to_string(max));
  return n;
}

Result<void> read_message(const json::value& v, pb::Message& out, const std::string& path);

/// One value of a field, set or (repeated) added.
Result<void> read_value(const json::value& v, pb::Message& out, const Field& field, const std::string& path) {
  const auto* r = out.GetReflection();
  const bool add = field.is_repeated();
  switch (field.cpp_type()) {
    case Field::CPPTYPE_BOOL:
      if (!v.is_bool()) return invalid(path, "must be true or false, not " + describe(v));
      add ? r->AddBool(&out, &field, v.get_bool()) : r->SetBool(&out, &field, v.get_bool());
      return {};
    case Field::CPPTYPE_UINT32: {
      const auto n = unsigned_number(v, UINT32_MAX, path);
      if (!n) return n.error();
      const auto value = static_cast<uint32_t>(*n);
      add ? r->AddUInt32(&out, &field, value) : r->SetUInt32(&out, &field, value);
      return {};
    }
    case Field::CPPTYPE_UINT64: {
      const auto n = unsigned_number(v, UINT64_MAX, path);
      if (!n) return n.error();
      add ? r->AddUInt64(&out, &field, *n) : r->SetUInt64(&out, &field, *n);
      return {};
    }
    case Field::CPPTYPE_ENUM: {
      const auto* type = field.enum_type();
      const auto* value = v.is_string() ? type->FindValueByName(std::string(v.get_string())) : nullptr;
      if (!value || value->number() == 0) {
        std::string allowed;
        for (int i = 1; i < type->value_count(); ++i) allowed += (i == 1 ? "" : ", ") + type->value(i)->name();
        return invalid(path, (v.is_string() ? "\"" + std::string(v.get_string()) + "\"" : describe(v)) + " is not one of " + allowed);
      }
      add ? r->AddEnum(&out, &field, value) : r->SetEnum(&out, &field, value);
      return {};
    }
    case Field::CPPTYPE_STRING: {
      if (!v.is_string()) return invalid(path, "must be a string, not " + describe(v));
      std::string text(v.get_string());
      if (field.type() == Field::TYPE_BYTES) {
        std::string bytes;
        if (!from_base64(text, bytes)) return invalid(path, "is not base64 (RFC 4648)");
        text = std::move(bytes);
      }
      add ? r->AddString(&out, &field, std::move(text)) : r->SetString(&out, &field, std::move(text));
      return {};
    }
    case Field::CPPTYPE_MESSAGE: return read_message(v, add ? *r->AddMessage(&out, &field) : *r->MutableMessage(&out, &field), path);
    default: return Error{ErrorCode::kInternal, path, "has a type that the API does not carry"};
  }
}

/// map<string, string>, as an object.
Result<void> read_labels(const json::value& v, pb::Message& out, const Field& field, const std::string& path) {
  if (!v.is_object()) return invalid(path, "must be an object of strings, not " + describe(v));
  const auto* entry = field.message_type();
  for (const auto& [key, value] : v.get_object()) {
    if (!value.is_string()) return invalid(member(path, key), "must be a string, not " + describe(value));
    auto* pair = out.GetReflection()->AddMessage(&out, &field);
    pair->GetReflection()->SetString(pair, entry->map_key(), std::string(key));
    pair->GetReflection()->SetString(pair, entry->map_value(), std::string(value.get_string()));
  }
  return {};
}

Result<void> read_message(const json::value& v, pb::Message& out, const std::string& path) {
  if (!v.is_object()) return invalid(path, "must be an object, not " + describe(v));
  const auto* r = out.GetReflection();
  for (const auto& [key, value] : v.get_object()) {
    const std::string here = member(path, key);
    const auto* field = out.GetDescriptor()->FindFieldByName(std::string(key));
    if (!field) return invalid(here, "unknown field");
    if (value.is_null()) continue;
    if (const auto* oneof = field->real_containing_oneof(); oneof && r->HasOneof(out, oneof))
      return invalid(here, "and " + r->GetOneofFieldDescriptor(out, oneof)->name() + " exclude each other");
    if (field->is_map()) {
      if (auto result = read_labels(value, out, *field, here); !result) return result;
    } else if (field->is_repeated()) {
      if (!value.is_array()) return invalid(here, "must be a list, not " + describe(value));
      const auto& list = value.get_array();
      for (std::size_t i = 0; i < list.size(); ++i)
        if (auto result = read_value(list[i], out, *field, here + "[" + std::to_string(i) + "]"); !result) return result;
    } else if (auto result = read_value(value, out, *field, here); !result) {
      return result;
    }
  }
  return {};
}

/// Boost.JSON keeps the last of two equal keys; we refuse them, or a reviewer and the broker may read two different things.
class DuplicateFinder {
 public:
  static constexpr std::size_t max_object_size = SIZE_MAX, max_array_size = SIZE_MAX, max_key_size = SIZE_MAX, max_string_size = SIZE_MAX;
  using error = boost::system::error_code;
  std::string duplicate;
  bool on_document_begin(error&) { return true; }
  bool on_document_end(error&) { return true; }
  bool on_object_begin(error&) {
    keys_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, error&) {
    keys_.pop_back();
    return true;
  }
  bool on_array_begin(error&) { return true; }
  bool on_array_end(std::size_t, error&) { return true; }
  bool on_key_part(json::string_view s, std::size_t, error&) {
    partial_ += s;
    return true;
  }
  bool on_key(json::string_view s, std::size_t, error& e) {
    partial_ += s;
    if (!keys_.back().insert(partial_).second) {
      duplicate = partial_;
      e = json::error::syntax;
      return false;
    }
    partial_.clear();
    return true;
  }
  bool on_string_part(json::string_view, std::size_t, error&) { return true; }
  bool on_string(json::string_view, std::size_t, error&) { return true; }
  bool on_number_part(json::string_view, error&) { return true; }
  bool on_int64(int64_t, json::string_view, error&) { return true; }
  bool on_uint64(uint64_t, json::string_view, error&) { return true; }
  bool on_double(double, json::string_view, error&) { return true; }
  bool on_bool(bool, error&) { return true; }
  bool on_null(error&) { return true; }
  bool on_comment_part(json::string_view, error&) { return true; }
  bool on_comment(json::string_view, error&) { return true; }

 private:
  std::vector<std::set<std::string>> keys_;
  std::string partial_;
};

// ---- Message -> JSON ----

json::value write_message(const pb::Message& message);

json::value write_value(const pb::Message& message, const Field& field, int i) {
  const auto* r = message.GetReflection();
  const bool many = field.is_repeated();
  switch (field.cpp_type()) {
    case Field::CPPTYPE_BOOL: return many ? r->GetRepeatedBool(message, &field, i) : r->GetBool(message, &field);
    case Field::CPPTYPE_INT32: return many ? r->GetRepeatedInt32(message, &field, i) : r->GetInt32(message, &field);
    case Field::CPPTYPE_INT64: return many ? r->GetRepeatedInt64(message, &field, i) : r->GetInt64(message, &field);
    case Field::CPPTYPE_UINT32: return many ? r->GetRepeatedUInt32(message, &field, i) : r->GetUInt32(message, &field);
    case Field::CPPTYPE_UINT64: return many ? r->GetRepeatedUInt64(message, &field, i) : r->GetUInt64(message, &field);
    case Field::CPPTYPE_ENUM: {
      const auto& name = (many ? r->GetRepeatedEnum(message, &field, i) : r->GetEnum(message, &field))->name();
      return json::value(name);
    }
    case Field::CPPTYPE_STRING: {
      const auto text = many ? r->GetRepeatedString(message, &field, i) : r->GetString(message, &field);
      if (field.options().GetExtension(v1::limits).raw_json()) return json::parse(text);
      return json::value(field.type() == Field::TYPE_BYTES ? base64(text) : text);
    }
    case Field::CPPTYPE_MESSAGE: return write_message(many ? r->GetRepeatedMessage(message, &field, i) : r->GetMessage(message, &field));
    default: return nullptr;
  }
}

json::value write_labels(const pb::Message& message, const Field& field) {
  json::object out;
  const auto* r = message.GetReflection();
  std::map<std::string, std::string> sorted;
  for (int i = 0; i < r->FieldSize(message, &field); ++i) {
    const auto& pair = r->GetRepeatedMessage(message, &field, i);
    sorted[pair.GetReflection()->GetString(pair, field.message_type()->map_key())] =
        pair.GetReflection()->GetString(pair, field.message_type()->map_value());
  }
  for (const auto& [key, value] : sorted) out[key] = value;
  return out;
}

json::value write_message(const pb::Message& message) {
  json::object out;
  const auto* type = message.GetDescriptor();
  const auto* r = message.GetReflection();
  for (int f = 0; f < type->field_count(); ++f) {
    const auto& field = *type->field(f);
    if (field.is_map()) {
      out[field.name()] = write_labels(message, field);
    } else if (field.is_repeated()) {
      json::array list;
      for (int i = 0; i < r->FieldSize(message, &field); ++i) list.push_back(write_value(message, field, i));
      out[field.name()] = std::move(list);
    } else if (field.cpp_type() == Field::CPPTYPE_ENUM && r->GetEnumValue(message, &field) == 0) {
      continue;  // UNSPECIFIED is no value: it could not be read back
    } else if (!field.has_presence() || r->HasField(message, &field)) {
      out[field.name()] = write_value(message, field, 0);
    }
  }
  return out;
}

void print(std::ostream& out, const json::value& v, unsigned indent) {
  const auto line = [&](unsigned depth) { out << '\n' << std::string(depth * 2, ' '); };
  if (const auto* object = v.if_object(); object && !object->empty()) {
    out << '{';
    bool first = true;
    for (const auto& [key, value] : *object) {
      if (!first) out << ',';
      first = false;
      line(indent + 1);
      out << json::serialize(json::string_view(key)) << ": ";
      print(out, value, indent + 1);
    }
    line(indent);
    out << '}';
  } else if (const auto* list = v.if_array(); list && !list->empty() && (*list)[0].is_structured()) {
    out << '[';
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (i) out << ',';
      line(indent + 1);
      print(out, (*list)[i], indent + 1);
    }
    line(indent);
    out << ']';
  } else {
    out << json::serialize(v);
  }
}

}  // namespace

namespace {
/// 32 levels: the model has 8, and the parser recurses.
json::parse_options parse_options() {
  json::parse_options options;
  options.max_depth = 32;
  return options;
}
}  // namespace

Result<void> check_json(std::string_view text) {
  boost::system::error_code error;
  const auto options = parse_options();
  json::basic_parser<DuplicateFinder> finder(options);
  const std::size_t read = finder.write_some(false, text.data(), text.size(), error);
  if (!finder.handler().duplicate.empty()) return invalid(finder.handler().duplicate, "stands twice in one object");
  if (!error) (void)json::parse(text, error, {}, options);
  if (error) return invalid("", "is not JSON: " + error.message() + " near byte " + std::to_string(read));
  return {};
}

Result<void> from_json(std::string_view text, pb::Message& out) {
  if (auto r = check_json(text); !r) return r;
  return read_message(json::parse(text, {}, parse_options()), out, "");
}

std::string to_json(const pb::Message& message) { return json::serialize(write_message(message)); }

std::string to_json(const pb::Message& message, const pb::FieldDescriptor& field, int index) {
  return json::serialize(write_value(message, field, index));
}

std::string to_json_pretty(const pb::Message& message) {
  std::ostringstream out;
  print(out, write_message(message), 0);
  out << '\n';
  return out.str();
}

}  // namespace sluice::config
