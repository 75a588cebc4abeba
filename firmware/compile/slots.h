// Slots: the small numbers by which workers know ports, legs, maps and rules. A thing keeps its slot, and so its counters, from
// revision to revision for as long as its id lives. Control thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace sluice::compile {

class Slots {
 public:
  /// Numbers [reserved, limit) are given out; those below have fixed meanings.
  Slots(uint32_t reserved, uint32_t limit) : next_(reserved), limit_(limit) {}

  /// The slot of this key, a new one if it has none; nothing if all are taken.
  std::optional<uint32_t> of(const std::string& key) {
    if (const auto known = slots_.find(key); known != slots_.end()) return known->second;
    if (free_.empty() && next_ == limit_) return std::nullopt;
    uint32_t slot = next_;
    if (free_.empty()) {
      ++next_;
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    slots_.emplace(key, slot);
    return slot;
  }

  /// Keys whose slot is not among these, with it.
  [[nodiscard]] std::vector<std::pair<std::string, uint32_t>> not_in(const std::unordered_set<uint32_t>& used) const {
    std::vector<std::pair<std::string, uint32_t>> out;
    for (const auto& [key, slot] : slots_)
      if (!used.contains(slot)) out.emplace_back(key, slot);
    return out;
  }
  /// The key's slot may be given to another; its counters have been folded and cleared.
  void release(const std::string& key) {
    free_.push_back(slots_.at(key));
    slots_.erase(key);
  }
  /// One more than the highest slot ever given out.
  [[nodiscard]] uint32_t used() const { return next_; }

 private:
  std::unordered_map<std::string, uint32_t> slots_;
  std::vector<uint32_t> free_;
  uint32_t next_;
  uint32_t limit_;
};

}  // namespace sluice::compile
