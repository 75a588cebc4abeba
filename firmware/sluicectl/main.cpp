// The command line of Sluice: everything that the API does.
#include <curl/curl.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <vector>

#include "sluicectl/client.h"
#include "sluicectl/show.h"

namespace {

using namespace sluice;
namespace json = boost::json;

constexpr const char* kApi = "/api/v1/";
/// In the order in which they refer to each other.
constexpr std::array kCollections = {"ports",     "port_groups", "tap_pairs",     "address_sets", "filters", "operation_profiles",
                                     "schedules", "tunnels",     "dedup_domains", "tool_groups",  "maps",    "tenants",
                                     "grants"};
constexpr int kRefused = 1, kFailed = 2;

/// Ends the program with this code, after the reason was told.
struct Ended {
  int code;
};

[[noreturn]] void fail(const Error& error) {
  std::cerr << "sluicectl: " << error.field_path << (error.field_path.empty() ? "" : ": ") << error.message << "\n";
  throw Ended{kFailed};
}

/// What the command line says, and how to answer.
struct Command {
  Login given;
  bool as_json = false;
  std::string what, name, other, file, comment, method, body, draft;
  std::vector<std::string> rest;
  std::string number, from, timeout;
  bool dry_run = false, replace = false;
  uint64_t count = 0;
  json::object fields;
};

Client client_of(const Command& c) {
  auto login = complete(c.given);
  if (!login) fail(login.error());
  return Client(*login);
}

json::value parsed(const std::string& text, const std::string& where) {
  boost::system::error_code failed;
  json::value value = json::parse(text, failed);
  if (failed) fail({ErrorCode::kInvalid, where, "is no JSON: " + failed.message()});
  return value;
}

/// The answer, if it is one of success; else the problem is told as the API tells it.
Answer must(const Result<Answer>& answer) {
  if (!answer) fail(answer.error());
  if (answer->status < 400) return *answer;
  boost::system::error_code failed;
  const json::value problem = json::parse(answer->body, failed);
  std::string field, detail = answer->body;
  if (!failed && problem.is_object()) {
    if (const auto* text = problem.get_object().if_contains("detail")) detail = json::value_to<std::string>(*text);
    if (const auto* errors = problem.get_object().if_contains("errors"); errors && errors->is_array() && !errors->get_array().empty())
      field = json::value_to<std::string>(errors->get_array()[0].at("field")) + ": ";
  }
  std::cerr << "sluicectl: " << field << detail << "\n";
  throw Ended{kRefused};
}

void print(const Command& c, const std::string& collection, const std::string& body) {
  if (body.empty()) return;
  const auto value = parsed(body, "the answer");
  if (c.as_json) show_json(std::cout, value);
  else show(std::cout, collection, value);
}

std::string query_of(const Command& c) {
  std::string out;
  const auto add = [&out](const std::string& name, const std::string& value) {
    if (!value.empty()) out += (out.empty() ? "?" : "&") + name + "=" + escaped(value);
  };
  add("dry_run", c.dry_run ? "true" : "");
  add("comment", c.comment);
  add("confirm_timeout", c.timeout);
  add("draft", c.draft);
  return out;
}

std::string path_of(const Command& c) { return kApi + c.what + (c.name.empty() ? "" : "/" + escaped(c.name)); }

std::string read_file(const std::string& path) {
  std::ostringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
  } else {
    std::ifstream file(path);
    if (!file) fail({ErrorCode::kInvalid, path, "cannot be read"});
    text << file.rdbuf();
  }
  return text.str();
}

/// What a change did, or would do, in words.
void print_report(const Command& c, const std::string& body) {
  const auto report = parsed(body, "the answer");
  if (c.as_json) return show_json(std::cout, report);
  for (const auto& line : report.at("words").as_array()) std::cout << std::string_view(line.as_string()) << "\n";
  for (const auto& line : report.at("warnings").as_array()) std::cout << "warning: " << std::string_view(line.as_string()) << "\n";
  for (const auto& port : report.at("interrupts").as_array()) std::cout << "interrupts " << std::string_view(port.as_string()) << "\n";
  const auto revision = report.at("revision").to_number<uint64_t>();
  if (!report.at("changed").as_bool()) std::cout << "nothing to change; revision " << revision << " is in force\n";
  else if (!report.at("dry_run").as_bool()) std::cout << "revision " << revision << "\n";
  if (!c.timeout.empty() && report.at("changed").as_bool())
    std::cout << "undone in " << c.timeout << " s unless: sluicectl confirm " << revision << "\n";
}

// ---- Commands ----

void log_in(Command& c) {
  if (!c.what.empty()) c.given.url = c.what;
  auto login = complete(c.given);
  if (!login) fail(login.error());
  login->token.clear();
  json::object body{{"user", c.name.empty() ? "admin" : c.name}};
  if (login->socket.empty()) body["password"] = read_password("Password of " + json::value_to<std::string>(body["user"]) + ": ");
  const auto answer = parsed(must(Client(*login).ask("POST", "/api/v1/login", json::serialize(body))).body, "the answer");
  login->token = json::value_to<std::string>(answer.at("token"));
  if (c.as_json) show_json(std::cout, answer);
  if (login->socket.empty())
    if (auto r = keep(*login); !r) fail(r.error());
  if (answer.at("must_change_password").as_bool())
    std::cerr << "This first password has to be changed before anything else: sluicectl password\n";
}

void log_out(const Command& c) {
  const auto login = complete(c.given);
  if (!login) fail(login.error());
  const auto answer = Client(*login).ask("POST", "/api/v1/logout");
  // One that has ended already is to be forgotten as well.
  if (answer && (answer->status < 300 || answer->status == 401) && is_kept(*login)) forget();
  else must(answer);
}

void change_password(const Command& c) {
  json::object body;
  body["old_password"] = read_password("Present password: ");
  body["new_password"] = read_password("New password: ");
  must(client_of(c).ask("PUT", "/api/v1/me/password", json::serialize(body)));
}

void get(const Command& c) {
  const auto answer = must(client_of(c).ask("GET", path_of(c) + query_of(c)));
  const auto last = c.what.rfind('/');
  print(c, last == std::string::npos ? c.what : c.what.substr(last + 1), answer.body);
}

void call(const Command& c) {
  const std::string body = c.body.starts_with("@") ? read_file(c.body.substr(1)) : c.body;
  const auto answer = must(client_of(c).ask(c.method, c.what.starts_with("/") ? c.what : kApi + c.what, body));
  print(c, "", answer.body);
}

void remove(const Command& c) { must(client_of(c).ask("DELETE", path_of(c) + query_of(c))); }

void rename(const Command& c) {
  must(client_of(c).ask("POST", path_of(c) + ":rename" + query_of(c), json::serialize(json::object{{"name", c.other}})));
}

/// Each resource of the file into a draft, and that in force.
void apply_some(const Command& c, const Client& client, const json::value& file) {
  if (!file.is_object()) fail({ErrorCode::kInvalid, c.file, "must hold an object such as {\"maps\": [...]}"});
  const auto made =
      parsed(must(client.ask("POST", "/api/v1/drafts", json::serialize(json::object{{"comment", c.comment}}))).body, "the answer");
  const std::string draft = json::value_to<std::string>(made.at("id")), one = "/api/v1/drafts/" + draft, within = "?draft=" + draft;
  try {
    for (const auto& [key, value] : file.get_object()) {
      const std::string name(key);
      if (name == "system") must(client.ask("PATCH", "/api/v1/system" + within, json::serialize(value)));
      else if (std::find(kCollections.begin(), kCollections.end(), name) == kCollections.end() || !value.is_array())
        fail({ErrorCode::kInvalid, c.file, "\"" + name + "\" is no list of resources"});
    }
    for (const char* collection : kCollections) {
      const auto* list = file.get_object().if_contains(collection);
      if (!list) continue;
      for (auto resource : list->get_array()) {
        if (!resource.is_object() || !resource.get_object().contains("name"))
          fail({ErrorCode::kInvalid, c.file, std::string("a resource in \"") + collection + "\" has no name"});
        resource.get_object().erase("id");  // of the appliance that it came from: here it goes by its name
        const std::string name = json::value_to<std::string>(resource.at("name"));
        std::cerr << std::flush;
        must(client.ask("PUT", std::string(kApi) + collection + "/" + escaped(name) + within, json::serialize(resource)));
      }
    }
    print_report(c, must(client.ask("POST", one + ":commit" + query_of(c))).body);
  } catch (...) {
    (void)client.ask("DELETE", one);
    throw;
  }
  if (c.dry_run) must(client.ask("DELETE", one));
}

void apply(const Command& c) {
  const auto client = client_of(c);
  const auto file = parsed(read_file(c.file), c.file);
  if (!c.replace) return apply_some(c, client, file);
  const auto answer = must(client.ask("PUT", "/api/v1/config" + query_of(c), json::serialize(file)));
  if (c.dry_run) print_report(c, answer.body);
  else std::cout << "revision " << answer.headers.at("sluice-revision") << "\n";
}

void diff(Command& c) {
  if (!c.file.empty()) {
    c.dry_run = true;
    return apply(c);
  }
  if (c.number.empty()) fail({ErrorCode::kInvalid, "diff", "takes -f FILE, or the number of a revision"});
  const auto answer = must(
      client_of(c).ask("GET", "/api/v1/revisions/" + escaped(c.number) + "/diff" + (c.from.empty() ? "" : "?from=" + escaped(c.from))));
  const auto difference = parsed(answer.body, "the answer");
  if (c.as_json) show_json(std::cout, difference);
  else
    for (const auto& line : difference.at("words").as_array()) std::cout << std::string_view(line.as_string()) << "\n";
}

void go_back(const Command& c, const std::string& verb) {
  print_report(c, must(client_of(c).ask("POST", "/api/v1/revisions/" + escaped(c.number) + ":" + verb + query_of(c))).body);
}

void confirm(const Command& c) {
  print(c, "revisions", must(client_of(c).ask("POST", "/api/v1/revisions/" + escaped(c.number) + ":confirm")).body);
}

void watch(const Command& c) {
  uint64_t seen = 0;
  const auto on_event = [&](const std::string& name, const std::string& data) {
    const bool rates = name == "rates";
    if (c.what != "events" && !rates) return true;
    const auto value = parsed(data, "an event");
    if (c.as_json)
      std::cout << json::serialize(c.what == "events" ? json::object{{"event", name}, {"data", value}} : json::object{{"rates", value}})
                << std::endl;
    else if (c.what == "events" && !rates) std::cout << name << " " << data << std::endl;
    else if (c.what != "events") show_rates(std::cout, c.what, value), std::cout << std::endl;
    return ++seen != c.count;
  };
  must(client_of(c).listen("/api/v1/events", on_event));
}

void explain(Command& c) {
  json::object body{{"port", c.name}};
  std::string hex;
  for (const auto& part : c.rest) hex += part;
  if (!hex.empty()) body["packet"] = hex;
  if (!c.fields.empty()) body["fields"] = c.fields;
  const auto answer = parsed(must(client_of(c).ask("POST", "/api/v1/explain", json::serialize(body))).body, "the answer");
  if (c.as_json) show_json(std::cout, answer);
  else show_explanation(std::cout, answer);
}

void print_names(const Command& c) {
  const auto answer = client_of(c).ask("GET", kApi + c.what);
  boost::system::error_code failed;
  const json::value list = answer ? json::parse(answer->body, failed) : json::value();
  if (failed || !list.is_array()) return;
  for (const auto& one : list.get_array())
    if (const auto* name = one.is_object() ? one.get_object().if_contains("name") : nullptr; name && name->is_string())
      std::cout << std::string_view(name->get_string()) << "\n";
}

void print_completion(const CLI::App& app) {
  std::string commands, collections;
  for (const auto* command : app.get_subcommands([](const CLI::App* a) { return a->get_name() != "names"; }))
    commands += command->get_name() + " ";
  for (const char* name : kCollections) collections += std::string(name) + " ";
  std::cout << "# bash completion; use it with: source <(sluicectl completion)\n"
            << "_sluicectl() {\n"
            << "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} i command=\n"
            << "  for ((i = 1; i < COMP_CWORD; ++i)); do [[ ${COMP_WORDS[i]} != -* ]] && { command=${COMP_WORDS[i]}; break; }; done\n"
            << "  if [ -z \"$command\" ]; then COMPREPLY=($(compgen -W '" << commands << "' -- \"$word\"))\n"
            << "  elif [ \"$before\" = -f ]; then COMPREPLY=($(compgen -f -- \"$word\"))\n"
            << "  elif [ \"$command\" = watch ]; then COMPREPLY=($(compgen -W 'ports maps destinations events' -- \"$word\"))\n"
            << "  elif [ \"$command\" = explain ]; then COMPREPLY=($(compgen -W \"$(sluicectl names ports 2>/dev/null)\" -- \"$word\"))\n"
            << "  elif [ \"$before\" = \"$command\" ]; then COMPREPLY=($(compgen -W '" << collections
            << "config status ledger devices revisions drafts users tokens me' -- \"$word\"))\n"
            << "  else COMPREPLY=($(compgen -W \"$(sluicectl names \"$before\" 2>/dev/null)\" -- \"$word\"))\n"
            << "  fi\n"
            << "}\n"
            << "complete -F _sluicectl sluicectl\n";
}

// ---- The command line ----

void add_change_options(CLI::App& app, Command& c) {
  app.add_flag("--dry-run", c.dry_run, "only tell what would change");
  app.add_option("--comment", c.comment, "stands in the revision");
  app.add_option("--confirm-timeout", c.timeout, "seconds: undone unless it is confirmed within them");
}

void add_field(CLI::App& app, Command& c, const std::string& option, const std::string& field, const std::string& help, bool is_number) {
  app.add_option_function<std::string>(
         option,
         [&c, field, is_number](const std::string& value) {
           if (is_number) c.fields[field] = std::stoull(value);
           else c.fields[field] = value;
         },
         help)
      ->check(is_number ? CLI::Validator(CLI::NonNegativeNumber) : CLI::Validator());
}

void add_commands(CLI::App& app, Command& c) {
  const auto add = [&app](const char* name, const char* help, std::function<void()> run) {
    auto* command = app.add_subcommand(name, help);
    command->callback(std::move(run));
    return command;
  };
  auto* login = add("login", "logs in, and keeps the token for the next time", [&c] { log_in(c); });
  login->add_option("url", c.what, "https://ADDRESS");
  login->add_option("--user", c.name, "admin without it");
  add("logout", "ends the token that is kept", [&c] { log_out(c); });
  add("password", "changes one's password", [&c] { change_password(c); });

  auto* got = add("get", "shows what there is: maps, maps/web/rules, config, status, ledger, devices, revisions ...", [&c] { get(c); });
  got->add_option("what", c.what)->required();
  got->add_option("name", c.name);
  got->add_option("--draft", c.draft, "as a draft would have it");

  auto* applied = add("apply", "makes or replaces the resources in a file, as one revision", [&c] { apply(c); });
  applied->add_option("-f,--file", c.file, "JSON: {\"maps\": [...], ...}; - is standard input")->required();
  applied->add_flag("--replace", c.replace, "the file is the whole configuration: what is not in it goes");
  add_change_options(*applied, c);
  auto* differs = add("diff", "what a file would change, or what a revision changed", [&c] { diff(c); });
  differs->add_option("revision", c.number);
  differs->add_option("--from", c.from, "compared with this revision");
  differs->add_option("-f,--file", c.file);
  differs->add_flag("--replace", c.replace);

  for (const char* verb : {"rollback", "revert"}) {
    auto* back =
        add(verb,
            verb == std::string("rollback") ? "makes everything as it was at a revision" : "undoes one revision, and keeps what came later",
            [&c, verb] { go_back(c, verb); });
    back->add_option("revision", c.number)->required();
    add_change_options(*back, c);
  }
  add("confirm", "what was changed with --confirm-timeout stays", [&c] { confirm(c); })->add_option("revision", c.number)->required();

  auto* removed = add("delete", "removes a resource", [&c] { remove(c); });
  removed->add_option("what", c.what)->required();
  removed->add_option("name", c.name)->required();
  add_change_options(*removed, c);
  auto* renamed = add("rename", "gives a resource another name", [&c] { rename(c); });
  renamed->add_option("what", c.what)->required();
  renamed->add_option("name", c.name)->required();
  renamed->add_option("new-name", c.other)->required();

  auto* watched = add("watch", "rates every second: ports, maps, destinations; or events", [&c] { watch(c); });
  watched->add_option("what", c.what)->required()->check(CLI::IsMember({"ports", "maps", "destinations", "events"}));
  watched->add_option("--count", c.count, "end after so many");

  auto* explained = add("explain", "what would happen to a packet, and why", [&c] { explain(c); });
  explained->add_option("port", c.name)->required();
  explained->add_option("packet", c.rest, "hexadecimal digits, from its Ethernet header on; or its fields:");
  for (const char* field : {"src", "dst", "protocol", "tcp_flags", "src_mac", "dst_mac", "ethertype"}) {
    std::string option = std::string("--") + field;
    std::replace(option.begin(), option.end(), '_', '-');
    add_field(*explained, c, option, field, "", false);
  }
  for (const char* field : {"src_port", "dst_port", "icmp_type", "icmp_code", "ttl", "dscp", "length"}) {
    std::string option = std::string("--") + field;
    std::replace(option.begin(), option.end(), '_', '-');
    add_field(*explained, c, option, field, "", true);
  }
  explained->add_option_function<std::vector<uint32_t>>(
      "--vlan", [&c](const std::vector<uint32_t>& ids) { c.fields["vlan"] = json::value_from(ids); }, "ids, the outermost first");

  auto* called = add("api", "any request: sluicectl api PATCH maps/web -d '{\"enabled\": false}'", [&c] { call(c); });
  called->add_option("method", c.method)->required();
  called->add_option("path", c.what, "behind /api/v1/")->required();
  called->add_option("-d,--data", c.body, "JSON, or @FILE");
  add("completion", "prints the shell's completion: source <(sluicectl completion)", [&app] { print_completion(app); });
  add("names", "names of the resources of a collection, for the completion", [&c] { print_names(c); })
      ->add_option("what", c.what)
      ->required();
}

}  // namespace

int main(int argc, char** argv) {
  Command c;
  CLI::App app{"Sets up and watches a Sluice packet broker."};
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--url", c.given.url, "https://ADDRESS of the appliance; SLUICE_URL");
  app.add_option("--token", c.given.token, "SLUICE_TOKEN");
  app.add_option("--cacert", c.given.cacert, "file with its certificate; SLUICE_CACERT");
  app.add_option("--socket", c.given.socket, "Unix socket of a daemon on this machine, for root");
  app.add_flag("--json", c.as_json, "print what the API says");
  curl_global_init(CURL_GLOBAL_DEFAULT);
  try {
    add_commands(app, c);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code ? kFailed : 0;
  } catch (const Ended& ended) {
    return ended.code;
  } catch (const std::exception& e) {
    std::cerr << "sluicectl: " << e.what() << "\n";
    return kFailed;
  }
  return 0;
}
