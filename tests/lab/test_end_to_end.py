"""Real traffic from real programs, mirrored into the broker, judged by tshark at the far ends of the tool ports."""
import collections
import json
import subprocess
import time
import unittest

from harness import TIER, TOP, Lab, Recording, flow_directions, selected, tshark, wait_until, write_capture

# All of the traffic's programs on one processor: two that send packets of one flow at once pass the recording and the mirror in two
# orders, and neither is wrong.
ONE_CPU = ("taskset", "-c", "0")
ROUNDS = 20 if TIER == "long" else 2

WEB = {"name": "web", "sources": {"ports": ["in1"]}, "destinations": [{"port": "tool1"}],
       "rules": [{"match": {"ip": {"protocol": ["tcp"]}, "l4": {"port": ["80", "443"]}}, "action": "PASS"}]}
DNS = {"name": "dns", "sources": {"ports": ["in1"]}, "destinations": [{"port": "tool2"}],
       "rules": [{"match": {"l4": {"port": ["53"]}}, "action": "PASS"}]}
BALANCED = {"name": "balanced", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"tool_group": "pair"}]}
EVERYTHING = {"name": "everything", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "tool5"}, {"port": "tool7"}]}
TAPPED = {"name": "tapped", "sources": {"tap_pairs": ["link"]}, "default_action": "PASS", "destinations": [{"port": "tool6"}]}

# Layers pinned to the outermost, and what an ICMP error quotes is not the packet's own.
WEB_FILTER = "(tcp.port#1 == 80 or tcp.port#1 == 443) and not icmp and not icmpv6"
DNS_FILTER = "(udp.port#1 == 53 or tcp.port#1 == 53) and not icmp and not icmpv6"


class EndToEnd(unittest.TestCase):
    longMessage = False

    @classmethod
    def setUpClass(cls):
        cls.lab = lab = Lab(network=3, tool=7)
        cls.addClassCleanup(lab.down)
        lab.configure([WEB, DNS, BALANCED, EVERYTHING, TAPPED],
                      tool_groups=[{"name": "pair", "members": [{"port": "tool3"}, {"port": "tool4"}]}],
                      tap_pairs=[{"name": "link", "a": "in2", "b": "in3"}])
        # Whatever maps say, this tool never sees DNS.
        lab.put("/api/v1/filters/no-dns", {"negate": True, "matches": [{"l4": {"port": ["53"]}}]})
        answer = lab.api("PATCH", "/api/v1/ports/tool7", {"egress": {"filter": "no-dns"}}, headers={"Content-Type": "application/merge-patch+json"})
        assert answer.status == 200, answer.body
        servers = subprocess.Popen(["ip", "netns", "exec", lab.ns("b"), *ONE_CPU, TOP / "image/lab.d/servers", lab.state + "/servers"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        cls.addClassCleanup(lambda: subprocess.run(["kill", "--", f"-{servers.pid}"], check=False))

        def answers(*command):
            return lambda: subprocess.run(["ip", "netns", "exec", lab.ns("a"), *command], capture_output=True, check=False).returncode == 0

        for host in ("10.20.0.2", "[fd20::2]"):
            wait_until("the web server", answers("curl", "-sgm", "1", "-o", "/dev/null", f"http://{host}/page.html"))
            wait_until("the TLS server", answers("curl", "-sgkm", "1", "-o", "/dev/null", f"https://{host}/page.html"))
        wait_until("the DNS server", answers("dig", "+tries=1", "+time=1", "@10.20.0.2", "b.lab"))
        wait_until("the iperf3 server", answers("iperf3", "-c", "10.20.0.2", "-n", "1K"))
        lab.settled()
        # Hosts speak by themselves, too (neighbour discovery, MLD). The tools' recordings begin first and end last, and only what falls
        # between these two moments is compared.
        tools = {f"tool{i}": Recording(lab, "tools", f"tool{i}") for i in range(1, 8)}
        link = Recording(lab, "a", "eth0", "inout")
        begin = time.time_ns()
        for room in ("a", "b"):
            lab.in_ns(room, "ip", "neigh", "flush", "dev", "eth0")  # address resolution belongs to the traffic
        lab.in_ns("a", *ONE_CPU, TOP / "image/lab.d/clients", str(ROUNDS))
        cls.after = lab.settled()
        end = time.time_ns()
        cls.files = {}
        cls.got = {}
        for name, recording in {"link": link, **tools}.items():
            packets = [(ns, data) for ns, data in recording.stop() if begin <= ns <= end]
            cls.files[name] = f"{lab.state}/{name}.pcap"
            write_capture(cls.files[name], packets)
            cls.got[name] = [data for _, data in packets]
        cls.link, cls.link_file = cls.got.pop("link"), cls.files["link"]
        cls.far_ends = {name: int(lab.in_ns("tools", "cat", f"/sys/class/net/{name}/statistics/rx_packets", capture_output=True, text=True).stdout)
                        for name in tools}
        cls.final = lab.settled()
        cls.config = lab.get("/api/v1/config")

    def assert_same_packets(self, got, expected):
        missing = collections.Counter(expected) - collections.Counter(got)
        surplus = collections.Counter(got) - collections.Counter(expected)
        self.assertFalse(missing or surplus, f"{sum(missing.values())} packets missing, {sum(surplus.values())} too many of {len(expected)}; "
                         f"first missing: {next(iter(missing), b'')[:80].hex()}, first surplus: {next(iter(surplus), b'')[:80].hex()}")

    def assert_same_order(self, got_file, expected_file):
        """Within each flow direction the packets come as they were on the link."""
        expected = flow_directions(expected_file)
        for key, frames in flow_directions(got_file).items():
            self.assertTrue(frames == expected[key], f"the order of flow {key} changed")

    def test_the_traffic_is_what_it_should_be(self):
        """Otherwise the rest would prove little."""
        self.assertGreater(len(self.link), 200 * ROUNDS)
        for name in ("tool1", "tool2", "tool3", "tool4", "tool5", "tool6", "tool7"):
            self.assertGreater(len(self.got[name]), 0, name)
        for wanted in ("tcp.port == 443 and ipv6", "udp.port == 53 and ip", "icmp.type == 8", "icmpv6.type == 128", "arp", "udp.port == 5201 and ipv6"):
            self.assertTrue(tshark(self.link_file, wanted), f"no packet with {wanted}")

    def test_a_map_that_passes_everything_delivers_the_link_byte_for_byte_in_order(self):
        self.assert_same_packets(self.got["tool5"], self.link)
        self.assert_same_order(self.files["tool5"], self.link_file)

    def test_every_frame_is_within_the_mtu_and_has_good_checksums(self):
        options = [f"{p}.check_checksum:TRUE" for p in ("ip", "tcp", "udp")]
        for name in ("tool3", "tool4", "tool5"):
            self.assertEqual(tshark(self.files[name], "frame.len > 1514"), [])
            self.assertEqual(tshark(self.files[name], "ip.checksum.status == Bad or tcp.checksum.status == Bad or udp.checksum.status == Bad "
                                    "or icmp.checksum.status == Bad or icmpv6.checksum.status == Bad", options=options), [])

    def test_no_frame_is_malformed_that_was_not_so_on_the_link(self):
        """iperf3's payload is random: now and then tshark takes it for a protocol and finds it malformed."""
        on_link = set(selected(self.link_file, "_ws.malformed"))
        for name in ("tool3", "tool4", "tool5"):
            self.assertEqual([frame.hex() for frame in selected(self.files[name], "_ws.malformed") if frame not in on_link], [])

    def test_each_tool_gets_what_a_tshark_filter_selects(self):
        self.assert_same_packets(self.got["tool1"], selected(self.link_file, WEB_FILTER))
        self.assert_same_packets(self.got["tool2"], selected(self.link_file, DNS_FILTER))
        self.assert_same_packets(self.got["tool3"] + self.got["tool4"], self.link)

    def test_a_tool_gets_nothing_that_its_ports_filter_does_not_pass(self):
        self.assert_same_packets(self.got["tool7"], selected(self.link_file, f"not ({DNS_FILTER})"))
        dropped = {d["reason"]: d["packets"] for d in self.lab.port(self.after, "tool7")["copies"]["dropped"]}
        self.assertEqual(set(dropped), {"egress_filter"})
        self.assertGreaterEqual(dropped["egress_filter"], len(selected(self.link_file, DNS_FILTER)))  # the first names were asked for before
        referred = self.lab.api("DELETE", "/api/v1/filters/no-dns")
        self.assertEqual(referred.status, 409)
        self.assertIn("ports/tool7 (egress.filter)", referred.body)

    def test_both_directions_of_a_flow_sit_on_one_member(self):
        def flows(file):
            return {frozenset([(src, sport), (dst, dport)]) for _, src, dst, sport, dport in
                    tshark(file, "tcp and not icmp and not icmpv6", ("ip.src", "ip.dst", "tcp.srcport", "tcp.dstport")) +
                    tshark(file, "tcp and ipv6 and not icmpv6", ("ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport"))}
        three, four = flows(self.files["tool3"]), flows(self.files["tool4"])
        self.assertFalse({f for f in three & four if ("", "") not in f and len(f) == 2 and all(a for a, _ in f)})
        self.assertTrue(three and four, "one member got no TCP flow at all")

    def test_a_tap_pair_gives_both_directions_of_the_link(self):
        self.assert_same_packets(self.got["tool6"], self.link)
        self.assert_same_order(self.files["tool6"], self.link_file)

    def test_the_ledger_agrees_with_the_far_ends(self):
        """Over the lab's whole life: what Sluice says it delivered is what the device at the cable's other end counted."""
        for name, count in self.far_ends.items():
            self.assertEqual(self.lab.port(self.final, name)["copies"]["delivered"], count, name)

    def test_replay_gives_every_tool_the_same_packets_in_the_same_order(self):
        out = self.lab.state + "/replayed"
        config = self.lab.state + "/config.json"
        with open(config, "w") as file:
            json.dump(self.config, file)
        subprocess.run([TOP / "build/release/bin/sluice-replay", "--config", config, "--in", f"in1={self.link_file}", "--out", out,
                        "--ledger", out + ".json"], check=True, timeout=60)
        for name in ("tool1", "tool2", "tool3", "tool4", "tool5", "tool7"):
            replayed = f"{out}/{name}.pcap"
            self.assert_same_packets([data for data in selected(replayed, "frame")], self.got[name])
            self.assert_same_order(replayed, self.files[name])
        with open(out + ".json") as file:
            self.assertEqual(json.load(file)["unaccounted"], 0)


if __name__ == "__main__":
    unittest.main()
