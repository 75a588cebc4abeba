#include "engine/classify/mismatch.h"

#include <algorithm>

namespace sluice {
namespace {

std::vector<Mismatch> mismatches(const Alternative& alternative, const PacketView& packet) {
  std::vector<Mismatch> out;
  for (const Criterion& criterion : alternative.criteria) {
    const auto told = [&criterion](const Mismatch& m) { return m.where == criterion.where; };  // a field can be asked about twice
    if (!holds(criterion, packet) && std::none_of(out.begin(), out.end(), told))
      out.push_back({Mismatch::Kind::kField, criterion.where, value_of(criterion.where, packet)});
  }
  if (!alternative.remainder || holds(*alternative.remainder, packet)) return out;
  const bool filter = alternative.remainder->unless && matches(*alternative.remainder->unless, packet);
  Remainder but_for_the_payload = *alternative.remainder;
  but_for_the_payload.scanner.reset();
  const bool regex = holds(but_for_the_payload, packet);
  out.push_back({filter ? Mismatch::Kind::kFilter : regex ? Mismatch::Kind::kRegex : Mismatch::Kind::kBytes});
  return out;
}

}  // namespace

std::vector<Mismatch> mismatches(const RuleMatch& match, const PacketView& packet) {
  if (match.alternatives.empty()) return {{Mismatch::Kind::kNothing}};
  std::vector<Mismatch> nearest = mismatches(match.alternatives.front(), packet);
  for (const Alternative& alternative : match.alternatives) {
    auto these = mismatches(alternative, packet);
    if (these.size() < nearest.size()) nearest = std::move(these);
  }
  return nearest;
}

}  // namespace sluice
