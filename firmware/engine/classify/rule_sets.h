// Sets of rules, a bit each, as a dimension stores them and the kernel reads them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/result.h"

namespace sluice {

/// How rules, as bits, 64 a block, are laid out: `words` 64-bit words say something of every block, a bit each.
struct Layout {
  uint32_t rules = 0;
  uint32_t words = 1;
  /// Sizes that are compiled for.
  static constexpr std::array<uint32_t, 7> kWords{1, 2, 4, 5, 8, 16, 32};
  static Layout of(uint32_t rules);
  [[nodiscard]] std::size_t blocks() const { return std::size_t{words} * 64; }

  [[nodiscard]] uint64_t valid(std::size_t block) const;  ///< its bits that stand for a rule

  // A leaf, in words; whole cache lines: `any` (which blocks it adds bits to); the base's line (32 bits), and for each of the first eight
  // words how many of the leaf's blocks belong to the words before it (4 bits); the bits of these blocks.
  static constexpr uint32_t kMostCounted = 8;
  // Of the shortest leaf; longer ones have lines more.
  static constexpr uint32_t leaf_words(uint32_t words) { return (words + 3 + 7) / 8 * 8; }
  // A base, in words: `any`, `full`, and for each word of these how many stored blocks belong to the words before it (16 bits); then the
  // blocks that are neither empty nor full.
  static constexpr uint32_t base_head(uint32_t words) { return 2 * words + (words + 3) / 4; }
};

/// Memory that begins a cache line, and grows up to a bound that is reserved as address space.
class Lines {
 public:
  explicit Lines(std::size_t most_words);
  Lines() = default;
  Lines(Lines&&) = default;  // a copy would lie otherwise to the cache lines
  Lines& operator=(Lines&&) = default;

  /// As many words as whole lines hold.
  static constexpr std::size_t whole(std::size_t words) { return (words + 7) / 8 * 8; }
  /// Word of the first of so many zeros that are added, at a new line. Errors: kExhausted.
  [[nodiscard]] Result<std::size_t> add(std::size_t words);
  [[nodiscard]] uint64_t* at(std::size_t word) { return words_.data() + shift_ + word; }
  [[nodiscard]] const uint64_t* at(std::size_t word) const { return words_.data() + shift_ + word; }
  [[nodiscard]] std::size_t bytes() const { return words_.size() * 8; }

 private:
  std::vector<uint64_t> words_;
  std::size_t shift_ = 0, most_ = 0;
};

/// The sets of rules that the classes of one field leave.
///
/// Few classes: dense, a bitmap and its summary for each. Many: sparse, a leaf for each, which adds the rules of the narrow ranges around a
/// value to a base that many classes share, of the rules that are silent or ask for wide ranges. What a packet finds cold is leaves.
struct RuleSets {
  bool dense = false;
  uint32_t leaf_words = 8;
  Lines summaries;  ///< dense: `words` for each class
  Lines bitmaps;    ///< dense: a block for each class and 64 rules
  Lines leaves;
  Lines bases;
  /// Dense: whether a class leaves every rule.
  [[nodiscard]] bool is_everything(uint32_t of_class, const Layout& layout) const;
  [[nodiscard]] std::size_t bytes() const { return summaries.bytes() + bitmaps.bytes() + leaves.bytes() + bases.bytes(); }
};

}  // namespace sluice
