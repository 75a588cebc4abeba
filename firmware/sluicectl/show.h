// What the API said, for people.
#pragma once

#include <boost/json.hpp>
#include <iosfwd>
#include <string>

namespace sluice {

/// A list becomes a table of those fields that one looks for in this collection, one object its fields line by line.
void show(std::ostream& out, const std::string& collection, const boost::json::value& value);
/// JSON on several lines.
void show_json(std::ostream& out, const boost::json::value& value, const std::string& indent = "");
/// Steps of an explanation, a line each.
void show_explanation(std::ostream& out, const boost::json::value& explanation);
/// One second of rates. what: "ports", "maps", "destinations".
void show_rates(std::ostream& out, const std::string& what, const boost::json::value& rates);

}  // namespace sluice
