#include "compile/values.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

#include "base/net.h"

namespace sluice::compile {
namespace {

Interval interval_of(const Prefix& prefix) {
  const unsigned size = prefix.address.version == 4 ? 4 : 16, bits = size * 8;
  Key from = 0;
  for (unsigned i = 0; i < size; ++i) from = from << 8 | prefix.address.bytes[i];
  const unsigned free = bits - prefix.length;
  const Key host = free == 128 ? ~Key{0} : (Key{1} << free) - 1;
  return {from, from | host};
}

}  // namespace

Error bad_entry(std::string_view path, int i, const std::string& value, const char* expected) {
  return {ErrorCode::kInvalid, std::string(path) + "[" + std::to_string(i) + "]", "\"" + value + "\" is not " + expected};
}

Result<Values> addresses_of(const Texts& texts, std::string_view path) {
  Values out;
  for (int i = 0; i < texts.size(); ++i) {
    const auto prefix = parse_prefix(texts[i]);
    if (!prefix) return bad_entry(path, i, texts[i], "an address or a prefix without host bits, such as 10.0.0.0/8 or 2001:db8::/32");
    (prefix->address.version == 4 ? out.numbers : out.ipv6).push_back(interval_of(*prefix));
  }
  out.normalise();
  return out;
}

Result<Values> numbers_of(const Texts& texts, std::string_view path, uint32_t max, const char* expected) {
  Values out;
  for (int i = 0; i < texts.size(); ++i) {
    const auto range = parse_range(texts[i], max);
    if (!range) return bad_entry(path, i, texts[i], expected);
    out.numbers.push_back({range->from, range->to});
  }
  out.normalise();
  return out;
}

Result<Values> macs_of(const Texts& texts, std::string_view path) {
  constexpr unsigned kMostScattered = 12;  // zeros in front of a one: 4,096 ranges
  Values out;
  const auto number = [](const Mac& mac) {
    uint64_t n = 0;
    for (const uint8_t byte : mac) n = n << 8 | byte;
    return n;
  };
  for (int i = 0; i < texts.size(); ++i) {
    const std::string& text = texts[i];
    const auto slash = text.find('/');
    const auto mac = parse_mac(std::string_view(text).substr(0, slash));
    const auto mask =
        slash == std::string::npos ? std::optional<Mac>(Mac{255, 255, 255, 255, 255, 255}) : parse_mac(text.substr(slash + 1));
    if (!mac || !mask) return bad_entry(path, i, text, "a MAC address, or with a mask 02:00:00:00:00:00/ff:ff:ff:00:00:00");
    const uint64_t ones = number(*mask), all = (uint64_t{1} << 48) - 1;
    const uint64_t tail = ones == 0 ? all : (ones & (~ones + 1)) - 1;  // zeros behind the last one
    const uint64_t scattered = all & ~ones & ~tail;
    if (std::popcount(scattered) > static_cast<int>(kMostScattered))
      return Error{ErrorCode::kInvalid, std::string(path) + "[" + std::to_string(i) + "]",
                   "the mask of \"" + text + "\" has more than 12 zeros between its ones"};
    const uint64_t value = number(*mac) & ones;
    for (uint64_t some = 0;;) {  // every subset of the scattered zeros
      out.numbers.push_back({value | some, value | some | tail});
      some = (some - scattered) & scattered;
      if (some == 0) break;
    }
  }
  out.normalise();
  return out;
}

Result<Values> tcp_flags_of(const Texts& texts, std::string_view path) {
  constexpr std::array<std::string_view, 8> kFlags{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};
  Values out;
  for (int i = 0; i < texts.size(); ++i) {
    unsigned set = 0, clear = 0;
    const std::string_view text = texts[i];
    for (std::size_t begin = 0; begin <= text.size();) {
      const auto end = std::min(text.find(',', begin), text.size());
      auto flag = text.substr(begin, end - begin);
      const bool negated = flag.starts_with('!');
      if (negated) flag.remove_prefix(1);
      const auto known = std::find(kFlags.begin(), kFlags.end(), flag);
      if (known == kFlags.end()) return bad_entry(path, i, texts[i], "flags such as syn,!ack");
      (negated ? clear : set) |= 1U << (known - kFlags.begin());
      begin = end + 1;
    }
    for (unsigned byte = 0; byte < 256; ++byte)
      if ((byte & set) == set && (byte & clear) == 0) out.numbers.push_back({byte, byte});
  }
  out.normalise();
  return out;
}

Result<Values> protocols_of(const Texts& texts, std::string_view path) {
  Values out;
  for (int i = 0; i < texts.size(); ++i) {
    const auto number = parse_protocol(texts[i]);
    if (!number) return bad_entry(path, i, texts[i], "a protocol name or a number from 0 to 255");
    out.numbers.push_back({*number, *number});
  }
  out.normalise();
  return out;
}

Result<Values> ethertypes_of(const Texts& texts, std::string_view path) {
  Values out;
  for (int i = 0; i < texts.size(); ++i) {
    const std::string& text = texts[i];
    uint32_t type = 0;
    const char* const end = text.data() + text.size();
    if (!text.starts_with("0x") || std::from_chars(text.data() + 2, end, type, 16).ptr != end || text.size() < 3 || type > 0xFFFF)
      return bad_entry(path, i, text, "an EtherType in hexadecimal digits such as 0x0806");
    out.numbers.push_back({type, type});
  }
  out.normalise();
  return out;
}

Values enumerated(const google::protobuf::RepeatedField<int>& values) {
  Values out;
  for (const int value : values) out.numbers.push_back({static_cast<unsigned>(value), static_cast<unsigned>(value)});
  out.normalise();
  return out;
}

Result<Values> headers_of(const google::protobuf::RepeatedPtrField<v1::Presence>& asked, std::string_view path) {
  Values out;
  for (int i = 0; i < asked.size(); ++i)
    if (asked[i].header() == v1::HeaderKind::UNSPECIFIED)
      return Error{ErrorCode::kInvalid, std::string(path) + "[" + std::to_string(i) + "].header", "is required"};
  for (unsigned headers = 0; headers <= presence::kAll; ++headers)
    for (const v1::Presence& one : asked) {
      const bool there = (headers >> (one.header() - 1) & 1) != 0;
      if (there == (one.has_present() ? one.present() : true)) {
        out.numbers.push_back({headers, headers});
        break;
      }
    }
  out.normalise();
  return out;
}

Values slots_of(const std::bitset<128>& ports) {
  Values out;
  for (unsigned p = 0; p < ports.size(); ++p)
    if (ports[p]) out.numbers.push_back({p, p});
  out.normalise();
  return out;
}

}  // namespace sluice::compile
