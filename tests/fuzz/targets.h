// The bodies of the fuzzers: any bytes in, no crash, no sanitizer report, and what must hold holds.
#pragma once

#include <cstddef>
#include <span>

namespace sluice::fuzz {

using Bytes = std::span<const std::byte>;

void parse(Bytes bytes);       ///< packet parser, flow hash, fingerprints
void capture(Bytes bytes);     ///< capture files
void config(Bytes bytes);      ///< a configuration's JSON, from text to snapshot
void target(Bytes bytes);      ///< request targets
void control(Bytes bytes);     ///< messages of the control socket, from bytes to snapshot
void management(Bytes bytes);  ///< sluice.conf, from text to systemd-networkd's files

}  // namespace sluice::fuzz
