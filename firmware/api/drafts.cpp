// Edits that are gathered before they are in force: any route of the configuration takes ?draft=ID.
#include "api/handlers.h"
#include "config/proto_json.h"

namespace sluice::api {
namespace {

v1::Draft draft_of(const config::Configuration::DraftView& view) {
  v1::Draft out;
  out.set_id(view.draft.id);
  out.set_user(view.draft.user);
  out.set_comment(view.draft.comment);
  out.set_created_unix_ns(view.draft.created_ns);
  out.set_changed_unix_ns(view.draft.changed_ns);
  out.set_revision(view.revision);
  for (const auto& change : view.changes) *out.add_changes() = change;
  for (const auto& line : config::in_words(view.changes)) out.add_words(line);
  for (const auto& conflict : view.conflicts) out.add_conflicts(conflict);
  return out;
}

Response show_draft(Context& c, const Request& request, const std::string& id, unsigned status = 200) {
  const auto view = c.configuration.view_draft(asker_of(request), id);
  if (!view) return problem(view.error());
  Response response = ok(draft_of(*view));
  response.status = status;
  response.headers["ETag"] = '"' + view->version + '"';
  return response;
}

Response list_drafts(Context& c, const Request& request) {
  const auto all = c.configuration.drafts(asker_of(request));
  if (!all) return problem(all.error());
  std::string body;
  for (const auto& one : *all) {
    const auto view = c.configuration.view_draft(asker_of(request), one.id);
    if (view) body += (body.empty() ? "" : ",") + config::to_json(draft_of(*view));  // else it went away meanwhile
  }
  return ok("[" + body + "]");
}

Response make_draft(Context& c, const Request& request) {
  v1::NewDraft body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  const auto made = c.configuration.make_draft({request.caller.user, body.comment()});
  return made ? show_draft(c, request, made->id, 201) : problem(made.error());
}

Response remove_draft(Context& c, const Request& request, const std::string& id) {
  return done(c.configuration.remove_draft(asker_of(request), id));
}

Response rebase_draft(Context& c, const Request& request, const std::string& id) {
  if (auto r = c.configuration.rebase_draft(asker_of(request), id, options_for_all(request)); !r) return problem(r.error());
  return show_draft(c, request, id);
}

Response commit_draft(Context& c, const Request& request, const std::string& id) {
  const auto options = options_for_all(request);
  const auto outcome = c.configuration.commit_draft(author_of(request), asker_of(request), id, options);
  return outcome ? report(c, *outcome, options.dry_run) : problem(outcome.error());
}

}  // namespace

void add_draft_routes(Router& router, const Shared& c) {
  const std::string base = "/api/v1/drafts", one = base + "/{id}";
  const Body draft{v1::Draft::descriptor()};
  router.add({"GET",
              base,
              "one's own drafts; an admin's are everybody's",
              Access::kOperator,
              {},
              {draft.type, true},
              {},
              200,
              [c](const auto& r, const auto&) { return list_drafts(*c, r); }});
  router.add({"POST",
              base,
              "makes a draft: edits with ?draft= its id gather in it and are not in force",
              Access::kOperator,
              {v1::NewDraft::descriptor()},
              draft,
              {},
              201,
              [c](const auto& r, const auto&) { return make_draft(*c, r); }});
  router.add({"GET",
              one,
              "what a draft changes, and what stands against it",
              Access::kOperator,
              {},
              draft,
              {},
              200,
              [c](const auto& r, const auto& a) { return show_draft(*c, r, a[0]); }});
  router.add({"DELETE", one, "throws a draft away", Access::kOperator, {}, {}, {}, 204, [c](const auto& r, const auto& a) {
                return remove_draft(*c, r, a[0]);
              }});
  router.add({"POST",
              one + ":rebase",
              "what somebody else changed meanwhile is overwritten at the commit",
              Access::kOperator,
              {},
              draft,
              {},
              200,
              [c](const auto& r, const auto& a) { return rebase_draft(*c, r, a[0]); },
              {412}});
  router.add({"POST",
              one + ":commit",
              "puts a draft in force, as one revision",
              Access::kOperator,
              {},
              {v1::ChangeReport::descriptor()},
              commit_parameters(),
              200,
              [c](const auto& r, const auto& a) { return commit_draft(*c, r, a[0]); }});
}

}  // namespace sluice::api
