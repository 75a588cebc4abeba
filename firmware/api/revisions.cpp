// What was changed, by whom; and the ways back.
#include "api/handlers.h"
#include "config/proto_json.h"

namespace sluice::api {
namespace {

constexpr unsigned kPage = 200;

uint64_t number(const Request& request, const std::string& name, uint64_t otherwise) {
  const auto given = request.query.find(name);
  return given == request.query.end() ? otherwise : std::stoull(given->second);  // checked by the router
}

Response list_revisions(Context& c, const Request& request) {
  const auto limit = static_cast<unsigned>(number(request, "limit", kPage));
  const auto revisions = c.configuration.revisions(limit + 1, number(request, "below", INT64_MAX));
  if (!revisions) return problem(revisions.error());
  std::string body = "[";
  const auto shown = std::min<std::size_t>(limit, revisions->size());
  for (std::size_t i = 0; i < shown; ++i) body += (i ? "," : "") + config::to_json(revision_of((*revisions)[i]));
  Response response = ok(body + "]");
  if (revisions->size() > shown)
    response.headers["Link"] = "<" + request.path + "?limit=" + std::to_string(limit) +
                               "&below=" + std::to_string((*revisions)[shown - 1].number) + ">; rel=\"next\"";
  return response;
}

/// The revision that a path names.
template <class Then>
Response with_revision(const Arguments& arguments, Then&& then) {
  const auto n = number_in_path(arguments[0], "revision");
  return n ? then(*n) : problem(n.error());
}

Response show_revision(Context& c, uint64_t n) {
  const auto revision = c.configuration.revision(n);
  return revision ? ok(revision_of(*revision)) : problem(revision.error());
}

Response show_config_at(Context& c, uint64_t n) {
  const auto config = c.configuration.config_at(n);
  return config ? ok(*config) : problem(config.error());
}

Response show_difference(Context& c, const Request& request, uint64_t n) {
  const uint64_t from = number(request, "from", n ? n - 1 : 0);
  const auto before = c.configuration.config_at(from);
  if (!before) return problem(before.error());
  const auto after = c.configuration.config_at(n);
  if (!after) return problem(after.error());
  v1::Difference body;
  body.set_from(from);
  body.set_to(n);
  const auto changes = config::diff(*before, *after);
  for (const auto& change : changes) *body.add_changes() = change;
  for (const auto& line : config::in_words(changes)) body.add_words(line);
  return ok(body);
}

Response go_back(Context& c, const Request& request, uint64_t n, bool whole) {
  auto author = author_of(request);
  if (author.comment.empty()) author.comment = (whole ? "rollback to revision " : "revert of revision ") + std::to_string(n);
  const auto options = options_for_all(request);
  const auto outcome = whole ? c.configuration.rollback(author, n, options) : c.configuration.revert(author, n, options);
  return outcome ? report(c, *outcome, options.dry_run) : problem(outcome.error());
}

Response confirm(Context& c, uint64_t n) {
  if (auto r = c.configuration.confirm(n); !r) return problem(r.error());
  return show_revision(c, n);
}

Response label(Context& c, const Request& request, uint64_t n) {
  v1::Label body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  if (auto r = c.configuration.set_label(n, body.label()); !r) return problem(r.error());
  return show_revision(c, n);
}

}  // namespace

v1::Revision revision_of(const config::Revision& revision) {
  v1::Revision out;
  out.set_number(revision.number);
  out.set_created_unix_ns(revision.created_ns);
  out.set_author(revision.author);
  out.set_comment(revision.comment);
  out.set_label(revision.label);
  out.set_changes_known(revision.changes_known);
  if (revision.confirmation) *out.mutable_confirmation() = confirmation_of(*revision.confirmation);
  return out;
}

void add_revision_routes(Router& router, const Shared& c) {
  const std::string base = "/api/v1/revisions", one = base + "/{number}";
  const Body revision{v1::Revision::descriptor()}, report{v1::ChangeReport::descriptor()};
  router.add({"GET",
              base,
              "what was changed, the newest first",
              Access::kViewer,
              {},
              {v1::Revision::descriptor(), true},
              {{"limit", "most of them in the answer; 200 without it", Parameter::Type::kNumber, 1, 1000},
               {"below", "only those below this number: the next page", Parameter::Type::kNumber, 0, INT64_MAX}},
              200,
              [c](const auto& r, const auto&) { return list_revisions(*c, r); }});
  router.add({"GET", one, "one revision", Access::kViewer, {}, revision, {}, 200, [c](const auto&, const auto& a) {
                return with_revision(a, [&](uint64_t n) { return show_revision(*c, n); });
              }});
  router.add({"GET",
              one + "/config",
              "the whole configuration as it was then",
              Access::kViewer,
              {},
              {v1::Config::descriptor()},
              {},
              200,
              [c](const auto&, const auto& a) { return with_revision(a, [&](uint64_t n) { return show_config_at(*c, n); }); }});
  router.add({"GET",
              one + "/diff",
              "what it changed, as data and in words",
              Access::kViewer,
              {},
              {v1::Difference::descriptor()},
              {{"from", "compared with this revision instead of the one before", Parameter::Type::kNumber, 0, INT64_MAX}},
              200,
              [c](const auto& r, const auto& a) { return with_revision(a, [&](uint64_t n) { return show_difference(*c, r, n); }); }});
  router.add({"POST",
              one + ":rollback",
              "makes everything as it was then, as a new revision",
              Access::kOperator,
              {},
              report,
              commit_parameters(),
              200,
              [c](const auto& r, const auto& a) { return with_revision(a, [&](uint64_t n) { return go_back(*c, r, n, true); }); }});
  router.add({"POST",
              one + ":revert",
              "undoes this one revision and keeps what came later, or says what stands against it",
              Access::kOperator,
              {},
              report,
              commit_parameters(),
              200,
              [c](const auto& r, const auto& a) { return with_revision(a, [&](uint64_t n) { return go_back(*c, r, n, false); }); }});
  router.add({"POST",
              one + ":confirm",
              "a change that was made with confirm_timeout stays",
              Access::kOperator,
              {},
              revision,
              {},
              200,
              [c](const auto&, const auto& a) { return with_revision(a, [&](uint64_t n) { return confirm(*c, n); }); }});
  router.add({"PUT",
              one + "/label",
              "a name for it, so that it can be gone back to however old it is; empty: none",
              Access::kOperator,
              {v1::Label::descriptor()},
              revision,
              {},
              200,
              [c](const auto& r, const auto& a) { return with_revision(a, [&](uint64_t n) { return label(*c, r, n); }); }});
}

}  // namespace sluice::api
