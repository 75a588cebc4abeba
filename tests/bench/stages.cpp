#include "tests/bench/stages.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>

#include "base/endian.h"
#include "compile/dedup.h"
#include "engine/pipeline.h"
#include "tests/builders/compiled.h"
#include "tests/bench/rule_sets.h"
#include "tests/builders/packet_builder.h"

namespace sluice::bench {
namespace {

using test::Packet;

constexpr uint32_t kFrames = 4096;

std::string octets(std::mt19937& random, const std::string& first) {
  return first + "." + std::to_string(random() % 256) + "." + std::to_string(random() % 256) + "." + std::to_string(random() % 254 + 1);
}
Packet& v4(Packet& p, std::mt19937& random) { return p.ipv4(octets(random, "10"), octets(random, "192")); }
Packet& v6(Packet& p, std::mt19937& random) {
  return p.ipv6("2001:db8::" + std::to_string(random() % 9999), "2001:db8:1::" + std::to_string(random() % 9999));
}
Packet& tcp(Packet& p, std::mt19937& random) { return p.tcp(static_cast<uint16_t>(random()), static_cast<uint16_t>(random())); }

/// Encapsulations of the field, each around a TCP packet.
struct Encapsulation {
  const char* name;
  void (*build)(Packet&, std::mt19937&);
  bool tunnel = false;
};
const Encapsulation kEncapsulations[] = {
    {"ipv4-tcp", [](Packet& p, std::mt19937& r) { tcp(v4(p.ethernet(), r), r); }},
    {"ipv6-tcp", [](Packet& p, std::mt19937& r) { tcp(v6(p.ethernet(), r), r); }},
    {"qinq", [](Packet& p, std::mt19937& r) { tcp(v4(p.ethernet().vlan(100, 0x88A8).vlan(200), r), r); }},
    {"mpls", [](Packet& p, std::mt19937& r) { tcp(v4(p.ethernet().mpls(16000).mpls(17000), r), r); }},
    {"pppoe", [](Packet& p, std::mt19937& r) { tcp(v4(p.ethernet().pppoe(7), r), r); }},
    {"gre", [](Packet& p, std::mt19937& r) { tcp(v4(v4(p.ethernet(), r).gre(), r), r); }, true},
    {"erspan2", [](Packet& p, std::mt19937& r) { tcp(v4(v4(p.ethernet(), r).erspan2(7).ethernet(), r), r); }, true},
    {"vxlan", [](Packet& p, std::mt19937& r) { tcp(v4(v4(p.ethernet(), r).udp(50000, 4789).vxlan(7).ethernet(), r), r); }, true},
    {"geneve", [](Packet& p, std::mt19937& r) { tcp(v4(v4(p.ethernet(), r).udp(50000, 6081).geneve(7, {4}).ethernet(), r), r); }, true},
    {"gtpu", [](Packet& p, std::mt19937& r) { tcp(v4(v4(p.ethernet(), r).udp(2152, 2152).gtpu(7), r), r); }, true},
    {"ip-in-ip", [](Packet& p, std::mt19937& r) { tcp(v4(v4(p.ethernet(), r), r), r); }, true},
    {"teredo", [](Packet& p, std::mt19937& r) { tcp(v6(v4(p.ethernet(), r).udp(50000, 3544).teredo(), r), r); }, true},
};

/// 16 bursts of packets of one encapsulation, padded to a length, or as short as they are.
Once parse_stage(const Encapsulation& e, std::size_t length, unsigned seed) {
  struct Data {
    std::vector<std::vector<std::byte>> packets;
    std::vector<Burst> bursts = std::vector<Burst>(16);
  };
  auto data = std::make_shared<Data>();
  std::mt19937 random(seed);
  for (Burst& burst : data->bursts)
    for (unsigned i = 0; i < kBurst; ++i) {
      Packet p;
      e.build(p, random);
      data->packets.push_back(p.pad_to(length).bytes());
      burst.add({data->packets.back().data(), static_cast<uint32_t>(data->packets.back().size()), 0}, 0);
    }
  // A figure of packets that are not what they are called would be none.
  const Parsed sample = parse(data->packets.front());
  if ((e.tunnel ? sample.inner.l4 : sample.outer.l4) != L4::kTcp) std::abort();
  return [data] {
    for (Burst& burst : data->bursts) parse_burst(burst);
    return data->bursts.size() * kBurst;
  };
}

Once classify_stage(unsigned rules, bool hit, unsigned seed) {
  struct Data {
    compile::Compiled compiled;
    std::vector<std::vector<std::byte>> packets;
    Burst burst;
    VerdictBuffer verdicts{1};
  };
  std::mt19937 random(seed);
  std::string list;
  for (unsigned r = 0; r < rules; ++r)
    list += std::string(r ? "," : "") + R"({"match": {"ip": {"src": ["10.)" + std::to_string(r % 256) + "." + std::to_string(r / 256) +
            R"(.0/24"], "protocol": ["tcp"]}, "l4": {"dst_port": [")" + std::to_string(r) + R"("]}}, "action": "PASS"})";
  auto data = std::make_shared<Data>();
  data->compiled = test::compile_json(
      R"({"ports": [{"name": "in1", "role": "NETWORK"}], "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "rules": [)" + list +
      "]}]}");
  for (unsigned i = 0; i < kBurst; ++i) {
    const auto r = static_cast<unsigned>(random() % rules);
    const std::string source = hit ? "10." + std::to_string(r % 256) + "." + std::to_string(r / 256) + ".9" : "172.16.0.1";
    data->packets.push_back(Packet().ethernet().ipv4(source, "192.0.2.1").tcp(1025, static_cast<uint16_t>(r)).pad_to(64).bytes());
    data->burst.add({data->packets.back().data(), 64, 0}, 0);
  }
  parse_burst(data->burst);
  return [data] {
    data->compiled.snapshot->classifier.classify(data->burst, data->compiled.plan.ports[0].slot, data->verdicts);
    return uint64_t{kBurst};
  };
}

void fill_frames(const FrameMemory& memory, std::mt19937& random, uint32_t length) {
  for (uint32_t f = 0; f < memory.chunks(); ++f) {
    Packet p;
    tcp(v4(p.ethernet(), random), random);
    const auto bytes = p.pad_to(length).bytes();
    std::copy(bytes.begin(), bytes.end(), memory.chunk(f));
  }
}

/// Two workers, run in turn by this thread: a one-queue network port whose packets belong to both, a one-queue tool that worker 0 has (none
/// of them a neighbour's core: what the rings and counts cost by themselves).
Once handover_stage(bool two_workers, unsigned seed) {
  struct Data {
    compile::Compiled compiled;
    FrameLayout layout;
    std::unique_ptr<FrameMemory> memory;
    std::vector<std::unique_ptr<Floor>> floors;
    std::vector<std::unique_ptr<Pipeline<Unwatched>>> pipelines;
    std::vector<std::unique_ptr<EndlessPort>> queues;
    std::array<Lane, 2> lanes;
    std::array<Doorbell, 2> bells{Doorbell(-1), Doorbell(-1)};
  };
  auto data = std::make_shared<Data>();
  const uint32_t workers = two_workers ? 2 : 1;
  data->compiled = test::compile_json(R"({"ports": [{"name": "in1", "role": "NETWORK"}, {"name": "t1", "role": "TOOL"}],
    "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "t1"}]}]})");
  data->layout = {.workers = workers, .frames_per_worker = kFrames};
  data->memory = std::make_unique<FrameMemory>(data->layout.total(), 11);
  std::mt19937 random(seed);
  fill_frames(*data->memory, random, 64);
  for (uint32_t w = 0; w < workers; ++w) {
    Floor& floor = *data->floors.emplace_back(std::make_unique<Floor>(data->layout, w));
    floor.pool.add(MemoryClass::kCopy);
    for (uint32_t other = 0; two_workers && other < 2; ++other)
      floor.peers.push_back(other == w ? nullptr : std::make_unique<Peer>(other, data->lanes[w], data->lanes[other], data->bells[other]));
    data->pipelines.push_back(std::make_unique<Pipeline<Unwatched>>(floor));
  }
  const PortSlot in = data->compiled.plan.ports[0].slot, tool = data->compiled.plan.ports[1].slot;
  for (int i = 0; i < 2; ++i) data->queues.push_back(std::make_unique<EndlessPort>(*data->memory, 64));
  data->floors[0]->inlets.push_back({.port = in, .queue = data->queues[0].get(), .spread = two_workers});
  for (auto& floor : data->floors) {
    Outlet& outlet = floor->outlets[tool];
    outlet.open = true;
    if (floor != data->floors[0]) continue;
    outlet.queue = data->queues[1].get();
    outlet.copies = std::make_unique<ToolQueue>();
    floor->open_outlets.push_back(tool);
  }
  return [data] {
    for (int i = 0; i < 32; ++i)
      for (auto& pipeline : data->pipelines) pipeline->run_once(*data->compiled.snapshot);
    return uint64_t{32} * kBurst;
  };
}

/// Packets of 64 bytes of which so many are live, at the rate of 10GbE; `copies` of each, one right behind the other. In as much memory as the broker
/// gives a port. The figure is of what deduplication adds to a burst that is parsed.
Once dedup_stage(unsigned copies, bool shared, unsigned seed) {
  constexpr std::size_t kLive = 744'000, kPackets = 256;
  constexpr uint64_t kGap = 67, kWindow = 50'000'000;
  struct Data {
    std::vector<std::byte> bytes = std::vector<std::byte>(kPackets * 64);
    std::vector<Burst> bursts = std::vector<Burst>(kPackets / kBurst);
    Fingerprints fingerprints;
    DedupTable table;
    uint64_t now = 1'000'000'000'000, number = 0;
    unsigned copies;
  };
  const auto memory = compile::share_dedup_memory({{"", "", 1, kWindow}}, std::size_t{1} << 30);
  auto table = DedupTable::make(memory->front(), shared);
  if (!table) std::abort();
  auto data = std::make_shared<Data>(Data{.table = std::move(*table), .copies = copies});
  std::mt19937 random(seed);
  for (std::size_t n = 0; n < kPackets; ++n) {
    Packet p;
    const auto bytes = tcp(v4(p.ethernet(), random), random).pad_to(64).bytes();
    std::copy(bytes.begin(), bytes.end(), &data->bytes[n * 64]);
    data->bursts[n / kBurst].add({&data->bytes[n * 64], 64, 0}, 0);
  }
  for (Burst& burst : data->bursts) parse_burst(burst);
  const auto once = [data, comparison = Comparison()] {
    std::array<uint64_t, kBurst> prints;
    uint64_t passed = 0;
    for (Burst& burst : data->bursts) {
      for (unsigned i = 0; i < kBurst; ++i, ++data->number) {
        const uint64_t which = data->number / data->copies;  // in the TCP sequence number: no packet is one of before
        std::memcpy(const_cast<std::byte*>(burst.frames[i].data) + 38, &which, 4);
      }
      for (unsigned next = 0; next < kBurst + DedupTable::kAhead; ++next) {
        if (next < kBurst) data->table.prefetch(prints[next] = data->fingerprints.of(burst, next, comparison));
        if (next < DedupTable::kAhead) continue;
        passed += data->table.look_up(prints[next - DedupTable::kAhead], data->now += kGap, kWindow) != DedupTable::Answer::kDuplicate;
      }
    }
    if (data->copies == 1 && passed != kPackets) std::abort();
    return uint64_t{kPackets};
  };
  for (std::size_t n = 0; n < kLive; n += kPackets) once();
  return once;
}

std::string to_tools(unsigned tools, const std::string& more = "") {
  std::string out;
  for (unsigned t = 1; t <= tools; ++t) out += std::string(t == 1 ? "" : ",") + R"({"port": "t)" + std::to_string(t) + "\"" + more + "}";
  return out;
}

}  // namespace

void EndlessPort::rx_burst(Burst& burst, FramePool& pool) {
  burst.clear();
  while (burst.size < kBurst && pool.free(MemoryClass::kCopy) > 0) {
    const uint32_t index = pool.lend(MemoryClass::kCopy, 0);
    pool.received(index);
    burst.add({memory_.chunk(index), length_, index}, 0);
  }
}

unsigned EndlessPort::tx_burst(std::span<const Frame> frames) {
  const auto n = std::min(frames.size(), done_.size() - posted_);
  for (std::size_t i = 0; i < n; ++i) done_[posted_ + i] = frames[i].index;
  posted_ += n;
  return static_cast<unsigned>(n);
}

unsigned EndlessPort::reap(std::span<uint32_t> done) {
  const auto n = std::min(done.size(), posted_ - reaped_);
  std::copy_n(done_.begin() + static_cast<std::ptrdiff_t>(reaped_), n, done.begin());
  reaped_ += n;
  if (reaped_ == posted_) reaped_ = posted_ = 0;
  return static_cast<unsigned>(n);
}

/// One network port and so many tools, with the destinations of the map that passes everything: a pipeline at work.
static Once pipeline_stage(unsigned seed, uint32_t length, unsigned tools, const std::string& destinations, const std::string& more = "") {
  struct Data {
    compile::Compiled compiled;
    FrameMemory memory{kFrames, 11};
    Floor floor{{.workers = 1, .frames_per_worker = kFrames}, 0};
    std::vector<std::unique_ptr<EndlessPort>> queues;
    Pipeline<Unwatched> pipeline{floor};
  };
  auto data = std::make_shared<Data>();
  std::string ports = R"({"name": "in1", "role": "NETWORK"})";
  for (unsigned t = 1; t <= tools; ++t) ports += R"(,{"name": "t)" + std::to_string(t) + R"(", "role": "TOOL"})";
  data->compiled = test::compile_json(
      R"({"ports": [)" + ports + "]" + more +
      R"(, "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [)" + destinations + "]}]}");
  std::mt19937 random(seed);
  fill_frames(data->memory, random, length);
  data->floor.pool.add(MemoryClass::kCopy);
  for (const auto& port : data->compiled.plan.ports) {
    auto* queue = data->queues.emplace_back(std::make_unique<EndlessPort>(data->memory, length)).get();
    if (port.receives()) data->floor.inlets.push_back({.port = port.slot, .queue = queue});
    if (!port.sends()) continue;
    data->floor.outlets[port.slot] = {.open = true, .queue = queue, .copies = std::make_unique<ToolQueue>()};
    data->floor.open_outlets.push_back(port.slot);
  }
  return [data] {
    for (int i = 0; i < 32; ++i) data->pipeline.run_once(*data->compiled.snapshot);
    if (data->floor.book.port(data->compiled.plan.ports[0].slot).unaccounted() != 0) std::abort();
    return uint64_t{32} * kBurst;
  };
}

/// Writes the header of the next packet of a trace into each frame, and its number, so that no packet is one of before: what a NIC does.
class TracePort final : public EndlessPort {
 public:
  TracePort(const FrameMemory& memory, uint32_t length, std::vector<FiveTuple> trace) : EndlessPort(memory, length), trace_(std::move(trace)) {}
  void rx_burst(Burst& burst, FramePool& pool) override {
    EndlessPort::rx_burst(burst, pool);
    for (unsigned i = 0; i < burst.size; ++i) __builtin_prefetch(burst.frames[i].data, 1);  // a NIC makes no worker wait
    for (unsigned i = 0; i < burst.size; ++i) write(const_cast<std::byte*>(burst.frames[i].data));
  }
  void write(std::byte* frame) {
    const FiveTuple& header = trace_[number_ % trace_.size()];
    frame[23] = std::byte{header.protocol};
    std::memcpy(frame + 26, header.src.data(), 4);
    std::memcpy(frame + 30, header.dst.data(), 4);
    write_be16(frame + 34, header.src_port);
    write_be16(frame + 36, header.dst_port);
    const uint64_t number = number_++;
    std::memcpy(frame + 54, &number, sizeof number);  // in the payload
  }

 private:
  std::vector<FiveTuple> trace_;
  uint64_t number_ = 0;
};

struct Whole {
  compile::Compiled compiled;
  FrameMemory memory{kFrames, 11};
  Floor floor{{.workers = 1, .frames_per_worker = kFrames}, 0};
  std::vector<std::unique_ptr<EndlessPort>> queues;
  Pipeline<Unwatched> pipeline{floor};
  FlowCensus census{1};
};

/// The rules of a kind as the API has them.
static std::string json_of(const std::vector<TupleRule>& rules) {
  std::string out;
  const auto dotted = [](const std::array<uint8_t, 16>& a, unsigned length) {
    return "\"" + std::to_string(a[0]) + "." + std::to_string(a[1]) + "." + std::to_string(a[2]) + "." + std::to_string(a[3]) + "/" + std::to_string(length) + "\"";
  };
  for (const TupleRule& rule : rules) {
    std::string ip, l4;
    const auto add = [](std::string& to, const std::string& field, const std::string& value) { to += (to.empty() ? "\"" : ",\"") + field + "\": [" + value + "]"; };
    if (rule.src_length) add(ip, "src", dotted(rule.src, rule.src_length));
    if (rule.dst_length) add(ip, "dst", dotted(rule.dst, rule.dst_length));
    if (!rule.any_protocol) add(ip, "protocol", "\"" + std::to_string(rule.protocol) + "\"");
    const auto ports = [&](const char* field, const std::array<uint16_t, 2>& range) {
      if (range[0] != 0 || range[1] != 65535) add(l4, field, "\"" + std::to_string(range[0]) + "-" + std::to_string(range[1]) + "\"");
    };
    ports("src_port", rule.src_ports), ports("dst_port", rule.dst_ports);
    out += std::string(out.empty() ? "" : ",") + R"({"action": "PASS", "match": {"ip": {)" + ip + "}" + (l4.empty() ? "" : R"(, "l4": {)" + l4 + "}") + "}}";
  }
  return out;
}

/// All that one packet may go through: 16,384 rules, deduplication with as many packets live as come in 50 ms, one of four tools, slicing at 128
/// bytes. without: the trace is written, and nothing else done.
static Once whole_stage(uint32_t length, bool without, unsigned seed) {
  const auto rules = make_rules("acl", 16'384, seed);
  auto trace = make_headers(rules, 1'000'000, true, seed + 1);
  auto data = std::make_shared<Whole>();
  std::string ports = R"({"name": "in1", "role": "NETWORK"})";
  for (unsigned t = 1; t <= 4; ++t) ports += R"(,{"name": "t)" + std::to_string(t) + R"(", "role": "TOOL"})";
  data->compiled = test::compile_json(R"({"ports": [)" + ports + R"(], "dedup_domains": [{"name": "d", "ports": ["in1"]}], "tool_groups": [{"name": "g", "members": [)" +
                                      to_tools(4) + R"(]}], "maps": [{"name": "m", "sources": {"ports": ["in1"]}, "destinations": [{"tool_group": "g",
    "operations": {"slice": {"length": 128}}}], "rules": [)" + json_of(rules) + "]}]}");
  const auto memory = compile::share_dedup_memory(data->compiled.plan.domains, std::size_t{1} << 30);
  if (!memory || !compile::give_dedup_memory(*data->compiled.snapshot, data->compiled.plan.domains, *memory, false)) std::abort();
  std::mt19937 random(seed);
  fill_frames(data->memory, random, length);
  data->floor.pool.add(MemoryClass::kCopy);
  data->floor.flow_census = &data->census;  // as sluiced gives it one
  TracePort* inlet = nullptr;
  for (const auto& port : data->compiled.plan.ports) {
    if (port.receives()) {
      auto made = std::make_unique<TracePort>(data->memory, length, std::move(trace));
      data->floor.inlets.push_back({.port = port.slot, .queue = inlet = made.get()});
      data->queues.push_back(std::move(made));
      continue;
    }
    auto* queue = data->queues.emplace_back(std::make_unique<EndlessPort>(data->memory, length)).get();
    data->floor.outlets[port.slot] = {.open = true, .queue = queue, .copies = std::make_unique<ToolQueue>()};
    data->floor.open_outlets.push_back(port.slot);
  }
  if (without)
    return [data, inlet, frame = uint32_t{0}]() mutable {
      for (unsigned i = 0; i < 32 * kBurst; ++i) inlet->write(data->memory.chunk(frame = (frame + 1) % kFrames));
      return uint64_t{32} * kBurst;
    };
  return [data] {
    for (int i = 0; i < 32; ++i) data->pipeline.run_once(*data->compiled.snapshot);
    // A figure of packets that are dropped on the way would be none.
    const auto& account = data->floor.book.port(data->compiled.plan.ports[0].slot);
    if (account.unaccounted() != 0 || account.fanned_out.packets != account.dequeued.packets) std::abort();
    return uint64_t{32} * kBurst;
  };
}

std::vector<Stage> stages(unsigned seed) {
  std::vector<Stage> out;
  for (const auto& e : kEncapsulations)
    for (const std::size_t length : {64U, 256U, 512U, 1518U})
      out.push_back({"parse/" + std::string(e.name) + "/" + std::to_string(length) + "B",
                     [&e, length, seed] { return parse_stage(e, length, seed); }});
  for (const unsigned rules : {10U, 1000U})
    for (const bool hit : {true, false})
      out.push_back({"classify/" + std::to_string(rules) + (hit ? "/hit" : "/miss"), [=] { return classify_stage(rules, hit, seed); }});
  for (const unsigned tools : {1U, 2U, 4U, 8U})
    for (const uint32_t length : {64U, 1518U})
      out.push_back({"fanout/" + std::to_string(tools) + "/" + std::to_string(length) + "B",
                     [=] { return pipeline_stage(seed, length, tools, to_tools(tools)); }});
  out.push_back({"slice/1/1518B", [=] {
                   return pipeline_stage(seed, 1518, 1, to_tools(1, R"(, "operations": {"slice": {"length": 64, "after": "PAYLOAD"}})"));
                 }});
  out.push_back({"balance/4/64B", [=] {
                   return pipeline_stage(seed, 64, 4, R"({"tool_group": "g"})",
                                         R"(, "tool_groups": [{"name": "g", "members": [)" + to_tools(4) + "]}]");
                 }});
  for (const bool shared : {false, true})
    for (const unsigned copies : {1U, 2U})
      out.push_back({std::string("dedup/744k/") + (copies == 1 ? "uniform" : "twice") + (shared ? "/shared" : ""),
                     [=] { return dedup_stage(copies, shared, seed); }});
  for (const uint32_t length : {64U, 512U})
    for (const bool without : {true, false})
      out.push_back({std::string("pipeline/") + (without ? "trace" : "full16384") + "/" + std::to_string(length) + "B",
                     [=] { return whole_stage(length, without, seed); }});
  for (const bool two : {false, true})
    out.push_back({two ? "handover/two-workers/64B" : "handover/one-worker/64B", [=] { return handover_stage(two, seed); }});
  return out;
}

}  // namespace sluice::bench
