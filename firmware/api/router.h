// The route table: what the API consists of. The page at /, the OpenAPI document and every 404, 405 and unknown parameter come from it.
#pragma once

#include <google/protobuf/descriptor.h>

#include <functional>
#include <string>
#include <vector>

#include "api/http.h"

namespace sluice::api {

/// Values of the placeholders of a route's pattern, in order.
using Arguments = std::vector<std::string>;

/// What a body is: one message, or a list of them.
struct Body {
  const google::protobuf::Descriptor* type = nullptr;  ///< none: no body
  bool list = false;
};

/// A query parameter. All are optional.
struct Parameter {
  std::string name;
  std::string summary;
  enum class Type { kText, kNumber, kFlag } type = Type::kText;
  uint64_t min = 0, max = 0;  ///< of a number; of a text the longest length is max
};

/// One kind of server-sent event, and what its data is.
struct Event {
  std::string name;
  const google::protobuf::Descriptor* type;
};

/// Who may use a route: everybody from here on.
enum class Access {
  kOpen,  ///< without a login
  kSelf,  ///< whoever is logged in, even if he has his first password still to change
  kViewer,
  kTool,      ///< operators, and the tools themselves: the handler looks whose token it is
  kOperator,
  kAdmin,
};

struct Route {
  std::string method;
  std::string pattern;  ///< "/api/v1/maps/{name}", "/api/v1/maps/{name}:rename"
  std::string summary;  ///< one line for the page
  Access access = Access::kAdmin;
  Body takes, gives;
  std::vector<Parameter> parameters;
  unsigned status = 200;  ///< of success
  std::function<Response(const Request&, const Arguments&)> handle;
  std::vector<unsigned> also = {};  ///< other statuses that it answers with
  std::vector<Event> events = {};   ///< that its answer consists of, instead of a body
};

class Router {
 public:
  /// `identify` is asked for every request to a route that is not open.
  explicit Router(std::function<Result<Caller>(const Request&)> identify) : identify_(std::move(identify)) {}

  void add(Route route) { routes_.push_back(std::move(route)); }
  [[nodiscard]] Response handle(Request request) const;
  /// Whether the request comes from somebody with authority, whatever it asks for. A tool has little to say.
  [[nodiscard]] bool is_authorised(const Request& request) const {
    const auto caller = identify_(request);
    return caller && caller->port.empty();
  }
  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

 private:
  std::function<Result<Caller>(const Request&)> identify_;
  std::vector<Route> routes_;
};

}  // namespace sluice::api
