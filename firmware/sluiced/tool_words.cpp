#include "sluiced/tool_words.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
/// After which a word is forgotten whose port is gone: much longer than a change waits for its confirmation.
constexpr uint64_t kLongGone = 3'600'000 * kMillisecond;

}  // namespace

void ToolWords::hear(const v1::ReportHealth& report, uint64_t now_ns) {
  if (report.remembered() && words_.contains(report.port())) return;  // we know better
  if (report.state() == v1::ToolState::UNSPECIFIED) {
    words_.erase(report.port());
    return;
  }
  words_[report.port()] = {.down = report.state() == v1::ToolState::DOWN,
                           .reason = report.reason(),
                           .milliseconds = report.milliseconds(),
                           .heard_ns = now_ns,
                           .until_ns = now_ns + report.milliseconds() * kMillisecond};
}

void ToolWords::nobody_listened(uint64_t since_ns, uint64_t now_ns, bool wholly) {
  for (auto& [port, word] : words_)
    if (since_ns < word.until_ns) word.until_ns = wholly ? now_ns + word.milliseconds * kMillisecond : word.until_ns + (now_ns - std::max(since_ns, word.heard_ns));
}

void ToolWords::forget_gone(const std::function<bool(const std::string& port)>& is_there, uint64_t now_ns) {
  std::erase_if(words_, [&](const auto& entry) { return now_ns > entry.second.until_ns + kLongGone && !is_there(entry.first); });
}

ToolWords::State ToolWords::state_of(const std::string& port, uint64_t now_ns) const {
  const auto found = words_.find(port);
  if (found == words_.end()) return State::kUnknown;
  if (found->second.down) return State::kDown;
  return now_ns < found->second.until_ns ? State::kUp : State::kSilent;
}

std::string ToolWords::fault_of(const std::string& port, uint64_t now_ns) const {
  const State state = state_of(port, now_ns);
  if (state != State::kDown && state != State::kSilent) return "";
  const Word& word = words_.at(port);
  if (state == State::kSilent) return "its tool has not reported within " + std::to_string(word.milliseconds) + " ms";
  return word.reason.empty() ? "its tool reports that it is down" : "its tool reports that it is down: " + word.reason;
}

void ToolWords::report(const std::string& port, uint64_t now_ns, v1::PortStatus& out) const {
  const auto found = words_.find(port);
  if (found == words_.end()) return;
  const State state = state_of(port, now_ns);
  auto* health = out.mutable_health();
  health->set_state(state == State::kDown ? "DOWN" : state == State::kSilent ? "SILENT" : "UP");
  health->set_reason(found->second.reason);
  health->set_milliseconds(found->second.milliseconds);
  health->set_silent_milliseconds((now_ns - std::min(now_ns, found->second.heard_ns)) / kMillisecond);
}

}  // namespace sluice
