#include "sluiced/tool_words.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
/// After which a word is forgotten whose port is gone: much longer than a change waits for its confirmation.
constexpr uint64_t kLongGone = 3'600'000 * kMillisecond;

}  // namespace

void ToolWords::hear(const v1::ReportHealth& report, uint64_t now_ns) {
  if (report.remembered() && words_.contains(report.port())) return;  // we know better; and it is no witness
  if (report.state() == v1::ToolState::UNSPECIFIED) {
    words_.erase(report.port());
    return;
  }
  if (!report.remembered())
    for (auto& [port, word] : words_)
      if (port != report.port() && word.witnessed_ns == 0 && now_ns >= word.heard_ns + word.milliseconds * kMillisecond / 2) word.witnessed_ns = now_ns;
  words_[report.port()] = {.down = report.state() == v1::ToolState::DOWN,
                           .reason = report.reason(),
                           .milliseconds = report.milliseconds(),
                           .heard_ns = report.remembered() ? 0 : now_ns,
                           .until_ns = now_ns + report.milliseconds() * kMillisecond};
}

void ToolWords::nobody_listened(uint64_t since_ns, uint64_t now_ns, bool wholly) {
  for (auto& [port, word] : words_)
    if (since_ns < word.until_ns) word.until_ns = wholly ? now_ns + word.milliseconds * kMillisecond : word.until_ns + (now_ns - std::max(since_ns, word.heard_ns));
}

void ToolWords::forget_gone(const std::function<bool(const std::string& port)>& is_there, uint64_t now_ns) {
  std::erase_if(words_, [&](const auto& entry) { return now_ns > entry.second.until_ns + kLongGone && !is_there(entry.first); });
}

/// Whether a word's time is over, and the way on which tools report is not cut: another was heard when half of the time was over, or later, and that
/// is a quarter of it ago, in which a tool whose network is mended reports as well. Another that had fallen silent before this one's last word is
/// no longer waited for; a tool that is the only one to report has no witness, and needs none.
bool ToolWords::is_over(const std::string& port, const Word& word, uint64_t now_ns) const {
  if (now_ns < word.until_ns) return false;
  const bool has_others =
      std::any_of(words_.begin(), words_.end(), [&](const auto& other) { return other.first != port && other.second.until_ns >= word.heard_ns; });
  return !has_others || (word.witnessed_ns != 0 && now_ns >= word.witnessed_ns + word.milliseconds * kMillisecond / 4);
}

ToolWords::State ToolWords::state_of(const std::string& port, uint64_t now_ns) const {
  const auto found = words_.find(port);
  if (found == words_.end()) return State::kUnknown;
  if (found->second.down) return State::kDown;
  return is_over(port, found->second, now_ns) ? State::kSilent : State::kUp;
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
  if (found->second.heard_ns > 0) health->set_silent_milliseconds((now_ns - std::min(now_ns, found->second.heard_ns)) / kMillisecond);
}

}  // namespace sluice
