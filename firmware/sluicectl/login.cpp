#include "sluicectl/login.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

namespace sluice {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

fs::path kept_file() {
  const std::string config = variable("XDG_CONFIG_HOME");
  return (config.empty() ? fs::path(variable("HOME")) / ".config" : fs::path(config)) / "sluice/login.json";
}

Login kept() {
  std::ifstream file(kept_file());
  std::ostringstream text;
  text << file.rdbuf();
  boost::system::error_code failed;
  const json::value value = json::parse(text.str(), failed);
  if (failed || !value.is_object()) return {};
  const auto field = [&value](const char* name) {
    const auto* found = value.get_object().if_contains(name);
    return found && found->is_string() ? std::string(found->get_string()) : std::string();
  };
  return {field("url"), field("token"), field("cacert"), ""};
}

void fill(std::string& to, const std::string& from) {
  if (to.empty()) to = from;
}

}  // namespace

Result<Login> complete(Login given) {
  if (!given.socket.empty()) return given;
  fill(given.url, variable("SLUICE_URL"));
  fill(given.token, variable("SLUICE_TOKEN"));
  fill(given.cacert, variable("SLUICE_CACERT"));
  const Login before = kept();
  // A token is for the appliance that it came from, and for no other.
  if (given.url.empty() || given.url == before.url) {
    fill(given.url, before.url);
    fill(given.token, before.token);
    fill(given.cacert, before.cacert);
  }
  while (given.url.ends_with('/')) given.url.pop_back();
  if (!given.url.empty() && !given.url.starts_with("https://"))
    return Error{ErrorCode::kInvalid, "--url", "must begin with https://: a password and a token go there"};
  if (given.url.empty())
    return Error{ErrorCode::kInvalid, "--url", "is missing: which appliance? Or set SLUICE_URL, or use: sluicectl login https://ADDRESS"};
  return given;
}

Result<void> keep(const Login& login) {
  const auto path = kept_file();
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  const std::string cacert = login.cacert.empty() ? "" : fs::absolute(login.cacert, error).string();
  const std::string text = json::serialize(json::object{{"url", login.url}, {"token", login.token}, {"cacert", cacert}});
  unlink(path.c_str());
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) close(fd);
  if (!written) return Error{ErrorCode::kInternal, path.string(), "cannot be written"};
  return {};
}

bool is_kept(const Login& login) { return !login.token.empty() && login.token == kept().token; }

void forget() { unlink(kept_file().c_str()); }

std::string read_password(const std::string& prompt) {
  termios shown{};
  const bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
  if (terminal) {
    std::cerr << prompt << std::flush;
    termios hidden = shown;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  std::string line;
  std::getline(std::cin, line);
  if (terminal) {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    std::cerr << "\n";
  }
  return line;
}

}  // namespace sluice
