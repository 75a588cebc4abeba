// Who may come in, as what: users, their passwords, and the tokens and cookies that these buy. Asked anew for every request.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/caller.h"
#include "api/http.h"
#include "api/throttle.h"
#include "base/clock.h"
#include "base/result.h"
#include "config/people.h"

namespace sluice::api {

/// The user that is there from the beginning.
inline constexpr const char* kFirstUser = "admin";
/// The session cookie. Its prefix makes the browser insist on TLS, on this host alone, and on the whole of it (RFC 6265bis, 4.1.3.2).
inline constexpr const char* kCookie = "__Host-sluice";
inline constexpr std::size_t kShortestPassword = 10;

/// What a login or a new token is answered with: the one time that it is shown.
struct Issued {
  std::string token;
  config::Pass pass;
};

/// Any thread.
class Auth {
 public:
  using Clock = std::function<uint64_t()>;  ///< nanoseconds

  /// first_password_file: where the console reads admin's first password, until it is changed. clock: since the Unix epoch, for what
  /// expires; steady: since any moment, for delays, which a clock that is set must not end.
  [[nodiscard]] static Result<std::unique_ptr<Auth>> open(config::People& people, std::string first_password_file, Clock clock = wall_ns,
                                                          Clock steady = monotonic_ns);

  /// Who sends this request. Errors: kUnauthorised; kForbidden for a cookie that another site sends.
  [[nodiscard]] Result<Caller> identify(const Request& request) const;

  // ---- Coming in ----
  /// kind: LOGIN or COOKIE. By the local socket no password is asked for. Errors: kUnauthorised, whatever was wrong; kTooMany: later.
  [[nodiscard]] Result<Issued> login(const Request& request, const std::string& user, const std::string& password, const std::string& kind);
  /// Seconds until this sender may try this user again.
  [[nodiscard]] uint64_t wait_s(const Request& request, const std::string& user) const;
  /// All other tokens and cookies of his end, but for those of tools; the caller's own is free of restrictions.
  [[nodiscard]] Result<void> change_password(const Request& request, const std::string& old_password, const std::string& new_password);

  // ---- Users ----
  [[nodiscard]] std::vector<config::User> users() const;
  [[nodiscard]] Result<config::User> user(const std::string& name) const;
  /// A first password, that he has to change within kFirstPasswordTime. Errors: kConflict if there is one.
  [[nodiscard]] Result<config::User> add_user(const std::string& name, config::Role role, const std::string& password);
  /// Empty: stays. Errors: kConflict if no admin would be left.
  [[nodiscard]] Result<config::User> change_user(const std::string& name, std::optional<config::Role> role,
                                                 const std::optional<std::string>& password);
  [[nodiscard]] Result<void> remove_user(const std::string& name);

  // ---- Tokens and cookies ----
  /// Those of a user; of all, for an admin.
  [[nodiscard]] std::vector<config::Pass> passes(const Caller& caller) const;
  /// For automation; with a port's id, for the tool behind it. Errors: a role beyond the caller's own.
  [[nodiscard]] Result<Issued> add_token(const Caller& caller, const std::string& comment, config::Role role, unsigned days,
                                         const std::string& port = "");
  /// Errors: kNotFound, also for a pass of somebody else's.
  [[nodiscard]] Result<void> revoke(const Caller& caller, const std::string& id);

  /// What time does: passes end; a first password of admin's that is over gets a successor. Now and then.
  void tidy();

 private:
  Auth(config::People& people, std::string file, Clock clock, Clock steady)
      : people_(people), file_(std::move(file)), clock_(std::move(clock)), steady_(std::move(steady)) {}
  Result<void> load();
  Result<void> make_first_password();
  Result<std::string> authenticate(const Request& request, const std::string& user, const std::string& password);
  Result<Issued> issue(const config::User& user, const std::string& kind, config::Role role, const std::string& comment,
                       uint64_t expires_ns);
  Result<void> store(const config::User& user, const std::vector<config::Pass>& kept);
  Result<Caller> caller_by(const std::string& token) const;
  bool is_last_admin(const std::string& name) const;
  bool holds(const Caller& caller) const;
  void remember(const config::Pass& pass);

  config::People& people_;
  const std::string file_;
  const Clock clock_, steady_;
  std::mutex writing_;        ///< guards people_: one change at a time, on disk and then here; taken before mutex_
  mutable std::mutex mutex_;  ///< guards what follows, which changes under both: requests never wait for the disk
  std::map<std::string, config::User> users_;
  std::map<std::string, config::Pass> passes_;  ///< by hash
  Throttle by_user_{3};                         ///< "address user"
  Throttle by_address_{20};                     ///< whoever he says that he is
  std::mutex slow_;                             ///< whose password is being compared
  std::mutex waiting_;                          ///< whose is next
};

}  // namespace sluice::api
