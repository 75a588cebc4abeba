// The entries of an address set, a few at a time: a set has up to 100,000.
#include <boost/json.hpp>
#include <set>

#include "api/handlers.h"
#include "config/proto_json.h"

namespace sluice::api {
namespace {

config::Collection sets() { return config::find_collection("address_sets"); }

Response list_entries(Context& c, const Request& request, const std::string& name) {
  const auto view = view_of(c, request);
  if (!view) return problem(view.error());
  const int s = config::find(view->config, sets(), name);
  if (s < 0) return problem(no_such(sets(), name));
  const auto& set = view->config.address_sets(s);
  const std::vector<std::string> entries(set.entries().begin(), set.entries().end());
  Response response =
      page_of(request, entries, [&](int i) { return boost::json::serialize(boost::json::value(entries[static_cast<std::size_t>(i)])); });
  response.headers["ETag"] = etag(set);
  return response;
}

/// Adds those that are not there, or removes those that are; the set as it is then.
Response change_entries(Context& c, const Request& request, const std::string& name, bool add) {
  v1::Entries body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  const std::set<std::string> given(body.entries().begin(), body.entries().end());
  std::string path = "address_sets";
  const auto edit = [&](v1::Config& next) -> Result<void> {
    const int s = config::find(next, sets(), name);
    if (s < 0) return no_such(sets(), name);
    path = indexed(sets(), s);
    auto& set = *next.mutable_address_sets(s);
    if (auto r = check_if_match(request, etag(set)); !r) return r;
    std::set<std::string> present(set.entries().begin(), set.entries().end());
    if (add) {
      for (const auto& entry : body.entries())
        if (present.insert(entry).second) set.add_entries(entry);
      return {};
    }
    for (const auto& entry : given)
      if (!present.contains(entry)) return Error{ErrorCode::kNotFound, "entries", "\"" + entry + "\" is not in the set"};
    google::protobuf::RepeatedPtrField<std::string> left;
    for (const auto& entry : set.entries())
      if (!given.contains(entry)) *left.Add() = entry;
    set.mutable_entries()->Swap(&left);
    return {};
  };
  const auto outcome = make_change(c, request, edit, options_of(request));
  if (!outcome) return answer_change(c, request, outcome, path, {});
  return report(c, *outcome, options_of(request).dry_run);
}

}  // namespace

void add_address_set_routes(Router& router, const Shared& c) {
  const std::string base = "/api/v1/address_sets/{name}/entries";
  const Body takes{v1::Entries::descriptor()}, gives{v1::ChangeReport::descriptor()};
  router.add({"GET",
              base,
              "the entries of a set",
              Access::kViewer,
              {},
              {nullptr, true},
              view_parameters(page_parameters()),
              200,
              [c](const auto& r, const auto& a) { return list_entries(*c, r, a[0]); }});
  router.add({"POST", base, "adds entries", Access::kOperator, takes, gives, change_parameters(), 200,
              [c](const auto& r, const auto& a) { return change_entries(*c, r, a[0], true); }});
  router.add({"POST", base + ":remove", "removes entries", Access::kOperator, takes, gives, change_parameters(), 200,
              [c](const auto& r, const auto& a) { return change_entries(*c, r, a[0], false); }});
}

}  // namespace sluice::api
