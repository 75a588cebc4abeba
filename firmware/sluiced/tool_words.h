// What tools say of themselves, and for how long it holds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "sluice/v1/control.pb.h"
#include "sluice/v1/status.pb.h"

namespace sluice {

/// By the port's id, whether or not the revision in force has it: a change that is undone brings a port back as it was. Times are the monotonic
/// clock's. Control thread.
class ToolWords {
 public:
  enum class State : uint8_t {
    kUnknown,  ///< it never reported
    kUp,
    kSilent,  ///< it was up, and should have said so again, as others did
    kDown,    ///< until it says otherwise, however long ago it said so
  };

  void hear(const v1::ReportHealth& report, uint64_t now_ns);
  /// In this time nobody could be heard, so it does not count. wholly: nobody could report either, and has his whole time again.
  void nobody_listened(uint64_t since_ns, uint64_t now_ns, bool wholly);
  /// Those of ports that are not there, long over, are no longer known.
  void forget_gone(const std::function<bool(const std::string& port)>& is_there, uint64_t now_ns);

  [[nodiscard]] State state_of(const std::string& port, uint64_t now_ns) const;
  /// Why a port is out; empty: it is not.
  [[nodiscard]] std::string fault_of(const std::string& port, uint64_t now_ns) const;
  /// Nothing, where the tool does not report.
  void report(const std::string& port, uint64_t now_ns, v1::PortStatus& out) const;

 private:
  struct Word {
    bool down = false;
    std::string reason;
    uint32_t milliseconds = 0;
    uint64_t heard_ns = 0;  ///< 0: it is remembered
    uint64_t until_ns = 0;
    uint64_t witnessed_ns = 0;  ///< when another was heard first, after half of this one's time; 0: none was
  };
  [[nodiscard]] bool is_over(const std::string& port, const Word& word, uint64_t now_ns) const;
  std::map<std::string, Word> words_;
};

}  // namespace sluice
