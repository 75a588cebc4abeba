#include "api/resources.h"

#include <sodium.h>

#include <array>
#include <boost/json.hpp>

#include "api/page.h"
#include "config/proto_json.h"
#include "config/resources.h"

namespace sluice::api {
namespace {

namespace json = boost::json;
using config::Collection;
using google::protobuf::Message;

Response ok(std::string body) { return {200, std::move(body), "application/json", {}}; }

std::string etag(uint64_t revision) { return '"' + std::to_string(revision) + '"'; }

/// Of what is shown: it changes when, and only when, that does.
std::string etag(const Message& resource) {
  const std::string body = config::to_json(resource);
  std::array<unsigned char, 16> hash;
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(body.data()), body.size(), nullptr, 0);
  std::array<char, 33> hex;
  return '"' + std::string(sodium_bin2hex(hex.data(), hex.size(), hash.data(), hash.size())) + '"';
}

/// RFC 9110 section 13.1.1. An absent header asks for nothing. `present`: empty if there is no such resource.
Result<void> check_if_match(const Request& request, const std::string& present) {
  if (request.if_match.empty() || request.if_match == present || (request.if_match == "*" && !present.empty())) return {};
  return Error{ErrorCode::kStale, "If-Match",
               present.empty()
                   ? "is given, and there is no such resource"
                   : "is " + request.if_match + ", and the resource is at " + present + ": somebody changed it; GET it and try again"};
}

/// An error of the whole configuration, told to somebody who sent one resource: its path counts from that resource.
Error relative(Error error, const std::string& prefix) {
  if (error.field_path.starts_with(prefix + ".")) error.field_path = error.field_path.substr(prefix.size() + 1);
  else if (error.field_path == prefix) error.field_path.clear();
  return error;
}

std::string indexed(Collection collection, int i) { return collection->name() + "[" + std::to_string(i) + "]"; }

/// Everything that the routes work on.
struct Context {
  config::Configuration& configuration;
  Telemetry& telemetry;
  Auth& auth;
};

config::Author author_of(const Request& request) {
  const auto comment = request.query.find("comment");
  return {"admin", comment == request.query.end() ? "" : comment->second};
}

Result<bool> dry_run(const Request& request) {
  const auto given = request.query.find("dry_run");
  if (given == request.query.end() || given->second == "false") return false;
  if (given->second == "true") return true;
  return Error{ErrorCode::kInvalid, "dry_run", "must be true or false"};
}

/// Runs an edit and answers with what `show` makes of the new state.
template <class Show>
Response change(Context& c, const Request& request, const config::Configuration::Edit& edit, const std::string& prefix, Show&& show) {
  const auto dry = dry_run(request);
  if (!dry) return problem(dry.error());
  const auto outcome = c.configuration.change(author_of(request), edit, *dry);
  if (!outcome) return problem(relative(outcome.error(), prefix));
  if (*dry)
    return ok(json::serialize(json::object{{"dry_run", true}, {"revision", outcome->revision}, {"would_change", outcome->changed}}));
  Response response = show(*outcome);
  response.headers["Sluice-Revision"] = std::to_string(outcome->revision);
  if (!outcome->warning.empty()) response.headers["Warning"] = "199 - \"" + outcome->warning + "\"";
  return response;
}

// ---- One resource ----

Error no_such(Collection collection, const std::string& name) {
  return {ErrorCode::kNotFound, "", "there is no " + config::singular(collection) + " \"" + name + "\""};
}

Response show_resource(Context& c, Collection collection, const std::string& name, unsigned status = 200) {
  const auto view = c.configuration.view();
  const int i = config::find(view.config, collection, name);
  if (i < 0) return problem(no_such(collection, name));
  const auto& m = config::resource(view.config, collection, i);
  Response response = ok(config::to_json(m));
  response.status = status;
  response.headers["ETag"] = etag(m);
  return response;
}

Response put_resource(Context& c, Collection collection, const Request& request, const std::string& name) {
  const std::unique_ptr<Message> body(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(collection->message_type())->New());
  if (auto r = config::from_json(request.body, *body); !r) return problem(r.error());
  const auto* name_field = body->GetDescriptor()->FindFieldByName("name");
  const auto* id_field = body->GetDescriptor()->FindFieldByName("id");

  // Which one it is, and whether it is still as the client saw it, is decided under the configuration's lock.
  const auto view = c.configuration.view();
  const int known = config::find(view.config, collection, name);
  const int index = known >= 0 ? known : config::count(view.config, collection);
  const auto edit = [&](v1::Config& next) -> Result<void> {
    const int i = config::find(next, collection, name);
    if (config::name_of(*body).empty())
      body->GetReflection()->SetString(body.get(), name_field, i >= 0 ? config::name_of(config::resource(next, collection, i)) : name);
    const std::string id = i >= 0 ? config::id_of(config::resource(next, collection, i)) : "";
    const std::string given_name = config::name_of(*body);
    if (i < 0 && given_name != name)
      return Error{ErrorCode::kInvalid, indexed(collection, index) + ".name",
                   "is \"" + given_name + "\", and the path says \"" + name + "\""};
    if (i >= 0 && given_name != config::name_of(config::resource(next, collection, i)))
      return Error{ErrorCode::kInvalid, indexed(collection, index) + ".name", "cannot be changed by PUT"};
    if (const auto given_id = config::id_of(*body); !given_id.empty() && given_id != id)
      return Error{ErrorCode::kInvalid, indexed(collection, index) + ".id", "is made by the server and cannot be changed"};
    if (auto r = check_if_match(request, i >= 0 ? etag(config::resource(next, collection, i)) : ""); !r) return r;
    body->GetReflection()->SetString(body.get(), id_field, id);
    auto& target = i >= 0 ? config::mutable_resource(next, collection, i) : *next.GetReflection()->AddMessage(&next, collection);
    target.CopyFrom(*body);
    return {};
  };
  return change(c, request, edit, indexed(collection, index),
                [&](const config::Outcome&) { return show_resource(c, collection, name, known >= 0 ? 200 : 201); });
}

Response delete_resource(Context& c, Collection collection, const Request& request, const std::string& name) {
  const auto edit = [&](v1::Config& next) -> Result<void> {
    const int i = config::find(next, collection, name);
    if (i < 0) return no_such(collection, name);
    const auto& m = config::resource(next, collection, i);
    if (auto r = check_if_match(request, etag(m)); !r) return r;
    std::string who;
    for (const auto& referrer : config::referrers(next, collection, config::name_of(m))) who += (who.empty() ? "" : ", ") + referrer;
    if (!who.empty()) return Error{ErrorCode::kConflict, "", "\"" + name + "\" is referred to by " + who};
    config::remove_resource(next, collection, i);
    return {};
  };
  return change(c, request, edit, "", [](const config::Outcome&) { return Response{204, "", "application/json", {}}; });
}

Response list_resources(Context& c, Collection collection) {
  const auto view = c.configuration.view();
  std::string body = "[";
  for (int i = 0; i < config::count(view.config, collection); ++i)
    body += (i ? "," : "") + config::to_json(config::resource(view.config, collection, i));
  Response response = ok(body + "]");
  response.headers["ETag"] = etag(view.revision);
  return response;
}

// ---- The whole ----

Response show_config(Context& c) {
  const auto view = c.configuration.view();
  Response response = ok(config::to_json_pretty(view.config));
  response.headers["ETag"] = etag(view.revision);
  return response;
}

Response put_config(Context& c, const Request& request) {
  v1::Config body;
  if (auto r = config::from_json(request.body, body); !r) return problem(r.error());
  const auto edit = [&](v1::Config& next) -> Result<void> {
    if (auto r = check_if_match(request, etag(c.configuration.revision_in_change())); !r) return r;
    next = body;
    return {};
  };
  return change(c, request, edit, "", [&](const config::Outcome&) { return show_config(c); });
}

Response list_revisions(Context& c) {
  constexpr unsigned kMost = 200;
  const auto revisions = c.configuration.revisions(kMost);
  if (!revisions) return problem(revisions.error());
  json::array body;
  for (const auto& r : *revisions)
    body.push_back({{"number", r.number}, {"created_unix_ns", r.created_ns}, {"author", r.author}, {"comment", r.comment}});
  return ok(json::serialize(body));
}

template <class T>
Response show(Result<T> observed) {
  return observed ? ok(config::to_json_pretty(*observed)) : problem(observed.error());
}

Response list_devices(Context& c) {
  const auto status = c.telemetry.status();
  if (!status) return problem(status.error());
  std::string body = "[";
  for (const auto& device : status->devices()) body += (body.size() > 1 ? "," : "") + config::to_json(device);
  return ok(body + "]");
}

/// {"port": "in1", "packet": "hex digits, spaces allowed"}
Response explain(Context& c, const Request& request) {
  boost::system::error_code error;
  const json::value body = json::parse(request.body, error);
  const auto* object = error ? nullptr : body.if_object();
  if (!object) return problem({ErrorCode::kInvalid, "", "must be an object with \"port\" and \"packet\""});
  for (const auto& [key, value] : *object)
    if (key != "port" && key != "packet") return problem({ErrorCode::kInvalid, std::string(key), "unknown field"});
  const auto text = [&](const char* key) {
    const auto* value = object->if_contains(key);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  std::string bytes;
  int high = -1;
  for (const char digit : text("packet")) {
    if (digit == ' ' || digit == ':' || digit == '\n') continue;
    const auto value = std::string_view("0123456789abcdef").find(static_cast<char>(std::tolower(static_cast<unsigned char>(digit))));
    if (value == std::string_view::npos) return problem({ErrorCode::kInvalid, "packet", "must be hexadecimal digits"});
    if (high < 0) high = static_cast<int>(value);
    else bytes += static_cast<char>(high * 16 + static_cast<int>(value)), high = -1;
  }
  if (high >= 0) return problem({ErrorCode::kInvalid, "packet", "has an odd number of digits"});
  return show(c.telemetry.explain(text("port"), bytes));
}

Response login(Context& c, const Request& request) {
  boost::system::error_code error;
  const json::value body = json::parse(request.body, error);
  const auto* object = error ? nullptr : body.if_object();
  const auto* secret = object ? object->if_contains("secret") : nullptr;
  if (!secret || !secret->is_string()) return problem({ErrorCode::kInvalid, "secret", "is required: the first-login secret, as a string"});
  const auto token = c.auth.login(std::string(secret->get_string()));
  if (!token) return problem(token.error());
  return ok(json::serialize(json::object{{"token", *token}, {"type", "Bearer"}}));
}

}  // namespace

void add_routes(Router& router, config::Configuration& configuration, Telemetry& telemetry, Auth& auth) {
  const auto c = std::make_shared<Context>(Context{configuration, telemetry, auth});
  router.add({"GET", "/", "this page", true, [&router](const auto&, const auto&) {
                return Response{200, render_page(router), "text/html; charset=utf-8", {}};
              }});
  router.add(
      {"POST", "/api/v1/login", "{\"secret\": ...} for a bearer token", true, [c](const auto& r, const auto&) { return login(*c, r); }});
  router.add({"GET", "/api/v1/config", "the whole configuration", false, [c](const auto&, const auto&) { return show_config(*c); }});
  router.add(
      {"PUT", "/api/v1/config", "replaces the whole configuration", false, [c](const auto& r, const auto&) { return put_config(*c, r); }});
  router.add({"GET", "/api/v1/revisions", "the last 200 revisions, newest first", false,
              [c](const auto&, const auto&) { return list_revisions(*c); }});
  router.add({"GET", "/api/v1/status", "what is observed: ports, queues, workers", false,
              [c](const auto&, const auto&) { return show(c->telemetry.status()); }});
  router.add({"GET", "/api/v1/devices", "every network device, bound to a port or not: what \"device\" of a port can be", false,
              [c](const auto&, const auto&) { return list_devices(*c); }});
  router.add({"GET", "/api/v1/ledger", "the account of every packet and copy", false,
              [c](const auto&, const auto&) { return show(c->telemetry.ledger()); }});
  router.add({"POST", "/api/v1/explain", "{\"port\": ..., \"packet\": hex}: what would happen to it, and why", false,
              [c](const auto& r, const auto&) { return explain(*c, r); }});
  for (const auto* collection : config::collections()) {
    const std::string base = "/api/v1/" + collection->name();
    const std::string one = config::singular(collection);
    router.add({"GET", base, "all of them", false, [c, collection](const auto&, const auto&) { return list_resources(*c, collection); }});
    router.add({"GET", base + "/{name}", "one " + one + ", by name or id", false,
                [c, collection](const auto&, const auto& a) { return show_resource(*c, collection, a[0]); }});
    router.add({"PUT", base + "/{name}", "makes or replaces a " + one, false,
                [c, collection](const auto& r, const auto& a) { return put_resource(*c, collection, r, a[0]); }});
    router.add({"DELETE", base + "/{name}", "removes a " + one + " that nothing refers to", false,
                [c, collection](const auto& r, const auto& a) { return delete_resource(*c, collection, r, a[0]); }});
  }
}

}  // namespace sluice::api
