#include "api/openapi.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cctype>
#include <map>
#include <set>

#include "api/auth.h"
#include "config/resources.h"
#include "config/validate.h"

namespace sluice::api {
namespace {

namespace json = boost::json;
namespace pb = google::protobuf;
using pb::FieldDescriptor;

constexpr const char* kProblem = "Problem";
/// In the order of Access.
constexpr std::array kAccess = {"open", "self", "viewer", "tool", "operator", "admin"};

json::object reference(const std::string& schema) { return {{"$ref", "#/components/schemas/" + schema}}; }

/// All message types within one, itself included.
void collect(const pb::Descriptor& type, std::map<std::string, const pb::Descriptor*>& found) {
  if (!found.emplace(type.name(), &type).second) return;
  for (int f = 0; f < type.field_count(); ++f)
    if (type.field(f)->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !type.field(f)->is_map())
      collect(*type.field(f)->message_type(), found);
}

json::value default_of(const FieldDescriptor& field, const std::string& text) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: return text == "true";
    case FieldDescriptor::CPPTYPE_UINT32: return std::stoull(text);
    default: return json::value(text);
  }
}

/// One value of a field, its limits included.
json::object schema_of_value(const FieldDescriptor& field) {
  const auto& limits = config::limits_of(field);
  json::object out;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: out["type"] = "boolean"; break;
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64: out["type"] = "integer"; break;
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      out["type"] = "integer";
      out["minimum"] = limits.min();
      if (limits.has_max()) out["maximum"] = limits.max();
      else out["maximum"] = field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32 ? uint64_t{UINT32_MAX} : UINT64_MAX;
      break;
    case FieldDescriptor::CPPTYPE_ENUM: {
      json::array values;
      for (int v = 1; v < field.enum_type()->value_count(); ++v) values.emplace_back(field.enum_type()->value(v)->name());
      out["type"] = "string";
      out["enum"] = std::move(values);
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: return reference(field.message_type()->name());
    default:
      if (limits.raw_json()) return {{"description", "any JSON value"}};
      out["type"] = "string";
      if (field.type() == FieldDescriptor::TYPE_BYTES) out["contentEncoding"] = "base64";
      else if (limits.has_max_length()) out["maxLength"] = limits.max_length();
      if (limits.has_format()) {
        out["x-format"] = limits.format();
        out["description"] = config::format_in_words(limits);
      }
  }
  if (limits.has_refers_to()) out["x-refers-to"] = limits.refers_to();
  return out;
}

json::object schema_of_field(const FieldDescriptor& field) {
  const auto& limits = config::limits_of(field);
  if (field.is_map())
    return {{"type", "object"},
            {"additionalProperties", {{"type", "string"}, {"maxLength", limits.max_length()}}},
            {"maxProperties", limits.max_items()}};
  if (!field.is_repeated()) {
    auto out = schema_of_value(field);
    if (limits.has_default_value()) out["default"] = default_of(field, limits.default_value());
    if (limits.output_only()) out["readOnly"] = true;
    return out;
  }
  json::object out{{"type", "array"}, {"items", schema_of_value(field)}};
  if (limits.has_max_items()) out["maxItems"] = limits.max_items();
  if (limits.required()) out["minItems"] = 1;
  if (limits.unique()) out["uniqueItems"] = true;
  if (limits.has_default_value()) {
    json::array values;
    for (const auto& value : config::values_of_default(limits)) values.emplace_back(value);
    out["default"] = std::move(values);
  }
  return out;
}

/// taken: clients send it too, and may leave out what has a default; else every field that is always there is required.
json::object schema_of(const pb::Descriptor& type, bool taken) {
  json::object properties;
  json::array required, exclusions;
  for (int f = 0; f < type.field_count(); ++f) {
    const auto& field = *type.field(f);
    properties[field.name()] = schema_of_field(field);
    const bool always = !field.has_presence() && field.cpp_type() != FieldDescriptor::CPPTYPE_ENUM;
    if (taken ? config::limits_of(field).required() && field.name() != "name" : always) required.emplace_back(field.name());
  }
  for (int o = 0; o < type.real_oneof_decl_count(); ++o) {
    const auto& oneof = *type.oneof_decl(o);
    for (int a = 0; a < oneof.field_count(); ++a)
      for (int b = a + 1; b < oneof.field_count(); ++b)
        exclusions.push_back(json::object{{"not", {{"required", json::array{oneof.field(a)->name(), oneof.field(b)->name()}}}}});
  }
  json::object out{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  if (!exclusions.empty()) out["allOf"] = std::move(exclusions);
  if (taken) out["additionalProperties"] = false;
  return out;
}

json::object problem_schema() {
  const json::object text{{"type", "string"}};
  return {{"type", "object"},
          {"description", "RFC 9457. errors: the fields that are to blame. proposal: a port_map, of a restore onto other hardware."},
          {"required", {"type", "title", "status", "detail", "code"}},
          {"properties",
           {{"type", text},
            {"title", text},
            {"status", {{"type", "integer"}}},
            {"detail", text},
            {"code", text},
            {"proposal", {{"type", "object"}, {"additionalProperties", text}}},
            {"errors",
             {{"type", "array"},
              {"items", {{"type", "object"}, {"required", {"field", "reason"}}, {"properties", {{"field", text}, {"reason", text}}}}}}}}}};
}

json::object schemas(const Router& router) {
  std::map<std::string, const pb::Descriptor*> taken, all;
  for (const auto& route : router.routes()) {
    if (route.takes.type) collect(*route.takes.type, taken);
    for (const auto* type : {route.takes.type, route.gives.type})
      if (type) collect(*type, all);
    for (const auto& event : route.events) collect(*event.type, all);
  }
  json::object out{{kProblem, problem_schema()}};
  for (const auto& [name, type] : all) out[name] = schema_of(*type, taken.contains(name));
  return out;
}

json::object body_schema(const Body& body) {
  json::object one = body.type ? reference(body.type->name()) : json::object{{"type", "string"}};
  return body.list ? json::object{{"type", "array"}, {"items", std::move(one)}} : one;
}

json::object parameter_schema(const Parameter& parameter) {
  switch (parameter.type) {
    case Parameter::Type::kFlag: return {{"type", "boolean"}};
    case Parameter::Type::kNumber: return {{"type", "integer"}, {"minimum", parameter.min}, {"maximum", parameter.max}};
    default: return parameter.max ? json::object{{"type", "string"}, {"maxLength", parameter.max}} : json::object{{"type", "string"}};
  }
}

/// Names of the parameters in a path: "name", "id".
std::vector<std::string> path_parameters(const std::string& pattern) {
  std::vector<std::string> out;
  for (auto open = pattern.find('{'); open != std::string::npos; open = pattern.find('{', open + 1))
    out.push_back(pattern.substr(open + 1, pattern.find('}', open) - open - 1));
  return out;
}

/// "post_maps_name_rename"
std::string operation_id(const Route& route) {
  std::string out;
  for (const char c : route.method) out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char c : route.pattern.substr(std::string_view("/api/v1").size()))
    if (c == '/' || c == ':') out += '_';
    else if (c != '{' && c != '}' && c != '.') out += c;
  return out;
}

/// "maps"
std::string tag(const Route& route) {
  const auto rest = route.pattern.substr(std::string_view("/api/v1/").size());
  return rest.substr(0, rest.find_first_of("/:."));
}

const char* meaning(unsigned status) {
  switch (status) {
    case 200: return "done";
    case 201: return "made";
    case 204: return "done; no body";
    case 401: return "not logged in";
    case 403: return "not allowed to this user";
    case 404: return "there is no such thing";
    case 409: return "in conflict with the present configuration";
    case 412: return "changed meanwhile: If-Match does not hold";
    case 413: return "the body is too large";
    case 422: return "understood and wrong; errors name the field";
    case 429: return "too many failures: after Retry-After seconds";
    case 503: return "the data plane does not answer";
    default: return "";
  }
}

json::object operation(const Route& route) {
  json::object out{{"operationId", operation_id(route)}, {"summary", route.summary}, {"tags", json::array{tag(route)}}};
  json::array parameters;
  for (const auto& name : path_parameters(route.pattern))
    parameters.push_back(json::object{{"name", name}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
  for (const auto& p : route.parameters)
    parameters.push_back(json::object{{"name", p.name}, {"in", "query"}, {"description", p.summary}, {"schema", parameter_schema(p)}});
  if (!parameters.empty()) out["parameters"] = std::move(parameters);
  if (route.takes.type || route.takes.list) {
    // Of a merge patch of a resource every field is optional, and null takes it away.
    const bool merge_patch = route.method == "PATCH" && route.takes.type == route.gives.type;
    const auto schema = merge_patch ? json::object{{"type", "object"}} : body_schema(route.takes);
    out["requestBody"] = json::object{{"required", true}, {"content", {{"application/json", {{"schema", schema}}}}}};
  }
  json::object responses;
  for (const unsigned status : statuses_of(route)) {
    json::object response{{"description", meaning(status)}};
    if (status >= 400) response["content"] = {{"application/problem+json", {{"schema", reference(kProblem)}}}};
    else if (!route.events.empty()) {
      json::object events;
      for (const auto& event : route.events) events[event.name] = reference(event.type->name());
      response["content"] = {{"text/event-stream", {{"schema", {{"type", "string"}, {"x-events", std::move(events)}}}}}};
    } else if (route.gives.type || route.gives.list) {
      auto schema = body_schema(route.gives);
      // A dry run answers with its report, whatever the route gives.
      const bool may_be_dry =
          std::any_of(route.parameters.begin(), route.parameters.end(), [](const auto& p) { return p.name == "dry_run"; });
      if (status == 200 && may_be_dry && route.gives.type && route.gives.type->name() != "ChangeReport")
        schema = json::object{{"anyOf", json::array{schema, reference("ChangeReport")}}};
      response["content"] = {{"application/json", {{"schema", schema}}}};
    } else if (status == 200 && route.method == "DELETE") {
      response["content"] = {{"application/json", {{"schema", reference("ChangeReport")}}}};
    }
    responses[std::to_string(status)] = std::move(response);
  }
  out["responses"] = std::move(responses);
  if (route.access == Access::kOpen) out["security"] = json::array{};
  out["x-access"] = kAccess[static_cast<std::size_t>(route.access)];
  return out;
}

}  // namespace

std::vector<unsigned> statuses_of(const Route& route) {
  const bool writes = route.method != "GET";
  const bool changes = std::any_of(route.parameters.begin(), route.parameters.end(), [](const auto& p) { return p.name == "dry_run"; });
  std::set<unsigned> out{route.status};
  out.insert(route.also.begin(), route.also.end());
  if (changes) out.insert({200, 409, 412, 503});
  const bool open = route.access == Access::kOpen;
  if (!open) out.insert({401, 403});
  if (open && writes) out.insert(401);  // a wrong password
  out.insert(422);                      // a parameter that it does not have
  if (route.pattern.find('{') != std::string::npos || !route.parameters.empty()) out.insert(404);
  if (writes) out.insert({404, 409, 413, 422, 503});
  if (!open) out.insert(503);
  return {out.begin(), out.end()};
}

std::string render_openapi(const Router& router) {
  json::object paths;
  for (const auto& route : router.routes()) {
    if (!route.pattern.starts_with("/api/v1/")) continue;
    std::string method;
    for (const char c : route.method) method += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    auto& path = paths[route.pattern];
    if (!path.is_object()) path = json::object();
    path.get_object()[method] = operation(route);
  }
  const json::object document{
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Sluice"},
        {"version", "1"},
        {"license", {{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}},
        {"description", "Sets up a network packet broker. Errors are problem details (RFC 9457)."}}},
      {"servers", json::array{json::object{{"url", "/"}}}},
      {"security", json::array{json::object{{"bearer", json::array{}}}, json::object{{"cookie", json::array{}}}}},
      {"paths", std::move(paths)},
      {"components",
       {{"securitySchemes",
         {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}, {"cookie", {{"type", "apiKey"}, {"in", "cookie"}, {"name", kCookie}}}}},
        {"schemas", schemas(router)}}}};
  return json::serialize(document);
}

}  // namespace sluice::api
