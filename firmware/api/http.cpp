#include "api/http.h"

#include <boost/json.hpp>
#include <cctype>
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
    {ErrorCode::kForbidden, 403, "Not allowed"},
    {ErrorCode::kTooMany, 429, "Too many attempts"},
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

/// RFC 3629. What comes in by the target goes out in JSON.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t size = lead < 0x80                    ? 1
                             : lead >= 0xC2 && lead <= 0xDF ? 2
                             : lead >> 4 == 0xE             ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
    if (size == 0 || i + size > text.size()) return false;
    uint32_t code = size == 1 ? lead : lead & (0x7FU >> size);
    for (std::size_t j = 1; j < size; ++j) {
      const auto c = static_cast<unsigned char>(text[i + j]);
      if (c >> 6 != 2) return false;
      code = code << 6 | (c & 0x3FU);
    }
    const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
    if (overlong || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
    i += size;
  }
  return true;
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
  return is_utf8(out);
}

}  // namespace

Response problem(const Error& error) {
  for (const auto& m : kMappings)
    if (m.code == error.code) return render(m.status, m.title, error.message, to_string(error.code), error.field_path);
  return render(500, "A fault in Sluice", error.message, "INTERNAL", error.field_path);
}

Response problem(unsigned status, const std::string& title, const std::string& detail) { return render(status, title, detail, "HTTP", ""); }

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-._~").find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15U];
    }
  }
  return out;
}

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
