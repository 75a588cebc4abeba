#include "sluicectl/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>

namespace sluice {
namespace {

constexpr long kConnectSeconds = 10, kAnswerSeconds = 120;

struct Free {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Handle = std::unique_ptr<CURL, Free>;
using Headers = std::unique_ptr<curl_slist, Free>;

void add(Headers& headers, const std::string& line) { headers.reset(curl_slist_append(headers.release(), line.c_str())); }

std::size_t take_header(char* data, std::size_t one, std::size_t size, void* to) {
  std::string line(data, size * one);
  const auto colon = line.find(": ");
  if (colon != std::string::npos) {
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    static_cast<Answer*>(to)->headers[name] = line.substr(colon + 2, line.find_last_not_of("\r\n") - colon - 1);
  }
  return size * one;
}

std::size_t take_body(char* data, std::size_t one, std::size_t size, void* to) {
  static_cast<Answer*>(to)->body.append(data, size * one);
  return size * one;
}

/// Puts parts together to events (WHATWG HTML, section 9.2.6).
struct EventReader {
  Answer& answer;
  const Client::OnEvent& on_event;
  CURL* handle;
  std::string line = {}, name = {}, data = {};
  bool enough = false;

  void take(const std::string& text) {
    const auto colon = text.find(": ");
    const std::string field = text.substr(0, colon), value = colon == std::string::npos ? "" : text.substr(colon + 2);
    if (field == "event") name = value;
    if (field == "data") data += value;
    if (!text.empty()) return;
    if (!name.empty() && !on_event(name, data)) enough = true;
    name.clear();
    data.clear();
  }

  static std::size_t take_part(char* bytes, std::size_t one, std::size_t size, void* to) {
    auto& self = *static_cast<EventReader*>(to);
    long status = 0;
    curl_easy_getinfo(self.handle, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) return take_body(bytes, one, size, &self.answer);
    for (std::size_t i = 0; i < size * one; ++i) {
      if (bytes[i] != '\n') {
        self.line += bytes[i];
        continue;
      }
      self.take(self.line);
      self.line.clear();
      if (self.enough) return 0;  // ends the transfer
    }
    return size * one;
  }
};

}  // namespace

std::string escaped(const std::string& text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-._~").find(c) != std::string_view::npos) out += c;
    else out += '%', out += kDigits[byte >> 4], out += kDigits[byte & 15U];
  }
  return out;
}

namespace {

struct Prepared {
  Handle handle;
  Headers headers;
  std::array<char, CURL_ERROR_SIZE> fault{};
};

void prepare(Prepared& p, const Login& login, const std::string& method, const std::string& path, Answer& answer) {
  p.handle.reset(curl_easy_init());
  CURL* h = p.handle.get();
  const bool local = !login.socket.empty();
  curl_easy_setopt(h, CURLOPT_URL, ((local ? "http://sluice" : login.url) + path).c_str());
  if (local) curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, login.socket.c_str());
  if (!login.cacert.empty()) curl_easy_setopt(h, CURLOPT_CAINFO, login.cacert.c_str());
  curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method.c_str());
  if (method == "HEAD") curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
  curl_easy_setopt(h, CURLOPT_ERRORBUFFER, p.fault.data());
  curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(h, CURLOPT_HEADERDATA, &answer);
  curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
  if (!login.token.empty()) add(p.headers, "Authorization: Bearer " + login.token);
  add(p.headers, "Content-Type: application/json");
  add(p.headers, "Expect:");
  curl_easy_setopt(h, CURLOPT_HTTPHEADER, p.headers.get());
}

Result<void> perform(Prepared& p, const Login& login, Answer& answer) {
  const CURLcode code = curl_easy_perform(p.handle.get());
  curl_easy_getinfo(p.handle.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  if (code == CURLE_OK) return {};
  const std::string where = login.socket.empty() ? login.url : login.socket;
  std::string why = p.fault[0] ? p.fault.data() : curl_easy_strerror(code);
  if (code == CURLE_PEER_FAILED_VERIFICATION)
    why += "; give the appliance's certificate with --cacert, once you have compared its fingerprint";
  return Error{ErrorCode::kUnreachable, where, why};
}

}  // namespace

Result<Answer> Client::ask(const std::string& method, const std::string& path, const std::string& body) const {
  Answer answer;
  Prepared p;
  prepare(p, login_, method, path, answer);
  CURL* h = p.handle.get();
  curl_easy_setopt(h, CURLOPT_TIMEOUT, kAnswerSeconds);
  curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(h, CURLOPT_WRITEDATA, &answer);
  if (!body.empty() || method == "POST" || method == "PUT" || method == "PATCH") {
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  }
  if (auto r = perform(p, login_, answer); !r) return r.error();
  return answer;
}

Result<Answer> Client::listen(const std::string& path, const OnEvent& on_event) const {
  Answer answer;
  Prepared p;
  prepare(p, login_, "GET", path, answer);
  EventReader reader{answer, on_event, p.handle.get()};
  curl_easy_setopt(p.handle.get(), CURLOPT_WRITEFUNCTION, EventReader::take_part);
  curl_easy_setopt(p.handle.get(), CURLOPT_WRITEDATA, &reader);
  if (auto r = perform(p, login_, answer); !r && !reader.enough) return r.error();
  return answer;
}

}  // namespace sluice
