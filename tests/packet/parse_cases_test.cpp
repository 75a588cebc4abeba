#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "tests/packet/cases.h"
#include "tests/packet/facts_of.h"

using namespace sluice;
using namespace sluice::test;

namespace {

/// One layer set of a packet, whole and cut to `length` bytes: what the cut one says must be true of the whole one, and every header that
/// ends before the cut must be there. Returns what is wrong, or nothing.
std::string wrong_when_cut(const FactSet& whole, const FactSet& cut, std::size_t length) {
  for (const std::size_t offset : {cut.l2_offset, cut.mpls_offset, cut.l3_offset, cut.l4_offset, cut.payload_offset}) {
    if (offset > length) return "an offset is behind the cut";
  }
  const auto prefix = [](const auto& shorter, const auto& longer) {
    return shorter.size() <= longer.size() && std::equal(shorter.begin(), shorter.end(), longer.begin());
  };
  if (cut.ethernet && (!whole.ethernet || cut.l2_offset != whole.l2_offset)) return "Ethernet where none is";
  if (!prefix(cut.tci, whole.tci)) return "other tags";
  if (!prefix(cut.mpls, whole.mpls)) return "other labels";
  if (!cut.mpls.empty() && cut.mpls_offset != whole.mpls_offset) return "labels elsewhere";
  if (cut.pppoe && cut.pppoe != whole.pppoe) return "another PPPoE session";
  if (cut.l3 != "none" && (cut.l3 != whole.l3 || cut.l3_offset != whole.l3_offset || cut.src != whole.src || cut.dst != whole.dst)) {
    return "another layer 3";
  }
  if (cut.protocol && cut.protocol != whole.protocol) return "another protocol";
  if (cut.fragment != "whole" && cut.fragment != whole.fragment) return "another fragment state";
  if (cut.l4 != "none" && (cut.l4 != whole.l4 || cut.l4_offset != whole.l4_offset)) return "another layer 4";
  if (cut.ports && cut.ports != whole.ports) return "other ports";
  if (cut.icmp && cut.icmp != whole.icmp) return "another ICMP type";
  if (cut.payload_offset > whole.payload_offset) return "a later payload";

  const std::size_t type_end = whole.l2_offset + 14 + whole.tci.size() * 4;
  if (whole.ethernet && length >= whole.l2_offset + 14) {
    if (!cut.ethernet) return "lost Ethernet";
    if (cut.tci.size() < std::min(whole.tci.size(), (length - whole.l2_offset - 14) / 4)) return "lost a tag";
  }
  // A SNAP header, eight bytes, is the only thing that may stand between the tags and what their last type field names.
  if (whole.ethernet && length >= type_end + 8 && cut.ethertype != whole.ethertype) return "lost the ethertype";
  if (!whole.mpls.empty() && length >= whole.mpls_offset &&
      cut.mpls.size() < std::min(whole.mpls.size(), (length - whole.mpls_offset) / 4)) {
    return "lost a label";
  }
  if (whole.pppoe && length >= type_end + 8 && !cut.pppoe) return "lost the PPPoE session";
  const std::size_t l3_size = whole.l3 == "ipv4" ? 20 : whole.l3 == "ipv6" ? 40 : 28;
  if (whole.l3 != "none" && length >= whole.l3_offset + l3_size && cut.l3 == "none") return "lost layer 3";
  if (length >= (whole.l4 != "none" ? whole.l4_offset : whole.payload_offset)) {
    if (cut.protocol != whole.protocol) return "lost the protocol";
    if (cut.fragment != whole.fragment) return "lost the fragment state";
  }
  if (length >= whole.payload_offset) {
    FactSet same = cut;
    same.problems = whole.problems;
    if (same != whole) return "lost layer 4";
  }
  return "";
}

std::string wrong_when_cut(const Facts& whole, const Facts& cut, std::size_t length, std::size_t visible) {
  if (const auto wrong = wrong_when_cut(whole.outer, cut.outer, length); !wrong.empty()) return "outer: " + wrong;
  // Until its protocol field is there, ERSPAN is GRE.
  const bool unnamed = whole.tunnel == "erspan" && cut.tunnel == "gre" && length < whole.tunnel_offset + 8;
  if (cut.tunnel != "none" && ((cut.tunnel != whole.tunnel && !unnamed) || cut.tunnel_offset != whole.tunnel_offset))
    return "another tunnel";
  if (cut.tunnel_id && cut.tunnel_id != whole.tunnel_id) return "another tunnel id";
  if (cut.tunnel != "none" && cut.tunnel_offset > length) return "a tunnel behind the cut";
  if (cut.inner && !whole.inner) return "an inner packet where none is";
  if (cut.inner) {
    if (const auto wrong = wrong_when_cut(*whole.inner, *cut.inner, length); !wrong.empty()) return "inner: " + wrong;
  }
  if (whole.inner) {
    const std::size_t begins = whole.inner->ethernet       ? whole.inner->l2_offset
                               : whole.inner->mpls.empty() ? whole.inner->l3_offset
                                                           : whole.inner->mpls_offset;
    if (length > begins && !cut.inner) return "lost the inner packet";
    if (length > begins && (cut.tunnel != whole.tunnel || cut.tunnel_id != whole.tunnel_id)) return "lost the tunnel";
  }
  std::set<std::string> problems(cut.outer.problems.begin(), cut.outer.problems.end());
  problems.insert(cut.tunnel_problems.begin(), cut.tunnel_problems.end());
  if (cut.inner) problems.insert(cut.inner->problems.begin(), cut.inner->problems.end());
  if (problems.contains("malformed")) return "a cut is not malformed";
  // Nothing says that something follows the last label.
  const bool bare = !whole.outer.mpls.empty() && length == whole.outer.mpls_offset + 4 * whole.outer.mpls.size();
  if (length < visible && !bare && !problems.contains("truncated")) return "not told that bytes are missing";
  return "";
}

}  // namespace

TEST_CASE("parse cases: there are many, and no two have the same name") {
  std::set<std::string> names;
  for (const auto& c : parse_cases()) CHECK_MESSAGE(names.insert(c.name).second, c.name);
  CHECK(names.size() >= 150);
}

TEST_CASE("parse cases: the parser finds what the builder built") {
  for (const auto& c : parse_cases()) {
    const auto bytes = c.packet.bytes();
    const Facts found = facts_of(bytes, parse(bytes)), expected = c.packet.expected();
    CHECK_MESSAGE(found == expected, "\nfound    ", to_json(found, 0, c.name), "\nexpected ", to_json(expected, 0, c.name));
  }
}

TEST_CASE("parse cases: a cut at any length hides what is behind it, changes nothing before it, and is told") {
  for (const auto& c : parse_cases()) {
    const auto bytes = c.packet.bytes();
    const Facts whole = facts_of(bytes, parse(bytes));
    for (std::size_t length = 0; length <= bytes.size(); ++length) {
      // A heap block of just this size: ASan sees the first byte read beyond it.
      const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
      const Facts found = facts_of(cut, parse(cut));
      // Whoever sees an IP header knows how long the packet should be; before that, an Ethernet header has to be whole.
      const std::size_t visible = whole.outer.l3 == "ipv4" || whole.outer.l3 == "ipv6" ? c.packet.ip_end() : 14;
      const std::string wrong = wrong_when_cut(whole, found, length, visible);
      CHECK_MESSAGE(wrong.empty(), c.name, ", ", length, " of ", bytes.size(), " bytes: ", wrong, "\nwhole ", to_json(whole, 0, c.name),
                    "\ncut   ", to_json(found, 0, c.name));
    }
  }
}
