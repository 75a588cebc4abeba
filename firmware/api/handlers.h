// What the handlers of all routes share: answers, preconditions, the change that an edit becomes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/auth.h"
#include "api/events.h"
#include "api/router.h"
#include "api/telemetry.h"
#include "config/proto_json.h"
#include "config/resources.h"
#include "config/tool_reports.h"
#include "config/transaction.h"

namespace sluice::api {

/// Everything that the routes work on.
struct Context {
  config::Configuration& configuration;
  Telemetry& telemetry;
  Auth& auth;
  Events& events;
  config::ToolReports& tool_reports;
};
using Shared = std::shared_ptr<Context>;

// Each file of handlers adds its own routes.
void add_people_routes(Router& router, const Shared& c);
void add_configuration_routes(Router& router, const Shared& c);
void add_collection_routes(Router& router, const Shared& c);
void add_rule_routes(Router& router, const Shared& c);
void add_address_set_routes(Router& router, const Shared& c);
void add_restore_routes(Router& router, const Shared& c);
void add_draft_routes(Router& router, const Shared& c);
void add_revision_routes(Router& router, const Shared& c);
void add_measure_routes(Router& router, const Shared& c);
void add_advise_routes(Router& router, const Shared& c);
void add_drill_routes(Router& router, const Shared& c);
void add_health_routes(Router& router, const Shared& c);
void add_observation_routes(Router& router, const Shared& c);

// ---- Answers ----

[[nodiscard]] Response ok(std::string json);
[[nodiscard]] Response ok(const google::protobuf::Message& body);
/// A list of what `message_of` makes of each.
template <class All, class MessageOf>
[[nodiscard]] Response ok_list(const All& all, MessageOf&& message_of) {
  std::string body;
  for (const auto& one : all) body += (body.empty() ? "[" : ",") + config::to_json(message_of(one));
  return ok(body.empty() ? "[]" : body + "]");
}
/// What has nothing to show: 204, or why not.
[[nodiscard]] Response done(const Result<void>& result);
/// Of the configuration as a whole.
[[nodiscard]] inline std::string etag(const config::Configuration::View& view) { return '"' + view.version + '"'; }
/// Of what is shown: it changes when, and only when, that does.
[[nodiscard]] std::string etag(const google::protobuf::Message& resource);

/// RFC 9110 section 13.1.1. An absent header asks for nothing. present: the ETag; empty if there is no such resource.
[[nodiscard]] Result<void> check_if_match(const Request& request, const std::string& present);

/// The body as a message, checked against the limits of its fields.
[[nodiscard]] Result<void> read_body(const Request& request, google::protobuf::Message& out);
/// `present` with a merge patch (RFC 7396), as a message of the same type.
[[nodiscard]] Result<void> merge_patch(const google::protobuf::Message& present, const std::string& patch, google::protobuf::Message& out);
/// The number in a path, such as a revision's.
[[nodiscard]] Result<uint64_t> number_in_path(const std::string& text, const std::string& what);

/// Of the data plane, and what the management daemon has to add: faults of the configuration's own.
[[nodiscard]] Result<v1::Status> observed_status(config::Configuration& configuration, Telemetry& telemetry);

// ---- Lists in pages ----

/// ?limit= and ?cursor=. A page's answer has a Link (RFC 8288) to the next one, if there is one.
[[nodiscard]] std::vector<Parameter> page_parameters();
/// The elements' JSON, of those whose ids these are. Errors: a cursor whose element is gone.
[[nodiscard]] Response page_of(const Request& request, const std::vector<std::string>& ids, const std::function<std::string(int)>& json);

// ---- Changes ----

/// ?dry_run=, ?comment=, ?confirm_timeout=
[[nodiscard]] std::vector<Parameter> commit_parameters();
/// These, and ?draft=
[[nodiscard]] std::vector<Parameter> change_parameters();
/// ?draft=, and others
[[nodiscard]] std::vector<Parameter> view_parameters(std::vector<Parameter> others = {});
[[nodiscard]] config::Author author_of(const Request& request);
[[nodiscard]] config::Asker asker_of(const Request& request);
/// The configuration in force, or as the draft that the request names would have it. Errors: no such draft.
[[nodiscard]] Result<config::Configuration::View> view_of(Context& c, const Request& request);
[[nodiscard]] config::ChangeOptions options_of(const Request& request);
/// The same for a change of the whole configuration: If-Match is about the revision.
[[nodiscard]] config::ChangeOptions options_for_all(const Request& request);
/// "maps[2]": where an error of the whole configuration is about the resource that was sent, its path counts from that.
[[nodiscard]] std::string indexed(config::Collection collection, int i);
[[nodiscard]] Error no_such(config::Collection collection, const std::string& name);

/// The answer to what became of a change: of a dry run the report, else what `show` makes of the new state.
[[nodiscard]] Response answer_change(Context& c, const Request& request, const Result<config::Outcome>& outcome, const std::string& prefix,
                                     const std::function<Response()>& show);
/// Makes an edit, in the draft that the request names, or in force.
[[nodiscard]] Result<config::Outcome> make_change(Context& c, const Request& request, const config::Configuration::Edit& edit,
                                                  const config::ChangeOptions& options);
/// Runs an edit, and answers.
[[nodiscard]] Response change(Context& c, const Request& request, const config::Configuration::Edit& edit, const std::string& prefix,
                              const std::function<Response()>& show);
[[nodiscard]] v1::Confirmation confirmation_of(const config::Confirmation& confirmation);
[[nodiscard]] v1::Revision revision_of(const config::Revision& revision);
/// The answer to a change that has nothing else to show: what it did.
[[nodiscard]] Response report(Context& c, const config::Outcome& outcome, bool dry_run);

}  // namespace sluice::api
