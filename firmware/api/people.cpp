// Coming in, and who may.
#include "api/handlers.h"
#include "config/proto_json.h"
#include "config/validate.h"

namespace sluice::api {
namespace {

constexpr const char* kCookieAttributes = "; Path=/; Secure; HttpOnly; SameSite=Strict";

/// The body, with what a client may leave out.
Result<void> read_filled(const Request& request, google::protobuf::Message& out) {
  if (auto r = read_body(request, out); !r) return r;
  config::fill_defaults(out);
  return {};
}

v1::User user_of(const config::User& user) {
  v1::User out;
  out.set_name(user.name);
  out.set_role(user.role);
  out.set_must_change_password(user.password_expires_ns != 0);
  out.set_created_unix_ns(user.created_ns);
  out.set_password_expires_unix_ns(user.password_expires_ns);
  return out;
}

v1::Token token_of(const config::Pass& pass, const v1::Config& config) {
  v1::Token out;
  out.set_id(pass.id);
  out.set_user(pass.user);
  v1::PassKind::Value kind = v1::PassKind::LOGIN;
  (void)v1::PassKind::Value_Parse(pass.kind, &kind);
  out.set_kind(kind);
  out.set_role(pass.role);
  out.set_comment(pass.comment);
  out.set_created_unix_ns(pass.created_ns);
  out.set_expires_unix_ns(pass.expires_ns);
  if (pass.port.empty()) return out;
  const auto port = std::find_if(config.ports().begin(), config.ports().end(), [&](const auto& one) { return one.id() == pass.port; });
  out.set_port(port == config.ports().end() ? "(removed)" : port->name());
  return out;
}

Response refused(Context& c, const Request& request, const std::string& user, const Error& error) {
  Response response = problem(error);
  if (error.code == ErrorCode::kTooMany)
    response.headers["Retry-After"] = std::to_string(std::max<uint64_t>(c.auth.wait_s(request, user), 1));
  return response;
}

Response log_in(Context& c, const Request& request) {
  v1::Login body;
  if (auto r = read_filled(request, body); !r) return problem(r.error());
  const auto issued = c.auth.login(request, body.user(), body.password(), body.cookie() ? "COOKIE" : "LOGIN");
  if (!issued) return refused(c, request, body.user(), issued.error());
  v1::LoggedIn answer;
  answer.set_type("Bearer");
  answer.set_user(issued->pass.user);
  answer.set_role(issued->pass.role);
  answer.set_must_change_password(issued->pass.restricted);
  answer.set_expires_unix_ns(issued->pass.expires_ns);
  if (!body.cookie()) answer.set_token(issued->token);
  Response response = ok(answer);
  if (body.cookie()) response.headers["Set-Cookie"] = std::string(kCookie) + "=" + issued->token + kCookieAttributes;
  return response;
}

Response log_out(Context& c, const Request& request) {
  if (!request.caller.pass.empty())
    if (auto r = c.auth.revoke(request.caller, request.caller.pass); !r) return problem(r.error());
  Response response{204, "", "", {}};
  if (!request.cookie.empty()) response.headers["Set-Cookie"] = std::string(kCookie) + "=; Max-Age=0" + kCookieAttributes;
  return response;
}

Response show_me(const Request& request) {
  v1::Me me;
  me.set_user(request.caller.user);
  me.set_role(request.caller.role);
  me.set_must_change_password(request.caller.restricted);
  me.set_token(request.caller.pass);
  return ok(me);
}

Response change_password(Context& c, const Request& request) {
  v1::PasswordChange body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  if (auto r = c.auth.change_password(request, body.old_password(), body.new_password()); !r)
    return refused(c, request, request.caller.user, r.error());
  return {204, "", "", {}};
}

Response list_users(Context& c) { return ok_list(c.auth.users(), user_of); }

Response show_user(const Result<config::User>& user, unsigned status = 200) {
  if (!user) return problem(user.error());
  Response response = ok(user_of(*user));
  response.status = status;
  return response;
}

Response add_user(Context& c, const Request& request) {
  v1::NewUser body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  return show_user(c.auth.add_user(body.name(), body.role(), body.password()), 201);
}

Response change_user(Context& c, const Request& request, const std::string& name) {
  v1::UserChange body;
  if (auto r = read_body(request, body); !r) return problem(r.error());
  return show_user(c.auth.change_user(name, body.role() ? std::optional(body.role()) : std::nullopt,
                                      body.password().empty() ? std::nullopt : std::optional(body.password())));
}

Response remove_user(Context& c, const std::string& name) { return done(c.auth.remove_user(name)); }

Response list_tokens(Context& c, const Request& request) {
  const auto view = c.configuration.view();
  return ok_list(c.auth.passes(request.caller), [&view](const config::Pass& pass) { return token_of(pass, view.config); });
}

/// The id of the port that a tool's token is for.
Result<std::string> port_for(const v1::Config& config, const Caller& caller, const v1::NewToken& body) {
  if (body.role()) return Error{ErrorCode::kInvalid, "role", "is not for a tool's token, which reports the health of its port and does nothing else"};
  if (caller.role < v1::AccessRole::OPERATOR) return Error{ErrorCode::kForbidden, "port", "needs the role OPERATOR: what a tool reports moves traffic"};
  const int i = config::find(config, config::find_collection("ports"), body.port());
  if (i < 0) return Error{ErrorCode::kInvalid, "port", "there is no port \"" + body.port() + "\""};
  if (config.ports(i).role() == v1::PortRole::NETWORK) return Error{ErrorCode::kInvalid, "port", "is a network port: no tool is behind it"};
  return config.ports(i).id();
}

Response add_token(Context& c, const Request& request) {
  v1::NewToken body;
  if (auto r = read_filled(request, body); !r) return problem(r.error());
  const auto view = c.configuration.view();
  std::string port;
  if (!body.port().empty()) {
    const auto found = port_for(view.config, request.caller, body);
    if (!found) return problem(found.error());
    port = *found;
  } else if (!body.role()) {
    return problem({ErrorCode::kInvalid, "role", "is required, or a port: the token is its tool's then"});
  }
  // A tool's is worth as much as its maker: nothing, once he is no operator.
  const auto issued = c.auth.add_token(request.caller, body.comment(), port.empty() ? body.role() : v1::AccessRole::OPERATOR, body.days(), port);
  if (!issued) return problem(issued.error());
  auto token = token_of(issued->pass, view.config);
  token.set_token(issued->token);
  Response response = ok(token);
  response.status = 201;
  return response;
}

Response revoke_token(Context& c, const Request& request, const std::string& id) { return done(c.auth.revoke(request.caller, id)); }

}  // namespace

void add_people_routes(Router& router, const Shared& c) {
  const Body user{v1::User::descriptor()}, token{v1::Token::descriptor()};
  const std::string users = "/api/v1/users", one = users + "/{name}", tokens = "/api/v1/tokens";
  router.add({"POST",
              "/api/v1/login",
              "a bearer token or a session cookie for twelve hours, for a user's password",
              Access::kOpen,
              {v1::Login::descriptor()},
              {v1::LoggedIn::descriptor()},
              {},
              200,
              [c](const auto& r, const auto&) { return log_in(*c, r); },
              {403, 429}});
  router.add({"POST",
              "/api/v1/logout",
              "ends the token or cookie that it comes with",
              Access::kSelf,
              {},
              {},
              {},
              204,
              [c](const auto& r, const auto&) { return log_out(*c, r); }});
  router.add(
      {"GET", "/api/v1/me", "who one is, and as what", Access::kSelf, {}, {v1::Me::descriptor()}, {}, 200, [](const auto& r, const auto&) {
         return show_me(r);
       }});
  router.add({"PUT",
              "/api/v1/me/password",
              "changes one's password; all other tokens and cookies end, but for those of tools",
              Access::kSelf,
              {v1::PasswordChange::descriptor()},
              {},
              {},
              204,
              [c](const auto& r, const auto&) { return change_password(*c, r); },
              {429}});
  router.add({"GET", users, "all users", Access::kAdmin, {}, {user.type, true}, {}, 200, [c](const auto&, const auto&) {
                return list_users(*c);
              }});
  router.add({"POST",
              users,
              "makes a user, with a first password",
              Access::kAdmin,
              {v1::NewUser::descriptor()},
              user,
              {},
              201,
              [c](const auto& r, const auto&) { return add_user(*c, r); }});
  router.add({"GET", one, "one user", Access::kAdmin, {}, user, {}, 200, [c](const auto&, const auto& a) {
                return show_user(c->auth.user(a[0]));
              }});
  router.add({"PATCH",
              one,
              "gives a user another role, or a first password",
              Access::kAdmin,
              {v1::UserChange::descriptor()},
              user,
              {},
              200,
              [c](const auto& r, const auto& a) { return change_user(*c, r, a[0]); }});
  router.add({"DELETE",
              one,
              "removes a user, and ends all tokens and cookies of his",
              Access::kAdmin,
              {},
              {},
              {},
              204,
              [c](const auto&, const auto& a) { return remove_user(*c, a[0]); }});
  router.add({"GET",
              tokens,
              "one's own tokens and cookies; an admin sees everybody's",
              Access::kViewer,
              {},
              {token.type, true},
              {},
              200,
              [c](const auto& r, const auto&) { return list_tokens(*c, r); }});
  router.add({"POST",
              tokens,
              "makes a token for automation, shown this one time",
              Access::kViewer,
              {v1::NewToken::descriptor()},
              token,
              {},
              201,
              [c](const auto& r, const auto&) { return add_token(*c, r); }});
  router.add({"DELETE", tokens + "/{id}", "ends a token or cookie", Access::kViewer, {}, {}, {}, 204, [c](const auto& r, const auto& a) {
                return revoke_token(*c, r, a[0]);
              }});
}

}  // namespace sluice::api
