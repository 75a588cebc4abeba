#include "config/splice.h"

#include <algorithm>

namespace sluice::config {

std::optional<Splice> splice_between(const std::string& before, const std::string& after) {
  constexpr std::size_t kShort = 16384;  // four pages of the database
  constexpr std::size_t kLongShare = 8;  // of the body
  const std::size_t shorter = std::min(before.size(), after.size());
  if (shorter < kShort) return std::nullopt;
  const auto differ = std::mismatch(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(shorter), after.begin());
  const auto head = static_cast<std::size_t>(differ.first - before.begin());
  const auto behind = std::mismatch(before.rbegin(), before.rbegin() + static_cast<std::ptrdiff_t>(shorter - head), after.rbegin());
  const auto tail = static_cast<std::size_t>(behind.first - before.rbegin());
  if (std::max(before.size(), after.size()) - head - tail > shorter / kLongShare) return std::nullopt;
  return Splice{head, tail, before.substr(head, before.size() - head - tail), after.substr(head, after.size() - head - tail)};
}

bool splice_into(std::string& body, std::size_t head, std::size_t tail, std::string_view between) {
  if (head > body.size() || tail > body.size() - head) return false;
  body.replace(head, body.size() - head - tail, between);
  return true;
}

}  // namespace sluice::config
