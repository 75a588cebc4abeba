// parse-dump FILE: what the parser finds in each packet of a capture, one JSON object a line.
// parse-dump --cases OUT.pcap: writes the cases of the parser's tests as a capture and prints, in the same form, what the builder knows of
// them.
#include <pcap/pcap.h>

#include <cstdio>
#include <memory>
#include <string_view>

#include "tests/packet/cases.h"
#include "tests/packet/facts_of.h"

namespace {

using namespace sluice;
using namespace sluice::test;
using Handle = std::unique_ptr<pcap_t, decltype(&pcap_close)>;

int failed(const char* what, const char* why) {
  std::fprintf(stderr, "parse-dump: %s: %s\n", what, why);
  return 1;
}

int dump(const char* file) {
  char error[PCAP_ERRBUF_SIZE];
  const Handle capture(pcap_open_offline(file, error), &pcap_close);
  if (!capture) return failed(file, error);
  if (pcap_datalink(capture.get()) != DLT_EN10MB) return failed(file, "not a capture of Ethernet");
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  int got = 0;
  for (std::size_t n = 1; (got = pcap_next_ex(capture.get(), &header, &data)) == 1; ++n) {
    const std::span packet(reinterpret_cast<const std::byte*>(data), header->caplen);
    std::puts(to_json(facts_of(packet, parse(packet)), n, "").c_str());
  }
  return got == PCAP_ERROR_BREAK ? 0 : failed(file, pcap_geterr(capture.get()));
}

int write_cases(const char* file) {
  const Handle capture(pcap_open_dead(DLT_EN10MB, 65535), &pcap_close);
  const std::unique_ptr<pcap_dumper_t, decltype(&pcap_dump_close)> out(pcap_dump_open(capture.get(), file), &pcap_dump_close);
  if (!out) return failed(file, pcap_geterr(capture.get()));
  std::size_t n = 0;
  for (const auto& [name, packet] : parse_cases()) {
    const auto bytes = packet.bytes();
    const auto length = static_cast<bpf_u_int32>(bytes.size());
    pcap_pkthdr header{};
    header.ts.tv_sec = static_cast<time_t>(++n);
    header.caplen = header.len = length;
    pcap_dump(reinterpret_cast<u_char*>(out.get()), &header, reinterpret_cast<const u_char*>(bytes.data()));
    std::puts(to_json(packet.expected(), n, name).c_str());
  }
  return pcap_dump_flush(out.get()) == 0 ? 0 : failed(file, "cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && argv[1][0] != '-') return dump(argv[1]);
  if (argc == 3 && std::string_view(argv[1]) == "--cases") return write_cases(argv[2]);
  std::fputs("usage: parse-dump FILE | parse-dump --cases OUT.pcap\n", stderr);
  return 2;
}
