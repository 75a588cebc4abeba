// The resources of the configuration: every collection works the same way.
#include "api/handlers.h"
#include "config/proto_json.h"

namespace sluice::api {
namespace {

using config::Collection;
using google::protobuf::Message;

std::unique_ptr<Message> new_resource(Collection collection) {
  return std::unique_ptr<Message>(google::protobuf::MessageFactory::generated_factory()->GetPrototype(collection->message_type())->New());
}

void set_text(Message& m, const char* field, const std::string& value) {
  m.GetReflection()->SetString(&m, m.GetDescriptor()->FindFieldByName(field), value);
}

Response show_resource(Context& c, const Request& request, Collection collection, const std::string& name, unsigned status = 200) {
  const auto view = view_of(c, request);
  if (!view) return problem(view.error());
  const int i = config::find(view->config, collection, name);
  if (i < 0) return problem(no_such(collection, name));
  const auto& m = config::resource(view->config, collection, i);
  Response response = ok(config::to_json(m));
  response.status = status;
  response.headers["ETag"] = etag(m);
  return response;
}

/// Puts `body` where the resource of this name or id is, or at the end.
Result<void> place(v1::Config& next, Collection collection, const Request& request, const std::string& name, const std::string& path,
                   Message& body) {
  const int i = config::find(next, collection, name);
  const auto* present = i >= 0 ? &config::resource(next, collection, i) : nullptr;
  if (config::name_of(body).empty()) set_text(body, "name", present ? config::name_of(*present) : name);
  const std::string given = config::name_of(body);
  if (!present && given != name)
    return Error{ErrorCode::kInvalid, path + ".name", "is \"" + given + "\", and the path says \"" + name + "\""};
  if (present && given != config::name_of(*present))
    return Error{ErrorCode::kInvalid, path + ".name", "is changed by POST to the resource's path with \":rename\", not so"};
  const std::string id = present ? config::id_of(*present) : "";
  if (const auto given_id = config::id_of(body); !given_id.empty() && given_id != id)
    return Error{ErrorCode::kInvalid, path + ".id", "is made by the server and cannot be changed"};
  if (auto r = check_if_match(request, present ? etag(*present) : ""); !r) return r;
  set_text(body, "id", id);
  auto& target = present ? config::mutable_resource(next, collection, i) : *next.GetReflection()->AddMessage(&next, collection);
  target.CopyFrom(body);
  return {};
}

Response put_resource(Context& c, Collection collection, const Request& request, const std::string& name) {
  const auto body = new_resource(collection);
  if (auto r = config::from_json(request.body, *body); !r) return problem(r.error());
  // Which one it is, and whether it is still as the client saw it, is decided under the configuration's lock.
  const auto view = view_of(c, request);
  if (!view) return problem(view.error());
  const int known = config::find(view->config, collection, name);
  const auto path = indexed(collection, known >= 0 ? known : config::count(view->config, collection));
  return change(
      c, request, [&](v1::Config& next) { return place(next, collection, request, name, path, *body); }, path,
      [&] { return show_resource(c, request, collection, name, known >= 0 ? 200 : 201); });
}

Response post_resource(Context& c, Collection collection, const Request& request) {
  const auto body = new_resource(collection);
  if (auto r = config::from_json(request.body, *body); !r) return problem(r.error());
  const std::string name = config::name_of(*body);
  if (name.empty()) return problem({ErrorCode::kInvalid, "name", "is required"});
  const auto view = view_of(c, request);
  if (!view) return problem(view.error());
  const auto path = indexed(collection, config::count(view->config, collection));
  const auto edit = [&](v1::Config& next) -> Result<void> {
    if (config::find(next, collection, name) >= 0)
      return Error{ErrorCode::kConflict, path + ".name", "there is another " + config::singular(collection) + " \"" + name + "\""};
    return place(next, collection, request, name, path, *body);
  };
  return change(c, request, edit, path, [&] {
    Response response = show_resource(c, request, collection, name, 201);
    response.headers["Location"] = request.path + "/" + name;
    return response;
  });
}

Response patch_resource(Context& c, Collection collection, const Request& request, const std::string& name) {
  std::string path = collection->name();
  const auto edit = [&](v1::Config& next) -> Result<void> {
    const int i = config::find(next, collection, name);
    if (i < 0) return no_such(collection, name);
    path = indexed(collection, i);
    const auto body = new_resource(collection);
    if (auto r = merge_patch(config::resource(next, collection, i), request.body, *body); !r) return r;
    return place(next, collection, request, name, path, *body);
  };
  const auto outcome = make_change(c, request, edit, options_of(request));
  return answer_change(c, request, outcome, path, [&] { return show_resource(c, request, collection, name); });
}

Response delete_resource(Context& c, Collection collection, const Request& request, const std::string& name) {
  const auto edit = [&](v1::Config& next) -> Result<void> {
    const int i = config::find(next, collection, name);
    if (i < 0) return no_such(collection, name);
    const auto& m = config::resource(next, collection, i);
    if (auto r = check_if_match(request, etag(m)); !r) return r;
    std::string who;
    for (const auto& reference : {config::name_of(m), config::id_of(m)})
      for (const auto& referrer : config::referrers(next, collection, reference)) who += (who.empty() ? "" : ", ") + referrer;
    if (!who.empty()) return Error{ErrorCode::kConflict, "", "\"" + name + "\" is referred to by " + who};
    config::remove_resource(next, collection, i);
    return {};
  };
  return change(c, request, edit, "", [] { return Response{204, "", "application/json", {}}; });
}

/// References follow by themselves: they are stored by id. Here, in the copy with names, they are rewritten with it.
Response rename_resource(Context& c, Collection collection, const Request& request, const std::string& name) {
  v1::Rename body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  std::string path = collection->name();
  const auto edit = [&](v1::Config& next) -> Result<void> {
    const int i = config::find(next, collection, name);
    if (i < 0) return no_such(collection, name);
    path = indexed(collection, i);
    auto& m = config::mutable_resource(next, collection, i);
    if (auto r = check_if_match(request, etag(m)); !r) return r;
    config::refer_by_id(next, collection, config::name_of(m), config::id_of(m));
    set_text(m, "name", body.name());
    return {};
  };
  const auto outcome = make_change(c, request, edit, options_of(request));
  return answer_change(c, request, outcome, path, [&] { return show_resource(c, request, collection, body.name()); });
}

Response list_resources(Context& c, Collection collection, const Request& request) {
  const auto view = view_of(c, request);
  if (!view) return problem(view.error());
  std::vector<std::string> ids;
  for (int i = 0; i < config::count(view->config, collection); ++i)
    ids.push_back(config::id_of(config::resource(view->config, collection, i)));
  Response response = page_of(request, ids, [&](int i) { return config::to_json(config::resource(view->config, collection, i)); });
  response.headers["ETag"] = etag(*view);
  return response;
}

}  // namespace

void add_collection_routes(Router& router, const Shared& c) {
  for (const auto* collection : config::collections()) {
    const std::string base = "/api/v1/" + collection->name(), one = base + "/{name}", word = config::singular(collection);
    const Body body{collection->message_type()};
    const Access changing = config::is_about_people(collection) ? Access::kAdmin : Access::kOperator;
    router.add({"GET",
                base,
                "all " + word + "s",
                Access::kViewer,
                {},
                {collection->message_type(), true},
                view_parameters(page_parameters()),
                200,
                [c, collection](const auto& r, const auto&) { return list_resources(*c, collection, r); }});
    router.add({"POST", base, "makes a " + word, changing, body, body, change_parameters(), 201,
                [c, collection](const auto& r, const auto&) { return post_resource(*c, collection, r); }});
    router.add({"GET",
                one,
                "one " + word + ", by name or id",
                Access::kViewer,
                {},
                body,
                view_parameters(),
                200,
                [c, collection](const auto& r, const auto& a) { return show_resource(*c, r, collection, a[0]); }});
    router.add({"PUT",
                one,
                "makes or replaces a " + word,
                changing,
                body,
                body,
                change_parameters(),
                200,
                [c, collection](const auto& r, const auto& a) { return put_resource(*c, collection, r, a[0]); },
                {201}});
    router.add({"PATCH", one, "changes some fields of a " + word + " (merge patch, RFC 7396)", changing, body, body, change_parameters(),
                200, [c, collection](const auto& r, const auto& a) { return patch_resource(*c, collection, r, a[0]); }});
    router.add({"DELETE",
                one,
                "removes a " + word + " that nothing refers to",
                changing,
                {},
                {},
                change_parameters(),
                204,
                [c, collection](const auto& r, const auto& a) { return delete_resource(*c, collection, r, a[0]); }});
    router.add({"POST",
                one + ":rename",
                "gives a " + word + " another name; id, references and counters stay",
                changing,
                {v1::Rename::descriptor()},
                body,
                change_parameters(),
                200,
                [c, collection](const auto& r, const auto& a) { return rename_resource(*c, collection, r, a[0]); }});
  }
}

}  // namespace sluice::api
