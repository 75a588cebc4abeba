// The size that keeps two writers apart.
#pragma once

#include <cstddef>

namespace sluice {

inline constexpr std::size_t kCacheLine = 64;

}  // namespace sluice
