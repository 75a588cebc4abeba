#include "engine/classify/payload_scanner.h"

#include <hs.h>

#include <algorithm>
#include <array>

#include "base/clock.h"

namespace sluice {
namespace {

int note(unsigned id, unsigned long long /*from*/, unsigned long long /*to*/, unsigned /*flags*/, void* found) {
  static_cast<PayloadScanner::Found*>(found)->set(id);
  return 0;
}

}  // namespace

struct PayloadScanner::Database {
  hs_database* all = nullptr;
  std::vector<hs_scratch*> scratch;  ///< by thread
  ~Database() {
    for (hs_scratch* one : scratch) hs_free_scratch(one);
    hs_free_database(all);
  }
};

Result<unsigned> PayloadScanner::add(const std::string& expression, const std::string& path) {
  if (expression.find('\0') != std::string::npos) return Error{ErrorCode::kInvalid, path, "has a zero byte; write it as \\x00"};
  const auto known = std::find_if(expressions_.begin(), expressions_.end(), [&](const Expression& e) { return e.text == expression; });
  if (known != expressions_.end()) return static_cast<unsigned>(known - expressions_.begin());
  if (expressions_.size() == kMost)
    return Error{ErrorCode::kExhausted, path, "no more than " + std::to_string(kMost) + " different expressions"};
  expressions_.push_back({expression, path});
  return static_cast<unsigned>(expressions_.size() - 1);
}

Result<void> PayloadScanner::compile(const PayloadScanner* before) {
  if (expressions_.empty()) return {};
  const auto same = [](const Expression& a, const Expression& b) { return a.text == b.text; };
  if (before && std::equal(expressions_.begin(), expressions_.end(), before->expressions_.begin(), before->expressions_.end(), same)) {
    database_ = before->database_;
    return {};
  }
  // A payload is bytes, not lines: a dot is any of them. Where an expression matches does not matter.
  constexpr unsigned kFlags = HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH;
  const auto refusal = [](hs_compile_error_t* error, const std::string& path) {
    const Error refused{ErrorCode::kInvalid, path, std::string("is refused: ") + error->message};
    hs_free_compile_error(error);
    return refused;
  };
  hs_compile_error_t* error = nullptr;
  std::vector<const char*> texts;
  std::vector<unsigned> flags, ids;
  const uint64_t begin = monotonic_ns();
  for (const Expression& expression : expressions_) {
    // Alone first: so it is known which one takes long.
    hs_database* alone = nullptr;
    if (hs_compile(expression.text.c_str(), kFlags, HS_MODE_VECTORED, nullptr, &alone, &error) != HS_SUCCESS)
      return refusal(error, expression.path);
    hs_free_database(alone);
    if (monotonic_ns() - begin > kLongestCompile)
      return Error{ErrorCode::kExhausted, expression.path,
                   "with this one the expressions take longer than three seconds to compile; make it simpler"};
    texts.push_back(expression.text.c_str());
    flags.push_back(kFlags);
    ids.push_back(static_cast<unsigned>(ids.size()));
  }
  const std::string& last = expressions_.back().path;
  const auto made = std::make_shared<Database>();
  // Vectored: a packet may have several frames.
  if (hs_compile_multi(texts.data(), flags.data(), ids.data(), static_cast<unsigned>(texts.size()), HS_MODE_VECTORED, nullptr, &made->all,
                       &error) != HS_SUCCESS)
    return refusal(error, last);
  for (unsigned thread = 0; thread < kMostThreads; ++thread) {
    hs_scratch* next = nullptr;
    if (thread == 0 ? hs_alloc_scratch(made->all, &next) : hs_clone_scratch(made->scratch.front(), &next); !next)
      return Error{ErrorCode::kExhausted, last, "there is not enough memory for the expressions"};
    made->scratch.push_back(next);
  }
  database_ = made;
  return {};
}

bool PayloadScanner::matches(unsigned expression, const Burst& burst, unsigned packet, uint32_t begin, Seen* seen) const {
  if (!seen) return scan(burst, packet, begin, 0)[expression];
  if (seen->scanner != this || seen->packet != packet || seen->begin != begin)
    *seen = {seen->thread, this, packet, begin, scan(burst, packet, begin, seen->thread)};
  return seen->found[expression];
}

PayloadScanner::Found PayloadScanner::scan(const Burst& burst, unsigned packet, uint32_t begin, unsigned thread) const {
  std::array<const char*, kMaxChain> parts;
  std::array<unsigned, kMaxChain> lengths;
  unsigned count = 0;
  const auto add_part = [&](const Frame& frame) {
    if (begin < frame.length) {
      parts[count] = reinterpret_cast<const char*>(frame.data) + begin;
      lengths[count++] = frame.length - begin;
    }
    begin -= std::min(begin, frame.length);
  };
  add_part(burst.frames[packet]);
  for (const Frame& frame : burst.rest_of(packet)) add_part(frame);
  Found found;
  hs_scan_vector(database_->all, parts.data(), lengths.data(), count, 0, database_->scratch[thread], note, &found);
  return found;
}

}  // namespace sluice
