// What one body has in the place of what another has, and how many bytes around that are the same: a change of one rule is a few hundred
// bytes of a map's millions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::config {

struct Splice {
  std::size_t head = 0, tail = 0;  ///< bytes at the beginning and at the end that both have
  std::string before, after;       ///< what stands between them
};

/// The shortest one; nothing: a body is so short, or what differs so long, that they had better be kept whole.
[[nodiscard]] std::optional<Splice> splice_between(const std::string& before, const std::string& after);

/// Puts this between the first and last bytes of the body. False: it has not so many, and stays.
[[nodiscard]] bool splice_into(std::string& body, std::size_t head, std::size_t tail, std::string_view between);

}  // namespace sluice::config
