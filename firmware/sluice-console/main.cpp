// Shows the page on its terminal (standard input and output), anew when it changes or a key is pressed.
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>

#include "sluice-console/page.h"

int main(int argc, char** argv) {
  sluice::ConsolePaths paths;
  bool once = false;
  CLI::App app{"The page on a Sluice appliance's console."};
  app.add_option("--state", paths.state, "folder of the management daemon")->capture_default_str();
  app.add_flag("--once", once, "print it and end");
  CLI11_PARSE(app, argc, argv);

  constexpr int kLookEveryMs = 1000;
  termios terminal{};
  if (!once && tcgetattr(STDIN_FILENO, &terminal) == 0) {
    cfmakeraw(&terminal);
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
  }
  std::string shown;
  for (;;) {
    const std::string page = sluice::console_page(paths);
    if (page != shown) {
      const std::string out = (once ? "" : "\x1b[2J\x1b[H") + page;
      if (write(STDOUT_FILENO, out.data(), out.size()) < 0) return 1;
      shown = page;
    }
    if (once) return 0;
    pollfd key{STDIN_FILENO, POLLIN, 0};
    if (poll(&key, 1, kLookEveryMs) <= 0) continue;
    std::array<char, 256> ignored;
    if (read(STDIN_FILENO, ignored.data(), ignored.size()) <= 0) return 1;  // the terminal is gone; whoever starts us opens it anew
    shown.clear();
  }
}
