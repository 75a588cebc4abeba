#include "api/handlers.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>

#include "config/proto_json.h"
#include "config/validate.h"

namespace sluice::api {
namespace {

namespace json = boost::json;
using google::protobuf::Message;

constexpr uint64_t kMostInPage = 10000;
constexpr uint64_t kLongestConfirmTimeout = 86400;

std::string parameter(const Request& request, const std::string& name) {
  const auto given = request.query.find(name);
  return given == request.query.end() ? std::string() : given->second;
}

uint64_t number(const std::string& text) {
  uint64_t n = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

/// RFC 7396 section 2.
void merge(json::value& target, const json::value& patch) {
  if (!patch.is_object()) {
    target = patch;
    return;
  }
  if (!target.is_object()) target = json::object();
  for (const auto& [key, value] : patch.get_object()) {
    if (value.is_null()) target.get_object().erase(key);
    else merge(target.get_object()[key], value);
  }
}

/// An error of the whole configuration, told to somebody who sent one resource: its path counts from that resource.
Error relative(Error error, const std::string& prefix) {
  if (error.field_path.starts_with(prefix + ".")) error.field_path = error.field_path.substr(prefix.size() + 1);
  else if (error.field_path == prefix) error.field_path.clear();
  return error;
}

}  // namespace

Response ok(std::string json) { return {200, std::move(json), "application/json", {}}; }
Response ok(const Message& body) { return ok(config::to_json_pretty(body)); }

Response done(const Result<void>& result) { return result ? Response{204, "", "", {}} : problem(result.error()); }

std::string etag(const Message& resource) {
  const std::string body = config::to_json(resource);
  std::array<unsigned char, 16> hash;
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(body.data()), body.size(), nullptr, 0);
  std::array<char, 33> hex;
  return '"' + std::string(sodium_bin2hex(hex.data(), hex.size(), hash.data(), hash.size())) + '"';
}

Result<void> check_if_match(const Request& request, const std::string& present) {
  if (request.if_match.empty() || request.if_match == present || (request.if_match == "*" && !present.empty())) return {};
  return Error{ErrorCode::kStale, "If-Match",
               present.empty()
                   ? "is given, and there is no such resource"
                   : "is " + request.if_match + ", and the resource is at " + present + ": somebody changed it; GET it and try again"};
}

Result<void> read_body(const Request& request, Message& out) {
  if (auto r = config::from_json(request.body, out); !r) return r;
  return config::validate_message(out);
}

Result<void> merge_patch(const Message& present, const std::string& patch, Message& out) {
  if (auto r = config::check_json(patch); !r) return r;
  const json::value changes = json::parse(patch);
  if (!changes.is_object()) return Error{ErrorCode::kInvalid, "", "must be a JSON object: a merge patch (RFC 7396)"};
  json::value merged = json::parse(config::to_json(present));
  merge(merged, changes);
  return config::from_json(json::serialize(merged), out);
}

Result<uint64_t> number_in_path(const std::string& text, const std::string& what) {
  uint64_t n = 0;
  const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (failed != std::errc{} || stop != text.data() + text.size() || n > INT64_MAX)
    return Error{ErrorCode::kNotFound, "", "there is no " + what + " \"" + text + "\": it is a number"};
  return n;
}

// ---- Lists in pages ----

std::vector<Parameter> page_parameters() {
  return {{"limit", "most entries in the answer; without it all", Parameter::Type::kNumber, 1, kMostInPage},
          {"cursor", "where the page begins: from the Link of the one before", Parameter::Type::kText, 0, 255}};
}

Response page_of(const Request& request, const std::vector<std::string>& ids, const std::function<std::string(int)>& json) {
  const auto size = static_cast<int>(ids.size());
  int begin = 0;
  if (const auto cursor = parameter(request, "cursor"); !cursor.empty()) {
    begin = static_cast<int>(std::find(ids.begin(), ids.end(), cursor) - ids.begin()) + 1;
    if (begin > size) return problem({ErrorCode::kNotFound, "cursor", "stands at an entry that is gone; begin anew without it"});
  }
  const auto limit = parameter(request, "limit");
  const int end = limit.empty() ? size : std::min<int>(size, begin + static_cast<int>(number(limit)));
  std::string body = "[";
  for (int i = begin; i < end; ++i) body += (i > begin ? "," : "") + json(i);
  Response response = ok(body + "]");
  const auto draft = parameter(request, "draft");
  if (end < size)
    response.headers["Link"] = "<" + request.path + "?limit=" + limit +
                               "&cursor=" + percent_encoded(ids[static_cast<std::size_t>(end) - 1]) +
                               (draft.empty() ? "" : "&draft=" + percent_encoded(draft)) + ">; rel=\"next\"";
  return response;
}

// ---- Changes ----

std::vector<Parameter> view_parameters(std::vector<Parameter> others) {
  others.push_back({"draft", "the id of a draft: in it, instead of what is in force", Parameter::Type::kText, 0, 63});
  return others;
}

std::vector<Parameter> change_parameters() { return view_parameters(commit_parameters()); }

std::vector<Parameter> commit_parameters() {
  return {{"dry_run", "true: validates, tells what would change, and changes nothing", Parameter::Type::kFlag},
          {"comment", "stands in the revision", Parameter::Type::kText, 0, 255},
          {"confirm_timeout", "seconds: the change is undone unless POST /api/v1/revisions/{number}:confirm comes within them",
           Parameter::Type::kNumber, 1, kLongestConfirmTimeout}};
}

config::Author author_of(const Request& request) {
  return {request.caller.user, parameter(request, "comment"), request.caller.role == v1::AccessRole::ADMIN};
}

config::Asker asker_of(const Request& request) { return {request.caller.user, request.caller.role == v1::AccessRole::ADMIN}; }

Result<config::Configuration::View> view_of(Context& c, const Request& request) {
  const auto draft = parameter(request, "draft");
  if (draft.empty()) return c.configuration.view();
  auto view = c.configuration.view_draft(asker_of(request), draft);
  if (!view) return Error{view.error().code, "draft", view.error().message};
  return config::Configuration::View{view->revision, std::make_shared<const v1::Config>(std::move(view->config)), view->version};
}

config::ChangeOptions options_of(const Request& request) {
  config::ChangeOptions options;
  options.dry_run = parameter(request, "dry_run") == "true";
  if (const auto timeout = parameter(request, "confirm_timeout"); !timeout.empty())
    options.confirm_s = static_cast<uint32_t>(number(timeout));
  return options;
}

config::ChangeOptions options_for_all(const Request& request) {
  auto options = options_of(request);
  options.precondition = [&request](const std::string& version) { return check_if_match(request, '"' + version + '"'); };
  return options;
}

std::string indexed(config::Collection collection, int i) { return collection->name() + "[" + std::to_string(i) + "]"; }

Error no_such(config::Collection collection, const std::string& name) {
  return {ErrorCode::kNotFound, "", "there is no " + config::singular(collection) + " \"" + name + "\""};
}

v1::Confirmation confirmation_of(const config::Confirmation& confirmation) {
  v1::Confirmation out;
  v1::ConfirmationState::Value state = v1::ConfirmationState::PENDING;
  (void)v1::ConfirmationState::Value_Parse(confirmation.state, &state);
  out.set_state(state);
  out.set_timeout_seconds(confirmation.timeout_s);
  out.set_deadline_unix_ns(confirmation.deadline_ns);
  out.set_reason(confirmation.reason);
  return out;
}

Response report(Context& c, const config::Outcome& outcome, bool dry_run) {
  v1::ChangeReport body;
  body.set_dry_run(dry_run);
  body.set_changed(outcome.changed);
  body.set_revision(outcome.revision);
  for (const auto& change : outcome.changes) *body.add_changes() = change;
  for (const auto& line : config::in_words(outcome.changes)) body.add_words(line);
  for (const auto& warning : outcome.warnings) body.add_warnings(warning);
  if (dry_run && outcome.changed) *body.mutable_cost() = outcome.cost;
  for (const auto& port : config::interrupted_ports(outcome.changes)) body.add_interrupts(port);
  if (const auto made = c.configuration.revision(outcome.revision); !dry_run && outcome.changed && made && made->confirmation)
    *body.mutable_confirmation() = confirmation_of(*made->confirmation);
  return ok(body);
}

Response answer_change(Context& c, const Request& request, const Result<config::Outcome>& outcome, const std::string& prefix,
                       const std::function<Response()>& show) {
  if (!outcome) return problem(relative(outcome.error(), prefix));
  if (options_of(request).dry_run) return report(c, *outcome, true);
  Response response = show();
  response.headers["Sluice-Revision"] = std::to_string(outcome->revision);
  // The last one: what happened, rather than what was asked for. All are in the report of a dry run.
  if (!outcome->warnings.empty()) response.headers["Warning"] = "199 - \"" + outcome->warnings.back() + "\"";
  return response;
}

Result<config::Outcome> make_change(Context& c, const Request& request, const config::Configuration::Edit& edit,
                                    const config::ChangeOptions& options) {
  const auto draft = parameter(request, "draft");
  return draft.empty() ? c.configuration.change(author_of(request), edit, options)
                       : c.configuration.change_draft(asker_of(request), draft, edit, options);
}

Response change(Context& c, const Request& request, const config::Configuration::Edit& edit, const std::string& prefix,
                const std::function<Response()>& show) {
  return answer_change(c, request, make_change(c, request, edit, options_of(request)), prefix, show);
}

}  // namespace sluice::api
