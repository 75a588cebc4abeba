// Copies that a tool port can't take yet: a burst waits here, by priority, as references to the frames that were received. Strict priority,
// with a bound on starvation: of 16 copies that leave, one is of kNormal and one of kLow, while any wait.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "packet/frame.h"

namespace sluice {

/// What an entry's end means for the account.
class CopyNote {
 public:
  CopyNote() = default;
  /// bytes: of the whole copy, below 2^24. holder: the worker that counts the frame's references, below 2^7. more: further frames of the
  /// copy follow; the last one carries its account.
  CopyNote(uint32_t leg_slot, uint32_t bytes, uint32_t holder, bool more = false) : leg(leg_slot), packed_(bytes << 8 | holder << 1 | more) {}
  [[nodiscard]] uint32_t bytes() const { return packed_ >> 8; }
  [[nodiscard]] uint32_t holder() const { return packed_ >> 1 & 0x7FU; }
  [[nodiscard]] bool more() const { return (packed_ & 1) != 0; }
  uint32_t leg = 0;

 private:
  uint32_t packed_ = 0;
};

/// Highest first.
enum class Priority : uint8_t { kHigh, kNormal, kLow };
inline constexpr unsigned kPriorities = 3;

/// Worker-private. A list a priority, of entries out of one store, so that each may have all of it.
class Backlog {
 public:
  /// Of so many copies that leave, each lower priority has one while any of it wait.
  static constexpr uint32_t kTurns = 16;
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  struct Entry {
    Frame frame;
    CopyNote note;
    uint32_t next = kNone;
    uint32_t since_us = 0;  ///< when it came, modulo 2^32: of what waits longer, 71 minutes are left out
  };
  using Store = std::vector<Entry>;

  explicit Backlog(uint32_t frames) : store_(frames) {}

  /// Frames that there is room for.
  [[nodiscard]] uint32_t capacity() const { return static_cast<uint32_t>(store_.size()); }
  /// Takes a larger store in the place of its own, which `larger` has then: memory is got and given back by who calls, not by the worker.
  void move_into(Store& larger) {
    std::copy_n(store_.begin(), fresh_, larger.begin());
    store_.swap(larger);
  }

  [[nodiscard]] bool empty() const { return frames_ == 0; }
  [[nodiscard]] uint32_t frames() const { return frames_; }
  /// Of all copies together.
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  [[nodiscard]] bool waits(Priority priority) const { return lists_[static_cast<unsigned>(priority)].first != kNone; }
  /// Frames that wait and are of less importance.
  [[nodiscard]] uint32_t frames_below(Priority priority) const {
    uint32_t out = 0;
    for (unsigned p = static_cast<unsigned>(priority) + 1; p < kPriorities; ++p) out += lists_[p].frames;
    return out;
  }

  /// A frame behind all others of its priority. Requires room; the frames of one copy follow each other. since_us: the present, modulo 2^32.
  void push(Priority priority, const Frame& frame, CopyNote note, uint32_t since_us = 0) {
    uint32_t at = free_;
    if (at == kNone) at = fresh_++;
    else free_ = store_[at].next;
    store_[at] = {frame, note, kNone, since_us};
    List& list = lists_[static_cast<unsigned>(priority)];
    (list.first == kNone ? list.first : store_[list.last].next) = at;
    list.last = at;
    ++list.frames;
    ++frames_;
    if (!note.more()) bytes_ += note.bytes();
  }

  /// Whose turn it is to leave. Requires !empty().
  [[nodiscard]] Priority next() {
    const uint32_t turn = turn_++ % kTurns;
    if (turn == kTurns - 1 && waits(Priority::kLow)) return Priority::kLow;
    if (turn == kTurns / 2 && waits(Priority::kNormal)) return Priority::kNormal;
    return waits(Priority::kHigh) ? Priority::kHigh : waits(Priority::kNormal) ? Priority::kNormal : Priority::kLow;
  }
  /// The least important priority of which any wait. Requires !empty().
  [[nodiscard]] Priority lowest() const {
    return waits(Priority::kLow) ? Priority::kLow : waits(Priority::kNormal) ? Priority::kNormal : Priority::kHigh;
  }

  /// When the oldest copy of a priority came. Requires waits(priority).
  [[nodiscard]] uint32_t since_us(Priority priority) const { return store_[lists_[static_cast<unsigned>(priority)].first].since_us; }
  /// Takes the oldest copy of a priority out: `frame_of(frame, note)` for each of its frames. Requires waits(priority). Returns its bytes.
  uint32_t take(Priority priority, auto&& frame_of) {
    for (;;) {
      const auto [frame, note] = take_frame(priority);
      frame_of(frame, note);
      if (!note.more()) return note.bytes();
    }
  }
  /// Takes the oldest frame of a priority out. Requires waits(priority).
  std::pair<Frame, CopyNote> take_frame(Priority priority) {
    List& list = lists_[static_cast<unsigned>(priority)];
    const uint32_t at = list.first;
    Entry& entry = store_[at];
    list.first = std::exchange(entry.next, free_);
    free_ = at;
    --list.frames;
    --frames_;
    if (!entry.note.more()) bytes_ -= entry.note.bytes();
    return {entry.frame, entry.note};
  }

 private:
  struct List {
    uint32_t first = kNone;
    uint32_t last = kNone;  ///< of a list that is not empty
    uint32_t frames = 0;
  };
  Store store_;
  uint32_t free_ = kNone;  ///< first of the entries that were used and are not
  uint32_t fresh_ = 0;     ///< entries from here on were never used
  std::array<List, kPriorities> lists_;
  uint32_t frames_ = 0;
  uint32_t turn_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace sluice
