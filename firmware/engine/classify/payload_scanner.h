// Regular expressions over the payload: all of a configuration in one database of Hyperscan's, so that a packet is read once for all of
// them.
#pragma once

#include <bitset>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "packet/frame.h"

namespace sluice {

class PayloadScanner {
 public:
  static constexpr unsigned kMost = 256;
  using Found = std::bitset<kMost>;
  /// Threads that scan: workers, and the control thread.
  static constexpr unsigned kMostThreads = 17;

  /// What was found in the packet at hand, so that none is read twice.
  struct Seen {
    unsigned thread = 0;  ///< no two threads that scan at the same time have the same one: worker w has w + 1, the control thread 0
    const PayloadScanner* scanner = nullptr;
    unsigned packet = 0;
    uint32_t begin = 0;
    Found found;
  };

  /// Of all expressions together, each compiled alone.
  static constexpr uint64_t kLongestCompile = 3'000'000'000;  // nanoseconds

  /// The number of an expression, the same one for the same text. path: where it stands, for errors. Errors: kExhausted. Control thread, as
  /// compile().
  [[nodiscard]] Result<unsigned> add(const std::string& expression, const std::string& path);
  /// Once all are added. before: of another configuration; where it has the same expressions, their database serves again. Errors: kInvalid
  /// with the library's reason, kExhausted, and the path of the expression that is refused.
  [[nodiscard]] Result<void> compile(const PayloadScanner* before);

  /// Whether an expression matches somewhere in a packet's bytes from `begin` on. seen: null on the control thread alone.
  [[nodiscard]] bool matches(unsigned expression, const Burst& burst, unsigned packet, uint32_t begin, Seen* seen) const;

 private:
  Found scan(const Burst& burst, unsigned packet, uint32_t begin, unsigned thread) const;

  struct Expression {
    std::string text, path;
  };
  struct Database;
  std::vector<Expression> expressions_;
  std::shared_ptr<const Database> database_;
};

}  // namespace sluice
