// The rules of a map, one by one: a map of 16,384 rules is not sent whole to change one.
#include <algorithm>
#include <charconv>

#include "api/handlers.h"
#include "config/proto_json.h"

namespace sluice::api {
namespace {

config::Collection maps() { return config::find_collection("maps"); }

Error no_such_rule(const std::string& map, const std::string& id) {
  return {ErrorCode::kNotFound, "", "map \"" + map + "\" has no rule \"" + id + "\""};
}

int find_rule(const v1::Map& map, const std::string& id) {
  const auto& rules = map.rules();
  const auto found = std::find_if(rules.begin(), rules.end(), [&id](const v1::Rule& rule) { return rule.id() == id; });
  return found == rules.end() ? -1 : static_cast<int>(found - rules.begin());
}

std::string rule_path(int map, int rule) { return indexed(maps(), map) + ".rules[" + std::to_string(rule) + "]"; }

void move(v1::Map& map, int from, int to) {
  auto* rules = map.mutable_rules();
  for (int i = from; i < to; ++i) rules->SwapElements(i, i + 1);
  for (int i = from; i > to; --i) rules->SwapElements(i, i - 1);
}

Response show_rule(Context& c, const Request& request, const std::string& map_name, const std::string& id, unsigned status = 200) {
  const auto view = view_of(c, request);
  if (!view) return problem(view.error());
  const int m = config::find(view->config, maps(), map_name);
  if (m < 0) return problem(no_such(maps(), map_name));
  const int i = find_rule(view->config.maps(m), id);
  if (i < 0) return problem(no_such_rule(map_name, id));
  Response response = ok(config::to_json(view->config.maps(m).rules(i)));
  response.status = status;
  response.headers["ETag"] = etag(view->config.maps(m).rules(i));
  return response;
}

Response list_rules(Context& c, const Request& request, const std::string& map_name) {
  const auto view = view_of(c, request);
  if (!view) return problem(view.error());
  const int m = config::find(view->config, maps(), map_name);
  if (m < 0) return problem(no_such(maps(), map_name));
  const auto& map = view->config.maps(m);
  std::vector<std::string> ids;
  for (const auto& rule : map.rules()) ids.push_back(rule.id());
  Response response = page_of(request, ids, [&map](int i) { return config::to_json(map.rules(i)); });
  response.headers["ETag"] = etag(map);
  return response;
}

/// An edit of one map, and where a fault in the rule that it touches would be reported.
struct RuleEdit {
  Context& c;
  const Request& request;
  const std::string& map_name;
  std::string path = "maps";
  std::string new_rule = {};  ///< id of the rule that came into being, afterwards

  Response run(const std::function<Result<void>(v1::Map&, int map)>& edit, const std::function<Response()>& show) {
    const auto outcome = make_change(
        c, request,
        [&](v1::Config& next) -> Result<void> {
          const int m = config::find(next, maps(), map_name);
          if (m < 0) return no_such(maps(), map_name);
          return edit(*next.mutable_maps(m), m);
        },
        options_of(request));
    if (outcome)
      for (const auto& change : outcome->changes)
        for (const auto& field : change.fields())
          if (field.path().starts_with("rules[") && !field.has_before()) new_rule = field.path().substr(6, field.path().size() - 7);
    return answer_change(c, request, outcome, path, show);
  }

  /// The same of a rule that has to be there, as the client saw it.
  Response run_on(const std::string& id, const std::function<Result<void>(v1::Map&, int rule)>& edit,
                  const std::function<Response()>& show) {
    return run(
        [&](v1::Map& map, int m) -> Result<void> {
          const int i = find_rule(map, id);
          if (i < 0) return no_such_rule(map_name, id);
          path = rule_path(m, i);
          if (auto r = check_if_match(request, etag(map.rules(i))); !r) return r;
          return edit(map, i);
        },
        show);
  }
};

Response post_rule(Context& c, const Request& request, const std::string& map_name) {
  v1::Rule body;
  if (auto r = config::from_json(request.body, body); !r) return problem(r.error());
  if (!body.id().empty()) return problem({ErrorCode::kInvalid, "id", "is made by the server; leave it out for a new rule"});
  RuleEdit edit{c, request, map_name};
  return edit.run(
      [&](v1::Map& map, int m) -> Result<void> {
        int at = map.rules_size();
        if (const auto given = request.query.find("index"); given != request.query.end())
          (void)std::from_chars(given->second.data(), given->second.data() + given->second.size(), at);
        if (at > map.rules_size())
          return Error{ErrorCode::kInvalid, "index", "is behind the end: the map has " + std::to_string(map.rules_size()) + " rules"};
        edit.path = rule_path(m, at);
        *map.add_rules() = body;
        move(map, map.rules_size() - 1, at);
        return {};
      },
      [&] {
        const std::string id = edit.new_rule;
        Response response = show_rule(c, request, map_name, id, 201);
        response.headers["Location"] = request.path + "/" + id;
        return response;
      });
}

Response change_rule(Context& c, const Request& request, const std::string& map_name, const std::string& id, bool patch) {
  return RuleEdit{c, request, map_name}.run_on(
      id,
      [&](v1::Map& map, int i) -> Result<void> {
        v1::Rule body;
        auto r = patch ? merge_patch(map.rules(i), request.body, body) : config::from_json(request.body, body);
        if (!r) return r;
        if (body.id().empty()) body.set_id(id);
        if (body.id() != id) return Error{ErrorCode::kInvalid, "id", "is made by the server and cannot be changed"};
        *map.mutable_rules(i) = body;
        return {};
      },
      [&] { return show_rule(c, request, map_name, id); });
}

Response delete_rule(Context& c, const Request& request, const std::string& map_name, const std::string& id) {
  return RuleEdit{c, request, map_name}.run_on(
      id,
      [&](v1::Map& map, int i) -> Result<void> {
        map.mutable_rules()->DeleteSubrange(i, 1);
        return {};
      },
      [] {
        return Response{204, "", "application/json", {}};
      });
}

Response move_rule(Context& c, const Request& request, const std::string& map_name, const std::string& id) {
  v1::Move body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  if (body.where_case() == v1::Move::WHERE_NOT_SET) return problem({ErrorCode::kInvalid, "", "needs one of index, before, after"});
  return RuleEdit{c, request, map_name}.run_on(
      id,
      [&](v1::Map& map, int i) -> Result<void> {
        int to = static_cast<int>(std::min<uint32_t>(body.index(), INT32_MAX));
        if (body.where_case() != v1::Move::kIndex) {
          const bool before = body.where_case() == v1::Move::kBefore;
          const int other = find_rule(map, before ? body.before() : body.after());
          if (other < 0) return Error{ErrorCode::kInvalid, before ? "before" : "after", "the map has no such rule"};
          to = (before ? other : other + 1) - (i < other ? 1 : 0);  // where it is once this one is taken out
          if (other == i) to = i;
        }
        if (to >= map.rules_size())
          return Error{ErrorCode::kInvalid, "index", "is behind the end: the map has " + std::to_string(map.rules_size()) + " rules"};
        move(map, i, to);
        return {};
      },
      [&] { return show_rule(c, request, map_name, id); });
}

}  // namespace

void add_rule_routes(Router& router, const Shared& c) {
  const std::string base = "/api/v1/maps/{name}/rules", one = base + "/{id}";
  const Body body{v1::Rule::descriptor()};
  auto placed = change_parameters();
  placed.push_back({"index", "where it goes, 0 is the first; without it: behind the last", Parameter::Type::kNumber, 0, 16384});
  router.add({"GET",
              base,
              "a map's rules, in order",
              Access::kViewer,
              {},
              {v1::Rule::descriptor(), true},
              view_parameters(page_parameters()),
              200,
              [c](const auto& r, const auto& a) { return list_rules(*c, r, a[0]); }});
  router.add({"POST", base, "adds a rule", Access::kOperator, body, body, placed, 201,
              [c](const auto& r, const auto& a) { return post_rule(*c, r, a[0]); }});
  router.add({"GET", one, "one rule", Access::kViewer, {}, body, view_parameters(), 200, [c](const auto& r, const auto& a) {
                return show_rule(*c, r, a[0], a[1]);
              }});
  router.add({"PUT", one, "replaces a rule; its place stays", Access::kOperator, body, body, change_parameters(), 200,
              [c](const auto& r, const auto& a) { return change_rule(*c, r, a[0], a[1], false); }});
  router.add({"PATCH", one, "changes some fields of a rule (merge patch, RFC 7396)", Access::kOperator, body, body, change_parameters(),
              200, [c](const auto& r, const auto& a) { return change_rule(*c, r, a[0], a[1], true); }});
  router.add({"DELETE", one, "removes a rule", Access::kOperator, {}, {}, change_parameters(), 204, [c](const auto& r, const auto& a) {
                return delete_rule(*c, r, a[0], a[1]);
              }});
  router.add({"POST",
              one + ":move",
              "gives a rule another place",
              Access::kOperator,
              {v1::Move::descriptor()},
              body,
              change_parameters(),
              200,
              [c](const auto& r, const auto& a) { return move_rule(*c, r, a[0], a[1]); }});
}

}  // namespace sluice::api
