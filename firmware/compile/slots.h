// Slots: the small numbers by which workers know ports, legs, maps and rules. A thing keeps its slot, and so its counters, from
// revision to revision for as long as its id lives. Control thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace sluice::compile {

class Slots {
 public:
  /// Numbers [reserved, limit) are given out; those below have fixed meanings.
  Slots(uint32_t reserved, uint32_t limit) : next_(reserved), limit_(limit) {}

  /// The slot of this key, a new one if it has none; nothing if all are taken.
  std::optional<uint32_t> of(const std::string& key) { return of(key, limit_); }
  /// guess: the one that it had last, if it still has it: to find it takes longer than to see that.
  std::optional<uint32_t> of(const std::string& key, uint32_t guess) {
    if (guess < owners_.size() && owners_[guess] && *owners_[guess] == key) return guess;
    if (const auto known = slots_.find(key); known != slots_.end()) return known->second;
    if (free_.empty() && next_ == limit_) return std::nullopt;
    uint32_t slot = next_;
    if (free_.empty()) {
      ++next_;
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    if (owners_.size() <= slot) owners_.resize(slot + 1);
    owners_[slot] = &slots_.emplace(key, slot).first->first;
    return slot;
  }

  /// Keys whose slot is not among these, with it. used: by slot, up to used().
  [[nodiscard]] std::vector<std::pair<std::string, uint32_t>> not_in(const std::vector<bool>& used) const {
    std::vector<std::pair<std::string, uint32_t>> out;
    for (uint32_t slot = 0; slot < owners_.size(); ++slot)
      if (owners_[slot] && !used[slot]) out.emplace_back(*owners_[slot], slot);
    return out;
  }
  /// The key's slot may be given to another; its counters have been folded and cleared.
  void release(const std::string& key) {
    const uint32_t slot = slots_.at(key);
    free_.push_back(slot);
    owners_[slot] = nullptr;
    slots_.erase(key);
  }
  /// One more than the highest slot ever given out.
  [[nodiscard]] uint32_t used() const { return next_; }

 private:
  std::unordered_map<std::string, uint32_t> slots_;
  std::vector<const std::string*> owners_;  ///< by slot: the key in slots_
  std::vector<uint32_t> free_;
  uint32_t next_;
  uint32_t limit_;
};

}  // namespace sluice::compile
