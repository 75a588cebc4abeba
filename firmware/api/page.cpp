#include "api/page.h"

#include <map>
#include <set>
#include <sstream>

#include "config/resources.h"

namespace sluice::api {
namespace {

namespace pb = google::protobuf;

std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string type_of(const pb::FieldDescriptor& field) {
  std::string type;
  if (field.is_map()) return "object of strings";
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_BOOL: type = "boolean"; break;
    case pb::FieldDescriptor::CPPTYPE_STRING: type = field.type() == pb::FieldDescriptor::TYPE_BYTES ? "base64" : "string"; break;
    case pb::FieldDescriptor::CPPTYPE_ENUM:
      for (int i = 1; i < field.enum_type()->value_count(); ++i) type += (i == 1 ? "" : " | ") + field.enum_type()->value(i)->name();
      break;
    case pb::FieldDescriptor::CPPTYPE_MESSAGE:
      type = "<a href=\"#" + field.message_type()->name() + "\">" + field.message_type()->name() + "</a>";
      break;
    default: type = "number";
  }
  return field.is_repeated() ? "list of " + type : type;
}

std::string limits_text(const pb::FieldDescriptor& field) {
  const auto& limits = config::limits_of(field);
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  if (limits.required()) add("required");
  if (limits.output_only()) add("made by the server");
  if (limits.has_default_value()) add("default " + limits.default_value());
  if (limits.has_min() || limits.has_max())
    add(std::to_string(limits.min()) + " to " + (limits.has_max() ? std::to_string(limits.max()) : "any"));
  if (limits.has_format()) add("form: " + limits.format() + (limits.has_range_max() ? " up to " + std::to_string(limits.range_max()) : ""));
  if (limits.has_refers_to()) add("name of one of " + limits.refers_to());
  if (limits.has_max_length()) add("at most " + std::to_string(limits.max_length()) + " bytes");
  if (limits.has_max_items()) add("at most " + std::to_string(limits.max_items()) + " entries");
  if (const auto* oneof = field.real_containing_oneof()) add("one of the " + oneof->name() + " fields");
  return escape(text);
}

void render_message(const pb::Descriptor& message, std::set<std::string>& done, std::ostream& out) {
  if (!done.insert(message.name()).second) return;
  out << "<h3 id=\"" << message.name() << "\">" << message.name() << "</h3>\n<table>\n";
  for (int f = 0; f < message.field_count(); ++f) {
    const auto& field = *message.field(f);
    out << "<tr><td><code>" << field.name() << "</code></td><td>" << type_of(field) << "</td><td>" << limits_text(field) << "</td></tr>\n";
  }
  out << "</table>\n";
  for (int f = 0; f < message.field_count(); ++f)
    if (message.field(f)->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE && !message.field(f)->is_map())
      render_message(*message.field(f)->message_type(), done, out);
}

const char* note_on(Access access) {
  switch (access) {
    case Access::kOpen: return " (no login needed)";
    case Access::kTool: return " (operator, or the tool itself)";
    case Access::kOperator: return " (operator)";
    case Access::kAdmin: return " (admin)";
    default: return "";
  }
}

std::string link_to(const Body& body) {
  return std::string(body.list ? "a list of " : "") + "<a href=\"#" + body.type->name() + "\">" + body.type->name() + "</a>";
}

/// "; takes Map; gives Map"
std::string bodies_of(const Route& route) {
  return (route.takes.type ? "; takes " + link_to(route.takes) : "") + (route.gives.type ? "; gives " + link_to(route.gives) : "");
}

}  // namespace

std::string render_page(const Router& router) {
  std::ostringstream out;
  out << R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Sluice API</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; } h3 { margin-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; } td { border-top: 1px solid #8885; padding: .25rem .75rem .25rem 0; vertical-align: top; overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; }
code, pre { font-family: ui-monospace, monospace; font-size: .92em; } pre { background: #8882; padding: .75rem; overflow-x: auto; border-radius: 4px; }
@media (max-width: 40rem) {
  tr { display: block; border-top: 1px solid #8885; padding: .4rem 0; }
  td { display: block; border: 0; padding: 0; }
  td:first-child { display: inline; font-weight: bold; margin-right: .5rem; }
  td:nth-child(2) { display: inline; }
}
</style></head><body>
<h1>Sluice API</h1>
<p>Set up this packet broker over REST. Bodies are JSON; errors are problem details (RFC 9457) that name the field and the reason.
A resource's <code>ETag</code> sent back as <code>If-Match</code> refuses a change that would overwrite somebody else's (412).
<code>?dry_run=true</code> tells what would change and changes nothing; <code>?comment=</code> goes into the revision;
<code>?confirm_timeout=120</code> undoes the change unless somebody confirms it. The same as an <a href="/api/v1/openapi.json">OpenAPI document</a>.</p>
<p>A first password, such as the one on the console, buys a token that may only change it: <code>PUT /api/v1/me/password</code>.</p>
<pre>TOKEN=$(curl -sk https://THIS-HOST/api/v1/login -d '{"password": "YOUR-PASSWORD"}' | jq -r .token)
curl -sk -H "Authorization: Bearer $TOKEN" https://THIS-HOST/api/v1/status
curl -sk -H "Authorization: Bearer $TOKEN" -X PUT https://THIS-HOST/api/v1/maps/web-to-ids -d '{
  "sources": {"ports": ["in1"]},
  "rules": [{"match": {"ip": {"protocol": ["tcp"]}, "l4": {"port": ["80", "443"]}}, "action": "PASS"}],
  "destinations": [{"port": "tool1"}]}'</pre>
<h2>Routes</h2>
<table>
)";
  for (const auto& route : router.routes())
    out << "<tr><td><code>" << route.method << "</code></td><td><code>" << escape(route.pattern) << "</code></td><td>"
        << escape(route.summary) << note_on(route.access) << bodies_of(route) << "</td></tr>\n";
  out << "</table>\n<h2>Model</h2>\n<p>A field with a default is filled in on write. References are given by name. A field that this "
         "version's engine does not do yet\n"
         "is refused with code NOT_AVAILABLE.</p>\n";
  std::set<std::string> done;
  render_message(*v1::Config::descriptor(), done, out);
  for (const auto& route : router.routes())
    for (const auto& body : {route.takes, route.gives})
      if (body.type) render_message(*body.type, done, out);
  for (const auto& route : router.routes())
    for (const auto& event : route.events) render_message(*event.type, done, out);
  out << "</body></html>\n";
  return out.str();
}

}  // namespace sluice::api
