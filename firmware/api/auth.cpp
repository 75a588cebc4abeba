#include "api/auth.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <tuple>

#include "api/secrets.h"
#include "base/net.h"
#include "config/resources.h"

namespace sluice::api {
namespace {

using config::Pass;
using config::Role;
using config::User;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kHour = 3600 * kSecond, kDay = 24 * kHour;
/// A first password that nobody changed: on the console it gets a successor, of other users an admin has to give a new one.
constexpr uint64_t kConsolePasswordTime = kDay, kFirstPasswordTime = 7 * kDay;
constexpr uint64_t kLoginTime = 12 * kHour;
constexpr std::size_t kMostUsers = 256;
/// Of each kind, of one user.
constexpr std::size_t kMostPasses = 100;
constexpr std::string_view kScheme = "Bearer ";

/// An IPv6 customer has a /64 of addresses: they count as one.
std::string network_of(const std::string& address) {
  auto parsed = parse_address(address.substr(0, address.find('%')));
  if (!parsed || parsed->version == 4) return address;
  std::fill(parsed->bytes.begin() + 8, parsed->bytes.end(), uint8_t{0});
  return to_string(*parsed);
}

std::string cookie_value(const std::string& header) {
  const std::string wanted = std::string(kCookie) + "=";
  for (std::size_t at = 0; at < header.size();) {
    const auto end = std::min(header.find(';', at), header.size());
    const auto begin = header.find_first_not_of(' ', at);
    if (begin != std::string::npos && header.compare(begin, wanted.size(), wanted) == 0)
      return header.substr(begin + wanted.size(), end - begin - wanted.size());
    at = end + 1;
  }
  return "";
}

/// Whether a browser sends this on behalf of a page of ours. Browsers name the origin of every request that may change something.
Result<void> check_same_origin(const Request& request) {
  if (request.method == "GET" || request.method == "HEAD") return {};
  if (request.origin == "https://" + request.host) return {};
  return Error{ErrorCode::kForbidden, "Origin",
               request.origin.empty() ? "is required with the session cookie; programs use a bearer token"
                                      : "is " + request.origin + ": another site may not use this session"};
}

Result<void> check_password(const std::string& user, const std::string& password, const std::string& field) {
  if (password.size() < kShortestPassword)
    return Error{ErrorCode::kInvalid, field, "has fewer than " + std::to_string(kShortestPassword) + " characters"};
  if (password == user) return Error{ErrorCode::kInvalid, field, "is the user's name"};
  return {};
}

Error no_such_user(const std::string& name) { return {ErrorCode::kNotFound, "", "there is no user \"" + name + "\""}; }

}  // namespace

Result<std::unique_ptr<Auth>> Auth::open(config::People& people, std::string file, Clock clock, Clock steady) {
  std::unique_ptr<Auth> auth(new Auth(people, std::move(file), std::move(clock), std::move(steady)));
  if (auto r = auth->load(); !r) return r.error();
  return auth;
}

Result<void> Auth::load() {
  const auto users = people_.users();
  if (!users) return users.error();
  for (const auto& user : *users) users_[user.name] = user;
  const auto passes = people_.passes();
  if (!passes) return passes.error();
  for (const auto& pass : *passes) passes_[pass.hash] = pass;
  if (users_.empty()) return make_first_password();
  const auto admin = users_.find(kFirstUser);
  // The power may have failed between the change of the password and this.
  if (admin == users_.end() || !admin->second.password_expires_ns) unlink(file_.c_str());
  return {};
}

Result<void> Auth::make_first_password() {
  const std::string password = api::make_first_password();
  const auto hash = hash_password(password);
  if (!hash) return hash.error();
  const uint64_t now = clock_();
  User admin{kFirstUser, v1::AccessRole::ADMIN, *hash, now + kConsolePasswordTime, now};
  // The file first: a password that is stored and shown nowhere would lock everybody out.
  if (auto r = write_private(file_, password + "\n"); !r) return r;
  return store(admin, {});
}

/// A user as he is to be from now on, on disk and here.
Result<void> Auth::store(const User& user, const std::vector<Pass>& kept) {
  if (auto r = people_.put_user(user, kept); !r) return r;
  const std::lock_guard lock(mutex_);
  users_[user.name] = user;
  std::erase_if(passes_, [&user](const auto& entry) { return entry.second.user == user.name; });
  for (const auto& pass : kept) passes_[pass.hash] = pass;
  return {};
}

// ---- Every request ----

Result<Caller> Auth::caller_by(const std::string& token) const {
  const auto found = passes_.find(hash_token(token));
  if (found == passes_.end() || found->second.expires_ns <= clock_()) return Error{ErrorCode::kUnauthorised, "", ""};
  const auto& pass = found->second;
  const auto user = users_.find(pass.user);
  if (user == users_.end()) return Error{ErrorCode::kUnauthorised, "", ""};
  return Caller{pass.user, std::min(pass.role, user->second.role), pass.id, pass.restricted, pass.port};
}

Result<Caller> Auth::identify(const Request& request) const {
  const std::lock_guard lock(mutex_);
  if (!request.authorization.empty()) {
    const bool bearer = request.authorization.starts_with(kScheme);
    if (auto caller = caller_by(bearer ? request.authorization.substr(kScheme.size()) : ""); caller) return caller;
    return Error{ErrorCode::kUnauthorised, "Authorization", "is not a valid bearer token; get one from POST /api/v1/login"};
  }
  if (request.local) return Caller{"root", v1::AccessRole::ADMIN, "", false};
  if (const auto token = cookie_value(request.cookie); !token.empty()) {
    auto caller = caller_by(token);
    if (!caller) return Error{ErrorCode::kUnauthorised, "Cookie", "is of a session that has ended; log in again"};
    if (auto r = check_same_origin(request); !r) return r.error();
    return caller;
  }
  return Error{ErrorCode::kUnauthorised, "Authorization", "is required: \"Bearer TOKEN\", with a token from POST /api/v1/login"};
}

// ---- Coming in ----

uint64_t Auth::wait_s(const Request& request, const std::string& user) const {
  const std::lock_guard lock(mutex_);
  const std::string from = network_of(request.peer);
  const uint64_t now = steady_();
  const uint64_t wait = std::max(by_user_.wait_ns(from + " " + user, now), by_address_.wait_ns(from, now));
  return (wait + kSecond - 1) / kSecond;
}

/// The hash that this password fits: it may be another's turn meanwhile, and the user's hash another. A user that there is not fails alike,
/// after the same time and with the same delays.
Result<std::string> Auth::authenticate(const Request& request, const std::string& name, const std::string& password) {
  if (const auto wait = wait_s(request, name); wait)
    return Error{ErrorCode::kTooMany, "", "too many failures; try again in " + std::to_string(wait) + " s"};
  // One at work and one that waits: they cost memory and time, and others' requests need their threads.
  std::unique_lock queue(waiting_, std::try_to_lock);
  if (!queue) return Error{ErrorCode::kTooMany, "", "others log in this moment; try again in a second"};
  const std::lock_guard turn(slow_);
  queue.unlock();
  const auto hash = [&] {
    const std::lock_guard lock(mutex_);
    const auto user = users_.find(name);
    const bool over = user != users_.end() && user->second.password_expires_ns && user->second.password_expires_ns <= clock_();
    return user == users_.end() || over ? std::string() : user->second.hash;
  }();
  // Slow on purpose, and without the lock: nobody else's request has to wait for it.
  const bool right = verify_password(hash, password);
  const std::lock_guard lock(mutex_);
  const std::string from = network_of(request.peer);
  if (right) {
    by_user_.succeeded(from + " " + name);
    return hash;
  }
  by_user_.failed(from + " " + name, steady_());
  by_address_.failed(from, steady_());
  return Error{ErrorCode::kUnauthorised, "password",
               "does not fit this user, or there is no such user, or a first password is over; admin's first one stands on the console"};
}

Result<Issued> Auth::issue(const User& user, const std::string& kind, Role role, const std::string& comment, uint64_t expires_ns) {
  std::vector<Pass> present;
  for (const auto& [hash, pass] : passes_)
    if (pass.user == user.name && pass.kind == kind) present.push_back(pass);
  if (present.size() >= kMostPasses) {
    if (kind == "TOKEN") return Error{ErrorCode::kExhausted, "", "you have " + std::to_string(kMostPasses) + " tokens; revoke one first"};
    // Of logins the oldest gives way: a script that logs in for every request locks nobody out.
    const auto oldest =
        std::min_element(present.begin(), present.end(), [](const Pass& a, const Pass& b) { return a.created_ns < b.created_ns; });
    if (auto r = people_.remove_pass(oldest->id); !r) return r.error();
    const std::lock_guard lock(mutex_);
    passes_.erase(oldest->hash);
  }
  Issued issued{make_token(), {}};
  issued.pass = {hash_token(issued.token), config::new_id(), user.name, kind, role, comment, false, clock_(), expires_ns};
  return issued;
}

void Auth::remember(const Pass& pass) {
  const std::lock_guard lock(mutex_);
  passes_[pass.hash] = pass;
}

Result<Issued> Auth::login(const Request& request, const std::string& name, const std::string& password, const std::string& kind) {
  if (kind == "COOKIE" && !request.local)
    if (auto r = check_same_origin(request); !r) return r.error();
  const auto verified = request.local ? Result<std::string>(std::string()) : authenticate(request, name, password);
  if (!verified) return verified.error();
  const std::lock_guard writing(writing_);
  const auto user = users_.find(name);
  if (user == users_.end()) return Error{ErrorCode::kUnauthorised, "user", "is nobody"};
  if (!request.local && user->second.hash != *verified) return Error{ErrorCode::kUnauthorised, "password", "was changed this moment"};
  auto issued = issue(user->second, kind, user->second.role, "", clock_() + kLoginTime);
  if (!issued) return issued;
  issued->pass.restricted = !request.local && user->second.password_expires_ns != 0;
  if (auto r = people_.add_pass(issued->pass); !r) return r.error();
  remember(issued->pass);
  return issued;
}

Result<void> Auth::change_password(const Request& request, const std::string& old_password, const std::string& new_password) {
  const auto& caller = request.caller;
  if (caller.pass.empty()) return Error{ErrorCode::kConflict, "", "the local socket has no password; log in as a user"};
  const auto verified = authenticate(request, caller.user, old_password);
  if (!verified)
    return verified.error().code == ErrorCode::kUnauthorised ? Error{ErrorCode::kForbidden, "old_password", "is not the present password"}
                                                             : verified.error();
  if (auto r = check_password(caller.user, new_password, "new_password"); !r) return r;
  if (old_password == new_password) return Error{ErrorCode::kInvalid, "new_password", "is the old one"};
  const auto hash = hash_password(new_password);
  if (!hash) return hash.error();
  const std::lock_guard writing(writing_);
  const auto user = users_.find(caller.user);
  if (user == users_.end()) return no_such_user(caller.user);
  if (user->second.hash != *verified || !holds(caller))
    return Error{ErrorCode::kUnauthorised, "", "somebody else changed this password this moment"};
  User changed = user->second;
  changed.hash = *hash;
  changed.password_expires_ns = 0;
  std::vector<Pass> kept;
  for (const auto& [key, pass] : passes_)
    if (pass.id == caller.pass) kept.push_back(pass), kept.back().restricted = false;
    else if (pass.user == caller.user && !pass.port.empty()) kept.push_back(pass);  // no tool must fall silent for this
  if (auto r = store(changed, kept); !r) return r;
  if (changed.name == kFirstUser) unlink(file_.c_str());
  return {};
}

// ---- Users ----

std::vector<User> Auth::users() const {
  const std::lock_guard lock(mutex_);
  std::vector<User> out;
  for (const auto& [name, user] : users_) out.push_back(user);
  return out;
}

Result<User> Auth::user(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = users_.find(name);
  return found == users_.end() ? Result<User>(no_such_user(name)) : found->second;
}

/// Whether what let the caller in still does.
bool Auth::holds(const Caller& caller) const {
  return std::any_of(passes_.begin(), passes_.end(), [&](const auto& entry) {
    return entry.second.id == caller.pass && entry.second.user == caller.user && entry.second.expires_ns > clock_();
  });
}

bool Auth::is_last_admin(const std::string& name) const {
  return std::none_of(users_.begin(), users_.end(),
                      [&name](const auto& entry) { return entry.first != name && entry.second.role == v1::AccessRole::ADMIN; });
}

Result<User> Auth::add_user(const std::string& name, Role role, const std::string& password) {
  if (auto r = check_password(name, password, "password"); !r) return r.error();
  const auto hash = hash_password(password);
  if (!hash) return hash.error();
  const std::lock_guard writing(writing_);
  if (users_.contains(name)) return Error{ErrorCode::kConflict, "name", "there is a user \"" + name + "\" already"};
  if (users_.size() >= kMostUsers)
    return Error{ErrorCode::kExhausted, "", "there are " + std::to_string(kMostUsers) + " users; remove one first"};
  const User user{name, role, *hash, clock_() + kFirstPasswordTime, clock_()};
  if (auto r = store(user, {}); !r) return r.error();
  return user;
}

Result<User> Auth::change_user(const std::string& name, std::optional<Role> role, const std::optional<std::string>& password) {
  std::optional<std::string> hash;
  if (password) {
    if (auto r = check_password(name, *password, "password"); !r) return r.error();
    const auto hashed = hash_password(*password);
    if (!hashed) return hashed.error();
    hash = *hashed;
  }
  const std::lock_guard writing(writing_);
  const auto found = users_.find(name);
  if (found == users_.end()) return no_such_user(name);
  User changed = found->second;
  if (role && *role != v1::AccessRole::ADMIN && changed.role == v1::AccessRole::ADMIN && is_last_admin(name))
    return Error{ErrorCode::kConflict, "role", "is that of the last admin; make another one first"};
  if (role) changed.role = *role;
  if (hash) {
    changed.hash = *hash;
    changed.password_expires_ns = clock_() + kFirstPasswordTime;
  }
  std::vector<Pass> kept;
  for (const auto& [key, pass] : passes_)
    if (pass.user == name && !hash) kept.push_back(pass);
  if (auto r = store(changed, kept); !r) return r.error();
  if (hash && name == kFirstUser) unlink(file_.c_str());
  return changed;
}

Result<void> Auth::remove_user(const std::string& name) {
  const std::lock_guard writing(writing_);
  const auto found = users_.find(name);
  if (found == users_.end()) return no_such_user(name);
  if (found->second.role == v1::AccessRole::ADMIN && is_last_admin(name))
    return Error{ErrorCode::kConflict, "", "\"" + name + "\" is the last admin; make another one first"};
  if (auto r = people_.remove_user(name); !r) return r;
  if (name == kFirstUser) unlink(file_.c_str());
  const std::lock_guard lock(mutex_);
  users_.erase(found);
  std::erase_if(passes_, [&name](const auto& entry) { return entry.second.user == name; });
  return {};
}

// ---- Tokens and cookies ----

std::vector<Pass> Auth::passes(const Caller& caller) const {
  const std::lock_guard lock(mutex_);
  std::vector<Pass> out;
  for (const auto& [hash, pass] : passes_)
    if (caller.role == v1::AccessRole::ADMIN || pass.user == caller.user) out.push_back(pass);
  std::sort(out.begin(), out.end(),
            [](const Pass& a, const Pass& b) { return std::tie(a.created_ns, a.id) < std::tie(b.created_ns, b.id); });
  return out;
}

Result<Issued> Auth::add_token(const Caller& caller, const std::string& comment, Role role, unsigned days, const std::string& port) {
  if (role > caller.role) return Error{ErrorCode::kForbidden, "role", "is more than your own"};
  const std::lock_guard writing(writing_);
  const auto user = users_.find(caller.user);
  if (user == users_.end())
    return Error{ErrorCode::kConflict, "", "the local socket is no user: log in as one, and make the token as that"};
  if (!holds(caller)) return Error{ErrorCode::kUnauthorised, "Authorization", "has ended this moment"};
  uint64_t expires = clock_() + days * kDay;
  // One that is found must not make others that outlive it.
  for (const auto& [hash, pass] : passes_)
    if (pass.id == caller.pass && pass.kind == "TOKEN") expires = std::min(expires, pass.expires_ns);
  auto issued = issue(user->second, "TOKEN", role, comment, expires);
  if (!issued) return issued;
  issued->pass.port = port;
  if (auto r = people_.add_pass(issued->pass); !r) return r.error();
  remember(issued->pass);
  return issued;
}

Result<void> Auth::revoke(const Caller& caller, const std::string& id) {
  const std::lock_guard writing(writing_);
  const auto found = std::find_if(passes_.begin(), passes_.end(), [&](const auto& entry) {
    return entry.second.id == id && (caller.role == v1::AccessRole::ADMIN || entry.second.user == caller.user);
  });
  if (found == passes_.end()) return Error{ErrorCode::kNotFound, "", "there is no token \"" + id + "\""};
  if (auto r = people_.remove_pass(id); !r) return r;
  const std::lock_guard lock(mutex_);
  passes_.erase(found);
  return {};
}

void Auth::tidy() {
  const std::lock_guard writing(writing_);
  const uint64_t now = clock_();
  const auto is_over = [now](const auto& entry) { return entry.second.expires_ns <= now; };
  if (std::any_of(passes_.begin(), passes_.end(), is_over) && people_.remove_expired(now)) {
    const std::lock_guard lock(mutex_);
    std::erase_if(passes_, is_over);
  }
  const auto admin = users_.find(kFirstUser);
  if (admin == users_.end() || !admin->second.password_expires_ns) return;
  // Where another admin is, it is his to give a new one: what stands on the console must not make an admin of somebody who is none.
  if (admin->second.role != v1::AccessRole::ADMIN || !is_last_admin(kFirstUser)) return;
  // Nobody came in with it. On failure the next call tries again.
  if (admin->second.password_expires_ns <= clock_()) (void)make_first_password();
}

}  // namespace sluice::api
