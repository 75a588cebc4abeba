// One experiment: numbered packets, made here or received, go by reference to two outputs, with or without a private header each, and
// are judged at the far ends.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guest/far_end.h"
#include "guest/xsk.h"

namespace guest {

struct Experiment {
  std::string name;
  std::string prefix;       ///< of the devices' names: in, out1, out2 and their far ends in-far, out1-far, out2-far
  uint16_t flags = 0;       ///< of the first bind
  bool receive = false;     ///< packets come from the far end of "in"; else they are made here
  bool send = true;         ///< packets go to both outputs
  bool header = false;      ///< each copy begins with a private fragment of kHeader bytes
  uint32_t shortest = 985;  ///< bytes of a packet, without header
  uint32_t longest = 1016;
  bool abandon = false;  ///< the sockets are closed once some packets have arrived and others are on their way
  bool spoil = false;    ///< one byte of one packet is wrong: the judge must notice
};

constexpr uint32_t kHeader = 50;

struct Result {
  int refused = 0;  ///< the kernel did not bind or attach: its error number
  bool zero_copy = false;
  uint64_t sent = 0;                     ///< packets
  uint64_t whole = 0;                    ///< of these, whole, in order and once at every place that they should reach
  uint64_t posted = 0, completed = 0;    ///< descriptors
  uint64_t received = 0, fragments = 0;  ///< packets received and the descriptors that they came in
  std::string why;                       ///< empty: nothing went wrong
};

/// Sends `count` packets. Returns when all have arrived and all descriptors came back, or when nothing has moved for some seconds.
Result run(const Experiment& experiment, uint32_t count);

}  // namespace guest
