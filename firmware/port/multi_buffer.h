// Where one packet may be sent as several buffers: a header of ours and a shared payload, or a packet that was received so. The kernel's
// interface allows it everywhere; whether a driver and kernel do it right is known only where it was seen. Elsewhere it is not done.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

/// Whether this driver, on the kernel that runs, is one of those on which tests/guest proved it.
[[nodiscard]] bool sends_several_buffers(const std::string& driver, bool zero_copy);

/// The same for a kernel release such as "7.3.4-1~bpo13-amd64".
[[nodiscard]] bool sends_several_buffers(const std::string& driver, bool zero_copy, const std::string& kernel_release);

}  // namespace sluice
