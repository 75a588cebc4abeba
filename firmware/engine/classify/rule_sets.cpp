#include "engine/classify/rule_sets.h"

namespace sluice {
namespace {

constexpr std::size_t kLine = 8;  // words of a cache line

}  // namespace

Layout Layout::of(uint32_t rules) {
  for (const uint32_t words : kWords)
    if (rules <= words * 4096) return {rules, words};
  return {rules, kWords.back()};
}

uint64_t Layout::valid(std::size_t block) const {
  const std::size_t first = block * 64;
  return first >= rules ? 0 : rules - first >= 64 ? ~uint64_t{0} : (uint64_t{1} << (rules - first)) - 1;
}

bool RuleSets::is_everything(uint32_t of_class, const Layout& layout) const {
  const uint64_t* const bitmap = bitmaps.at(of_class * layout.blocks());
  for (std::size_t block = 0; block < layout.blocks(); ++block)
    if (bitmap[block] != layout.valid(block)) return false;
  return true;
}

Lines::Lines(std::size_t most_words) : most_(most_words) {
  words_.reserve(most_words + kLine);  // address space alone, until it is written
  while (reinterpret_cast<uintptr_t>(words_.data() + shift_) % 64 != 0) ++shift_;
  words_.resize(shift_);
}

Result<std::size_t> Lines::add(std::size_t words) {
  const std::size_t begin = words_.size() - shift_, end = begin + whole(words);
  if (end + kLine > most_) return Error{ErrorCode::kExhausted, "", ""};
  words_.resize(shift_ + end);
  return begin;
}

}  // namespace sluice
