// Copies on their way out of one tool port: the line, [posted, waiting), in the order in which they leave, and behind it the backlog, by
// priority. One ring serves both parts of the line, because a copy that is posted is the oldest that waited. An entry is a frame; a copy of
// several frames has an entry for each, of which the last carries its account.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <tuple>

#include "engine/backlog.h"
#include "packet/frame.h"

namespace sluice {

/// Frames that one tool port of one worker may hold, if nobody says otherwise.
inline constexpr uint32_t kToolQueue = 4096;
/// Frames of them in the line at most, as many as a transmit ring has descriptors: what is in it no priority overtakes any more.
inline constexpr uint32_t kLine = 2048;

/// Worker-private.
class ToolQueue {
 public:
  using Note = CopyNote;
  struct Entry {
    uint32_t frame = 0;
    Note note;
  };

  /// Room for so many frames in all.
  explicit ToolQueue(uint32_t frames = kToolQueue)
      : frames_(std::make_unique<Frame[]>(kLine)), notes_(std::make_unique<Note[]>(kLine)), backlog_(frames) {}

  /// What waits for the line to have room.
  [[nodiscard]] Backlog& backlog() { return backlog_; }
  /// Frames in line and backlog.
  [[nodiscard]] uint32_t size() const { return in_line() + backlog_.frames(); }
  [[nodiscard]] uint32_t in_line() const { return tail_ - head_; }
  [[nodiscard]] uint32_t posted() const { return posted_ - head_; }
  /// In the line.
  [[nodiscard]] uint32_t waiting() const { return tail_ - posted_; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// Entries that were ever completed, modulo 2^32.
  [[nodiscard]] uint32_t completed() const { return head_; }

  /// Into the line, which has kLine places (Outlet::line_room()). A copy of several frames, kMaxChain at most, follows frame by frame.
  void push(const Frame& frame, Note note) {
    const uint32_t at_tail = at(tail_++);
    frames_[at_tail] = frame;
    notes_[at_tail] = note;
    chained_waiting_ += note.more();
  }

  /// Into the line: a copy of each packet of the mask, of one frame each; `entry(i)` gives its frame and note.
  void push_each(uint64_t packets, auto&& entry) {
    uint32_t tail = tail_;  // a register: the stores below might be to this object, as far as the compiler knows
    for (; packets != 0; packets &= packets - 1) {
      const uint32_t at_tail = at(tail++);
      std::tie(frames_[at_tail], notes_[at_tail]) = entry(static_cast<unsigned>(std::countr_zero(packets)));
    }
    tail_ = tail;
  }

  /// The oldest waiting entries that can be posted together: copies of one frame each, or the frames of one copy.
  struct Next {
    std::span<const Frame> frames;
    bool is_chain = false;
  };
  [[nodiscard]] Next next_to_post() {
    const uint32_t first = at(posted_);
    if (chained_waiting_ > 0) return next_beside_chains();
    const uint32_t to_end = kLine - first;
    return {{&frames_[first], waiting() < to_end ? waiting() : to_end}, false};
  }
  void mark_posted(uint32_t count) {
    if (chained_waiting_ > 0)
      for (uint32_t i = 0; i < count; ++i) chained_waiting_ -= notes_[at(posted_ + i)].more();
    posted_ += count;
  }

  /// Takes the posted entries of these frames out and calls `ended(frame, note)` for each; frames that no posted entry has are passed over.
  void complete(std::span<const uint32_t> done, auto&& ended) {
    uint32_t head = head_;
    for (const uint32_t frame : done) {
      if (head != posted_ && frames_[at(head)].index == frame) {  // drivers complete in order as a rule
        ended(frame, notes_[at(head++)]);
      } else {
        head_ = head;
        if (const auto note = complete_out_of_order(frame)) ended(frame, *note);
        head = head_;
      }
    }
    head_ = head;
  }
  /// What was pushed since the last mark came at `since`, nanoseconds. What comes within 50 microseconds is one, and within a millisecond while
  /// many marks are in use, and so is what no mark is left for: it is told to have waited longer than it did, never shorter.
  void mark(uint64_t since) {
    if (marks_ > 0) {
      Mark& newest = marked_[(first_mark_ + marks_ - 1) % kMarks];
      if (marks_ == kMarks || since < newest.since + (marks_ < kMarks / 2 ? kFine : kCoarse)) {
        newest.behind = tail_, newest.since = std::min(newest.since, since);
        return;
      }
    }
    marked_[(first_mark_ + marks_++) % kMarks] = {tail_, since};
  }
  /// f(since) for each mark whose entries have all left.
  void each_left(auto&& f) {
    for (; marks_ > 0 && static_cast<int32_t>(head_ - marked_[first_mark_].behind) >= 0; first_mark_ = (first_mark_ + 1) % kMarks, --marks_)
      f(marked_[first_mark_].since);
  }
  /// Since when the oldest entry that is marked has been in the line. Nothing: there is none.
  [[nodiscard]] std::optional<uint64_t> oldest_since() const {
    return marks_ > 0 ? std::optional(marked_[first_mark_].since) : std::nullopt;
  }

  /// The oldest entry whatever its state, taken out: for a port that is closed. Requires !empty().
  Entry abandon() {
    if (in_line() == 0) {
      const auto [frame, note] = backlog_.take_frame(backlog_.lowest());
      return {frame.index, note};
    }
    const Entry entry{frames_[at(head_)].index, notes_[at(head_)]};
    if (head_ == posted_) mark_posted(1);
    ++head_;
    return entry;
  }

 private:
  static constexpr uint32_t at(uint32_t position) { return position & (kLine - 1); }

  /// The overtaken entries move up by one, some behind a younger mark, which takes the older one's time.
  std::optional<Note> complete_out_of_order(uint32_t frame) {
    for (uint32_t i = head_; i != posted_; ++i) {
      if (frames_[at(i)].index != frame) continue;
      for (uint32_t m = 1; m < marks_; ++m) {
        const Mark& older = marked_[(first_mark_ + m - 1) % kMarks];
        Mark& mark = marked_[(first_mark_ + m) % kMarks];
        if (static_cast<int32_t>(i - older.behind) >= 0) mark.since = std::min(mark.since, older.since);
      }
      const Note note = notes_[at(i)];
      for (; i != head_; --i) {
        frames_[at(i)] = frames_[at(i - 1)];
        notes_[at(i)] = notes_[at(i - 1)];
      }
      ++head_;
      return note;
    }
    return std::nullopt;
  }

  Next next_beside_chains() {
    uint32_t count = 0;
    while (count < waiting() && !notes_[at(posted_ + count)].more() && at(posted_ + count) + 1 != kLine) ++count;
    if (count > 0) return {{&frames_[at(posted_)], count}, false};
    for (bool last = false; !last; ++count) {
      chain_[count] = frames_[at(posted_ + count)];
      last = !notes_[at(posted_ + count)].more();
    }
    return {{chain_.data(), count}, count > 1};
  }

  std::unique_ptr<Frame[]> frames_;
  std::unique_ptr<Note[]> notes_;
  uint32_t head_ = 0;    ///< oldest posted
  uint32_t posted_ = 0;  ///< oldest waiting
  uint32_t tail_ = 0;
  static constexpr uint32_t kMarks = 64;
  static constexpr uint64_t kFine = 50'000, kCoarse = 1'000'000;  ///< nanoseconds of one mark
  struct Mark {
    uint32_t behind = 0;  ///< its last entry
    uint64_t since = 0;
  };
  std::array<Mark, kMarks> marked_{};
  uint32_t first_mark_ = 0, marks_ = 0;
  uint32_t chained_waiting_ = 0;          ///< waiting entries that are followed by more of their copy
  std::array<Frame, kMaxChain> chain_{};  ///< one copy's frames in one piece
  Backlog backlog_;
};

}  // namespace sluice
