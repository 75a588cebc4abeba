// One field of all rules: which of them does a packet's value leave? The values fall into classes that no rule tells apart; a class has
// a set of the rules that it leaves.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "engine/classify/match.h"
#include "engine/classify/rule_sets.h"
#include "engine/classify/search_tree.h"

namespace sluice {

class Dimension {
 public:
  /// What a rule, by its bit, asks of the field.
  struct Ask {
    uint32_t bit;
    const Values* values;
  };
  /// silent: bits of the rules that ask nothing of it. Errors: kExhausted, beyond so many bytes.
  [[nodiscard]] static Result<Dimension> make(Where where, const std::vector<Ask>& asks, const std::vector<uint64_t>& silent,
                                              const Layout& layout, std::size_t most_bytes, Simd simd);

  /// For each packet of the burst, the class of its value.
  void look_up(const Burst& burst, PortSlot port, uint32_t* classes) const;
  [[nodiscard]] const Where& where() const { return where_; }
  [[nodiscard]] const RuleSets& sets() const { return sets_; }
  [[nodiscard]] std::size_t bytes() const;

 private:
  /// Boundaries of classes within one IPv6 network of 64 bits, or the one that begins it.
  struct Network {
    uint32_t in_class;     ///< of addresses behind it, and in it where it has no boundaries of its own
    uint32_t begin, size;  ///< of lows_
  };
  void look_up_addresses(const Burst& burst, uint32_t* classes) const;
  [[nodiscard]] uint32_t class_of_v6(uint32_t rank, uint64_t high, uint64_t low) const;
  void index_numbers(const std::vector<std::pair<Key, uint32_t>>& stretches);
  void index_v6(const std::vector<std::pair<Key, uint32_t>>& stretches);

  static constexpr uint32_t kAbsent = 0;  ///< the class of packets without the field
  Where where_;
  Simd simd_ = Simd::kScalar;
  RuleSets sets_;
  std::vector<uint32_t> table_;     ///< by number, of fields of at most 16 bits
  SearchTree<uint32_t> tree_;       ///< of others
  SearchTree<uint64_t> long_tree_;  ///< of MAC addresses, and of the first 64 bits of IPv6 ones
  std::vector<uint32_t> classes_;   ///< by rank in the tree
  std::vector<Network> networks_;   ///< by rank in the long tree of IPv6
  std::vector<uint64_t> networks_high_;
  std::vector<uint64_t> lows_;
  std::vector<uint32_t> low_classes_;
};

}  // namespace sluice
