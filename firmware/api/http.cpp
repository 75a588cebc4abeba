#include "api/http.h"

#include <boost/json.hpp>
#include <charconv>

namespace sluice::api {
namespace {

struct Mapping {
  ErrorCode code;
  unsigned status;
  const char* title;
};
constexpr Mapping kMappings[] = {
    {ErrorCode::kInvalid, 422, "The request is understood and wrong"},
    {ErrorCode::kNotAvailable, 422, "Not available in this version"},
    {ErrorCode::kNotFound, 404, "Not found"},
    {ErrorCode::kConflict, 409, "In conflict with the present configuration"},
    {ErrorCode::kStale, 412, "Changed meanwhile"},
    {ErrorCode::kUnauthorised, 401, "Not logged in"},
    {ErrorCode::kTooLarge, 413, "Too large"},
    {ErrorCode::kExhausted, 409, "More than this appliance has"},
    {ErrorCode::kUnreachable, 503, "The data plane does not answer"},
    {ErrorCode::kInternal, 500, "A fault in Sluice"},
};

Response render(unsigned status, const std::string& title, const std::string& detail, const char* code, const std::string& field) {
  boost::json::object body{{"type", "about:blank"}, {"title", title}, {"status", status}, {"detail", detail}, {"code", code}};
  if (!field.empty()) body["errors"] = boost::json::array{boost::json::object{{"field", field}, {"reason", detail}}};
  Response response{status, boost::json::serialize(body), "application/problem+json", {}};
  if (status == 401) response.headers["WWW-Authenticate"] = "Bearer realm=\"sluice\"";
  return response;
}

bool decode(std::string_view text, std::string& out, bool form) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      unsigned char value = 0;
      if (i + 2 >= text.size()) return false;
      const auto [stop, failed] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
      if (failed != std::errc{} || stop != text.data() + i + 3) return false;
      c = static_cast<char>(value);
      i += 2;
    } else if (form && c == '+') {
      c = ' ';
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
    out += c;
  }
  return true;
}

}  // namespace

Response problem(const Error& error) {
  for (const auto& m : kMappings)
    if (m.code == error.code) return render(m.status, m.title, error.message, to_string(error.code), error.field_path);
  return render(500, "A fault in Sluice", error.message, "INTERNAL", error.field_path);
}

Response problem(unsigned status, const std::string& title, const std::string& detail) { return render(status, title, detail, "HTTP", ""); }

std::optional<Target> parse_target(std::string_view target) {
  Target out;
  const auto question = target.find('?');
  if (target.empty() || target[0] != '/' || !decode(target.substr(0, question), out.path, false)) return std::nullopt;
  std::string_view query = question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    const auto equals = pair.find('=');
    std::string key, value;
    if (!decode(pair.substr(0, equals), key, true)) return std::nullopt;
    if (equals != std::string_view::npos && !decode(pair.substr(equals + 1), value, true)) return std::nullopt;
    out.query[key] = value;
  }
  return out;
}

}  // namespace sluice::api
