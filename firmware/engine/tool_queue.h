// Copies on their way out of one tool port, in order: [posted, waiting). One ring serves both, because a copy that is posted is the
// oldest that waited.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "packet/frame.h"

namespace sluice {

/// Copies that one tool port of one worker may hold, posted and waiting together: its budget of frames.
inline constexpr uint32_t kToolQueue = 4096;

/// Worker-private.
class ToolQueue {
 public:
  struct Copy {
    Frame frame;
    uint32_t leg = 0;
  };

  ToolQueue() : frames_(std::make_unique<Frame[]>(kToolQueue)), legs_(std::make_unique<uint32_t[]>(kToolQueue)) {}

  [[nodiscard]] bool full() const { return tail_ - head_ == kToolQueue; }
  [[nodiscard]] uint32_t posted() const { return posted_ - head_; }
  [[nodiscard]] uint32_t waiting() const { return tail_ - posted_; }
  [[nodiscard]] bool empty() const { return tail_ == head_; }

  /// Requires !full().
  void push(const Frame& frame, uint32_t leg) {
    frames_[at(tail_)] = frame;
    legs_[at(tail_)] = leg;
    ++tail_;
  }
  /// The oldest waiting frames that lie in one piece.
  [[nodiscard]] std::span<const Frame> next_to_post() const {
    const uint32_t first = at(posted_);
    const uint32_t to_end = kToolQueue - first;
    return {&frames_[first], waiting() < to_end ? waiting() : to_end};
  }
  void mark_posted(uint32_t count) { posted_ += count; }

  /// The posted copy whose frame this is, taken out. Drivers complete in order as a rule; where one does not, the
  /// overtaken copies move up by one. Nothing if no posted copy has this frame.
  std::optional<Copy> complete(uint32_t frame) {
    for (uint32_t i = head_; i != posted_; ++i) {
      if (frames_[at(i)].index != frame) continue;
      const Copy copy{frames_[at(i)], legs_[at(i)]};
      for (; i != head_; --i) {
        frames_[at(i)] = frames_[at(i - 1)];
        legs_[at(i)] = legs_[at(i - 1)];
      }
      ++head_;
      return copy;
    }
    return std::nullopt;
  }
  /// The oldest copy whatever its state, taken out: for a port that is closed. Requires !empty().
  Copy abandon() {
    const Copy copy{frames_[at(head_)], legs_[at(head_)]};
    ++head_;
    if (posted_ - head_ > kToolQueue) posted_ = head_;
    return copy;
  }

 private:
  static constexpr uint32_t at(uint32_t position) { return position & (kToolQueue - 1); }

  std::unique_ptr<Frame[]> frames_;
  std::unique_ptr<uint32_t[]> legs_;
  uint32_t head_ = 0;    ///< oldest posted
  uint32_t posted_ = 0;  ///< oldest waiting
  uint32_t tail_ = 0;
};

}  // namespace sluice
