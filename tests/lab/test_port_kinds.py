"""What kinds of port and packet there are: long packets, short packets, other memory, busy polling; and what a port's status tells."""
import collections
import json
import os
import subprocess
import tempfile
import unittest

from harness import TOP, Lab, Recording, finish, number_of, numbered, read_capture, start_generator, wait_until


class PortKinds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(network=4, tool=3)
        cls.addClassCleanup(cls.lab.down)

    def setUp(self):
        self.ports = self.lab.get("/api/v1/config")["ports"]
        self.addCleanup(self.lab.put, "/api/v1/config", {"ports": self.ports})
        # What a test before this one changed may have taken links down for a moment.
        wait_until("all ports", lambda: all(p["state"] == "UP" for p in self.lab.get("/api/v1/status")["ports"]))

    def port_status(self, name):
        return next(p for p in self.lab.get("/api/v1/status")["ports"] if p["name"] == name)

    def change_port(self, name, **changes):
        port = self.lab.get(f"/api/v1/ports/{name}")
        answer = self.lab.api("PUT", f"/api/v1/ports/{name}", {**port, **changes})
        if answer.status == 200:
            wait_until(f"{name} up", lambda: self.port_status(name)["state"] == "UP")
        return answer

    def test_status_tells_each_ports_mode_driver_queues_and_losses(self):
        for name in ("in1", "in4", "tool1"):
            port = self.port_status(name)
            self.assertEqual((port["driver"], port["state"], port["xdp"], port["rss"]), ("veth", "UP", "NATIVE", "NONE"))
            self.assertEqual([(q["queue"], q["worker"], q["mode"], q["busy_poll"]) for q in port["queues"]], [(0, 0, "COPY", False)])
            self.assertEqual(set(port["losses"]), {"xdp_misses", "kernel", "tx_dropped"}, "a veth hides what it loses on the wire")

    def test_long_packets_come_in_as_chains_and_their_slices_go_to_a_tool_of_another_memory(self):
        lab = self.lab
        self.assertEqual(self.change_port("in4", mtu=9000).status, 200)
        lab.in_ns("wire", "ip", "link", "set", "in4", "mtu", "9000")  # a veth's other end allows it once the XDP program takes chains
        self.addCleanup(lab.in_ns, "wire", "ip", "link", "set", "in4", "mtu", "1500")
        self.assertTrue(self.port_status("in4")["multi_buffer"])
        slice_to = lambda port, length: {"port": port, "operations": {"slice": {"length": length}}}
        lab.configure([{"name": "all", "sources": {"ports": ["in4"]}, "default_action": "PASS",
                        "destinations": [slice_to("tool1", 1400), slice_to("tool2", 100), {"port": "tool3"}]}])
        sizes = [60, 64, 1500, 1514, 1522, 1523, 1700, 2000, 3000, 4096, 5000, 8000, 9014]
        packets = [numbered(i + 1, size=sizes[i % len(sizes)])[-1] for i in range(260)]
        recordings = {t: Recording(lab, "tools", t) for t in ("tool1", "tool2", "tool3")}
        before = lab.port(lab.settled(), "tool3")["copies"]
        generated = finish(start_generator(lab, "in4", packets, 1000))
        self.assertEqual(generated, {"sent": len(packets), "refused": 0})
        ledger = lab.settled()
        got = {t: [data for _, data in r.stop()] for t, r in recordings.items()}
        self.assertEqual(got["tool1"], [p[:1400] for p in packets])
        self.assertEqual(got["tool2"], [p[:100] for p in packets])
        # A veth takes one VLAN tag above its MTU, and drops a longer frame after it was completed: sent, and not delivered.
        self.assertEqual(got["tool3"], [p for p in packets if len(p) <= 1518])
        copies = lab.port(ledger, "tool3")["copies"]
        self.assertEqual(copies["created"]["packets"] - before["created"]["packets"], len(packets))
        self.assertEqual({d["reason"]: d["packets"] for d in copies["dropped"]}["exceeds_mtu"], sum(len(p) > 1522 for p in packets))
        self.assertEqual(copies["tx_dropped"] - before["tx_dropped"], sum(1518 < len(p) <= 1522 for p in packets))
        self.assertEqual(copies["delivered"] - before["delivered"], len(got["tool3"]))
        # in4's memory is of its own class: each packet was copied once for all of the tools.
        self.assertGreaterEqual(lab.get("/api/v1/status")["data_plane"]["workers"][0]["copied"], len(packets))

    def test_an_mtu_that_needs_several_buffers_is_refused_where_the_driver_or_kernel_has_none(self):
        lab = self.lab
        lab.in_ns("panel", "ip", "tuntap", "add", "tap0", "mode", "tap")
        lab.in_ns("panel", "ip", "link", "set", "tap0", "address", "02:00:00:03:00:01")
        self.addCleanup(lab.in_ns, "panel", "ip", "link", "del", "tap0")
        before = lab.get("/api/v1/config")
        port = {"name": "tap", "role": "NETWORK", "device": "02:00:00:03:00:01"}
        refused = lab.api("PUT", "/api/v1/config", {**before, "ports": before["ports"] + [{**port, "mtu": 9000}]})
        self.assertEqual(refused.status, 422, refused.body)
        self.assertIn(f"ports[{len(before['ports'])}].mtu", refused.body)
        self.assertIn("several buffers", refused.body)
        self.assertEqual(lab.get("/api/v1/config"), before)
        # A tool port sends them only where that was proven: not by veth on every kernel.
        kernel = tuple(int(n) for n in os.uname().release.split(".")[:2])
        if kernel != (7, 3):
            refused = self.change_port("tool1", mtu=9000)
            self.assertEqual(refused.status, 422, refused.body)
            self.assertIn("proven", refused.body)
        self.assertEqual(lab.get("/api/v1/config"), before)

    def test_a_port_that_is_busy_polled_delivers_the_same(self):
        for name in ("in4", "tool1"):
            self.assertEqual(self.change_port(name, busy_poll=True).status, 200)
        self.lab.configure([{"name": "all", "sources": {"ports": ["in4"]}, "default_action": "PASS", "destinations": [{"port": "tool1"}]}])
        self.assertTrue(all(q["busy_poll"] for name in ("in4", "tool1") for q in self.port_status(name)["queues"]))
        recording = Recording(self.lab, "tools", "tool1")
        generated = finish(start_generator(self.lab, "in4", numbered(5000), 5000))
        self.lab.settled()
        self.assertEqual([number_of(data) for _, data in recording.stop()], list(range(generated["sent"])))

    def test_every_packet_of_every_kind_cut_to_every_length_passes_the_live_ports(self):
        lab = self.lab
        lab.configure([{"name": "all", "sources": {"ports": ["in4"]}, "default_action": "PASS",
                        "rules": [{"match": {"ip": {"protocol": ["tcp"]}, "l4": {"port": ["1-65535"]}}, "action": "PASS"}],
                        "destinations": [{"port": "tool1"}]}])
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([TOP / "build/release/bin/parse-dump", "--cases", f"{folder}/cases.pcap"], check=True, stdout=subprocess.DEVNULL)
            whole = [data for _, data in read_capture(f"{folder}/cases.pcap")]
        packets = list({p[:length]: None for p in whole for length in range(14, len(p) + 1)})  # each once
        self.assertGreater(len(packets), 10_000)
        before = int(lab.in_ns("tools", "cat", "/sys/class/net/tool1/statistics/rx_packets", capture_output=True, text=True).stdout)
        recording = Recording(lab, "tools", "tool1")
        generated = finish(start_generator(lab, "in4", packets, 6000))
        self.assertEqual(generated, {"sent": len(packets), "refused": 0})
        ledger = lab.settled()
        got = [data for _, data in recording.stop()]
        # Linux takes VLAN tags off before tcpdump sees a packet, and drops one whose tag or what is behind it is cut: the device counts them.
        shown = [p for p in packets if len(p) >= 20 or p[12:14] not in (b"\x81\x00", b"\x88\xa8")]
        missing = list((collections.Counter(shown) - collections.Counter(got)))
        self.assertEqual(missing, [], f"{len(missing)} of {len(packets)} are missing: {json.dumps([m.hex() for m in missing[:3]])}")
        self.assertEqual(len(got), len(shown))
        far_end = int(lab.in_ns("tools", "cat", "/sys/class/net/tool1/statistics/rx_packets", capture_output=True, text=True).stdout) - before
        self.assertEqual(far_end, len(packets))
        self.assertEqual(ledger["unaccounted"], 0)


if __name__ == "__main__":
    unittest.main()
