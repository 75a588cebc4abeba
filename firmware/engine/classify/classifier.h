// Which rule of every map does a packet match first? All maps at once, a burst at a time.
//
// Every alternative of every rule is a bit. For each field that a rule asks about there is a Dimension, which turns a packet's value into
// the record of the bits that it leaves; what all records leave is what matches. Records are sparse and say in one cache line where they
// have bits, so that a packet looks at a few blocks of 64 rules out of thousands. See README.md for how this compares with tries.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/net.h"
#include "base/result.h"
#include "engine/classify/cut_plan.h"
#include "engine/classify/dimension.h"
#include "engine/classify/match.h"
#include "packet/frame.h"
#include "port/frame_pool.h"

namespace sluice {

inline constexpr uint32_t kNoRule = 0xFFFFFFFF;

/// A map that passes a packet, or whose rule drops it.
struct Verdict {
  uint32_t map = 0;         ///< position in Snapshot::maps
  uint32_t rule = kNoRule;  ///< position in Snapshot::rule_slots; kNoRule: the map's default passed it
  bool pass = false;
};

struct ClassifierRule {
  ClassifierRule(std::shared_ptr<const RuleMatch> asked, uint32_t at, bool passes) : match(std::move(asked)), index(at), pass(passes) {}
  ClassifierRule(RuleMatch asked, uint32_t at, bool passes) : ClassifierRule(std::make_shared<const RuleMatch>(std::move(asked)), at, passes) {}

  std::shared_ptr<const RuleMatch> match;  ///< not null; a revision that leaves the rule as it is shares it
  uint32_t index;                          ///< position in Snapshot::rule_slots
  bool pass;
};

/// What of a map decides whether a packet is looked at, and the rules in order.
struct ClassifierMap {
  uint32_t map = 0;
  std::bitset<128> ports;    ///< by port slot
  std::vector<Range> vlans;  ///< outermost tag; empty and not untagged: any
  bool untagged = false;
  bool default_pass = false;
  std::vector<ClassifierRule> rules;

  /// The same as criteria; every packet of every rule of the map meets them.
  [[nodiscard]] std::vector<Criterion> sources() const;
};

/// Room for the verdicts of one burst; packet i's are [begin[i], begin[i+1]). A worker keeps one for ever.
struct VerdictBuffer {
  explicit VerdictBuffer(uint32_t maps);
  std::array<uint32_t, kBurst + 1> begin{};
  std::unique_ptr<Verdict[]> verdicts;
  uint32_t per_packet;
  // For the classifier alone.
  PayloadScanner::Seen seen;
  std::vector<uint32_t> best;     ///< by map: the first row that matched; kNoRow between packets
  std::vector<uint64_t> touched;  ///< maps that have one, a bit each
};

/// What a classifier costs.
struct ClassifierCost {
  uint32_t rows = 0;        ///< alternatives of rules, and defaults
  uint32_t cut = 0;         ///< of them, those in trees
  uint32_t dimensions = 0;  ///< fields that are asked about
  std::size_t bytes = 0;
};

struct AskingRow;

class Classifier {
 public:
  /// Bounds of what is compiled: alternatives of rules, and bytes. Beyond, make() refuses.
  static constexpr uint32_t kMostRows = 1U << 17;
  static constexpr std::size_t kMostBytes = std::size_t{256} << 20;
  static constexpr std::size_t kMostRanges = std::size_t{1} << 21;  ///< of values that rules do not share
  static constexpr uint32_t kMostDimensions = 96;

  /// With fewer rows that trees could take there are none: a few blocks of bits are cheaper.
  static constexpr uint32_t kFewestCut = 128;

  struct Options {
    Simd simd = best_simd();
    std::size_t most_bytes = kMostBytes;
    uint32_t fewest_cut = kFewestCut;
    std::shared_ptr<const CutPlan> trees = nullptr;  ///< of a classifier before: those that are mostly the same are not made anew
  };

  Classifier() = default;
  /// Control thread. Errors: kExhausted.
  [[nodiscard]] static Result<Classifier> make(std::shared_ptr<const std::vector<ClassifierMap>> maps, const Options& options);
  [[nodiscard]] static Result<Classifier> make(std::shared_ptr<const std::vector<ClassifierMap>> maps) {
    return make(std::move(maps), Options{});
  }
  [[nodiscard]] static Result<Classifier> make(std::vector<ClassifierMap> maps, const Options& options) {
    return make(std::make_shared<const std::vector<ClassifierMap>>(std::move(maps)), options);
  }
  [[nodiscard]] static Result<Classifier> make(std::vector<ClassifierMap> maps) { return make(std::move(maps), Options{}); }

  /// For each packet of the burst, received on `port`: one verdict for each active map that has the port among its sources and
  /// either a matching rule or a default that passes, in map order.
  void classify(const Burst& burst, PortSlot port, VerdictBuffer& out) const;

  [[nodiscard]] std::span<const ClassifierMap> maps() const { return maps_; }
  [[nodiscard]] ClassifierCost cost() const;
  /// For Options of the next one. Null: it has none.
  [[nodiscard]] const std::shared_ptr<const CutPlan>& trees() const { return trees_; }
  /// Whether any rule asks about what later fragments of a datagram do not have: ports, TCP flags, ICMP types.
  [[nodiscard]] bool asks_upper_layer() const { return asks_upper_layer_; }

 private:
  /// Null: no row is in a tree.
  [[nodiscard]] const CutForest* forest() const { return trees_ && !trees_->forest().empty() ? &trees_->forest() : nullptr; }
  /// One alternative of a rule, or a map's default. In the order of maps and rules: the first that matches decides.
  struct Row {
    uint32_t rule;
    uint16_t map;  ///< position in maps_
    bool pass;
  };
  /// What stands behind a bit: all that the packet path needs to know of a row.
  struct Bit {
    uint32_t row;
    uint16_t map;
    bool has_remainder;
  };
  /// The classes of a burst's values, by dimension.
  using Classes = std::array<std::array<uint32_t, kBurst>, kMostDimensions>;
  friend class ClassifierKernel;
  class Rows;
  [[nodiscard]] static Result<Classifier> make_once(std::shared_ptr<const std::vector<ClassifierMap>> maps, const Options& options);
  void plant_trees(std::vector<AskingRow>& askings, const Options& options);
  [[nodiscard]] Result<void> make_dimensions(const std::vector<AskingRow>& askings, std::size_t most_bytes);

  std::shared_ptr<const std::vector<ClassifierMap>> kept_maps_;
  std::span<const ClassifierMap> maps_;  ///< all of them
  std::vector<Row> rows_;
  std::vector<const Remainder*> remainders_;  ///< by row; null: none
  std::shared_ptr<const CutPlan> trees_;      ///< of the rows that they take; null: none
  uint32_t cut_ = 0;                          ///< how many these are
  std::vector<Bit> bits_;                     ///< of all others
  std::vector<uint32_t> row_of_bit_;
  std::vector<uint32_t> first_row_;                       ///< of each block; ascending
  std::vector<Dimension> dimensions_;                     ///< the sparse ones first
  std::array<uint64_t, Layout::kWords.back()> blocks_{};  ///< those that there are, a bit each
  Layout layout_;
  bool plain_ = false;             ///< one map, and no row has a remainder
  uint32_t last_resort_ = kNoRow;  ///< of a plain one: the row that asks nothing
  bool asks_upper_layer_ = false;
  Simd simd_ = Simd::kScalar;
};

}  // namespace sluice
