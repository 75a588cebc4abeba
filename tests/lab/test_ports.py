"""Ports as they really behave: silent, unplugged, flapping, changed a thousand times; each checked with numbered frames from outside."""
import collections
import os
import signal
import subprocess
import threading
import unittest

from harness import TIER, Lab, Recording, finish, losses, number_of, numbered, start_generator, wait_until

ENDLESS = 200_000  # more packets than any test of changes takes: it ends the traffic itself
CHANGES = 1000 if TIER == "long" else 50
FLAPS = 100  # cheap enough for every tier
PPS = 5000


def all_to(*tools, source="in4"):
    return {"name": "all", "sources": {"ports": [source]}, "default_action": "PASS", "destinations": [{"port": t} for t in tools]}


class Ports(unittest.TestCase):
    network, tool, queues, workers = 4, 4, 1, 1

    def setUp(self):
        self.lab = Lab(network=self.network, tool=self.tool, queues=self.queues, workers=self.workers)
        self.addCleanup(self.lab.down)

    def far_end(self, room, device, what="rx_packets"):
        return int(self.lab.in_ns(room, "cat", f"/sys/class/net/{device}/statistics/{what}", capture_output=True, text=True).stdout)

    def state(self, port):
        answer = self.lab.api("GET", "/api/v1/status")
        if answer.status == 503:
            return None  # the data plane is not up yet
        return next((p["state"] for p in answer.json().get("ports", []) if p["name"] == port), None)

    def wait_for_state(self, port, state):
        wait_until(f"{port} {state}", lambda: self.state(port) == state)

    def sent_by_name(self, ledger, tool):
        copies = self.lab.port(ledger, tool)["copies"]
        return copies["created"]["packets"], copies["delivered"], sum(d["packets"] for d in copies["dropped"]), copies["tx_dropped"]

    def check_tools_against_far_ends(self, ledger):
        for i in range(1, self.tool + 1):
            self.assertEqual(self.lab.port(ledger, f"tool{i}")["copies"]["delivered"], self.far_end("tools", f"tool{i}"), f"tool{i}")


class Silence(Ports):
    def test_no_network_port_ever_sends_a_frame_and_tool_ports_only_the_ledgers(self):
        lab = self.lab
        recordings = [Recording(lab, "wire", f"in{i}") for i in range(1, self.network + 1)]
        lab.configure([all_to("tool1", "tool2")])
        finish(start_generator(lab, "in4", numbered(2000), PPS))
        # What makes a host speak: addresses, a link that comes up, a neighbour that is looked for.
        for port in ("in1", "in4", "tool1"):
            before = lab.get(f"/api/v1/ports/{port}")
            lab.put(f"/api/v1/ports/{port}", {**before, "enabled": False})
            lab.put(f"/api/v1/ports/{port}", {**before, "enabled": True})
            self.wait_for_state(port, "UP")
        for port in ("in2", "tool3"):
            room, device = ("wire" if port.startswith("in") else "tools"), port
            lab.in_ns(room, "ip", "link", "set", device, "down")
            self.wait_for_state(port, "NO_LINK")
            lab.in_ns(room, "ip", "link", "set", device, "up")
            self.wait_for_state(port, "UP")
        lab.in_ns("panel", "ip", "addr", "add", "192.0.2.1/24", "dev", "in3")
        lab.in_ns("panel", "ip", "-6", "addr", "add", "2001:db8::1/64", "dev", "in3")
        subprocess.run(["ip", "netns", "exec", lab.ns("panel"), "ping", "-c", "1", "-W", "1", "192.0.2.2"], capture_output=True, check=False)
        finish(start_generator(lab, "in4", numbered(2000), PPS))
        ledger = lab.settled()
        self.check_tools_against_far_ends(ledger)
        # The daemon dies under load, comes back, and is told to end.
        generator = start_generator(lab, "in4", numbered(6000), PPS)
        dequeued = lab.port(ledger, "in4")["received"]["dequeued"]["packets"]
        wait_until("traffic", lambda: lab.port(lab.ledger(), "in4")["received"]["dequeued"]["packets"] > dequeued)
        lab.run("kill", "sluiced")
        finish(generator)
        lab.run("start")
        self.wait_for_state("in4", "UP")
        pid = int(open(os.path.join(lab.state, "lab/sluiced.pid")).read())
        os.kill(pid, signal.SIGTERM)
        wait_until("the daemon's end", lambda: not os.path.exists(f"/proc/{pid}"))
        for i, recording in enumerate(recordings, 1):
            self.assertEqual(recording.stop(sends_too=True), [], f"in{i} sent frames")
        for i in range(1, self.network + 1):
            # The device at the far end has counted since the cable was made.
            self.assertEqual(self.far_end("wire", f"in{i}"), 0, f"in{i} sent frames")


class HotUnplug(Ports):
    def unplug(self, port, way):
        """Takes a port's device away, by another namespace or for ever; returns what brings it back."""
        lab, room = self.lab, "wire" if port.startswith("in") else "tools"
        if way == "moved":
            lab.in_ns("panel", "ip", "link", "set", port, "netns", lab.ns("a"))
            return lambda: lab.in_ns("a", "ip", "link", "set", port, "netns", lab.ns("panel"))
        mac = lab.in_ns("panel", "cat", f"/sys/class/net/{port}/address", capture_output=True, text=True).stdout.strip()
        lab.in_ns("panel", "ip", "link", "del", port)

        def back():
            queues = str(self.queues)
            subprocess.run(["ip", "link", "add", port, "netns", lab.ns("panel"), "numrxqueues", queues, "numtxqueues", queues, "address", mac,
                            "type", "veth", "peer", "name", port, "netns", lab.ns(room), "numrxqueues", queues, "numtxqueues", queues], check=True)
            for ns in ("panel", room):
                lab.in_ns(ns, "ethtool", "-K", port, "tx", "off", "tso", "off", "gso", "off", "gro", "off", "txvlan", "off", "rxvlan", "off", capture_output=True)
            lab.in_ns(room, "sysctl", "-qw", f"net.ipv6.conf.{port}.disable_ipv6=1")
            lab.in_ns(room, "ip", "link", "set", port, "arp", "off", "promisc", "on", "up")
        return back

    def test_any_port_leaves_and_comes_back_and_the_others_lose_nothing(self):
        lab = self.lab
        # tool2 is fed from in4 throughout; in1 was opened first of all, and tool1 is fed as well.
        lab.configure([all_to("tool1", "tool2"), {**all_to("tool3", source="in1"), "name": "first"}])
        recording = Recording(lab, "tools", "tool2")
        stop, sent = threading.Event(), []

        def traffic():
            while not stop.is_set():
                sent.append(finish(start_generator(lab, "in4", numbered(5000), PPS))["sent"])

        thread = threading.Thread(target=traffic)
        thread.start()
        try:
            for way in ("moved", "deleted"):
                for port in ("in1", "tool1", "in2"):
                    with self.subTest(port=port, way=way):
                        back = self.unplug(port, way)
                        self.wait_for_state(port, "MISSING")
                        back()
                        self.wait_for_state(port, "UP")
                        if port.startswith("in"):
                            before = lab.port(lab.ledger(), port)["received"]["dequeued"]["packets"]
                            finish(start_generator(lab, port, numbered(100), PPS))
                            wait_until(f"packets from {port}", lambda: lab.port(lab.ledger(), port)["received"]["dequeued"]["packets"] >= before + 100)
                        else:
                            before = self.far_end("tools", port)
                            wait_until(f"packets at {port}", lambda: self.far_end("tools", port) > before)
        finally:
            stop.set()
            thread.join()
        ledger = lab.settled()
        got = collections.Counter(number_of(data) for _, data in recording.stop())
        lost = losses(lab.port(ledger, "in4"))
        self.assertEqual(sum(got.values()) + lost, sum(sent), "tool2 lost packets while others left and came back")
        self.assertEqual(lost, 0)
        created, delivered, dropped, tx_dropped = self.sent_by_name(ledger, "tool1")
        self.assertEqual(created, delivered + dropped + tx_dropped)
        self.assertGreater(dropped, 0, "tool1 was away: its copies have a name")
        self.assertEqual(lab.port(ledger, "in4")["received"]["dequeued"]["packets"], sum(sent))

    def silent(self, device):
        """Whether our programs are on the device: the way out is shut, and what comes in is ours."""
        out = self.lab.in_ns("panel", "tc", "filter", "show", "dev", device, "egress", capture_output=True, text=True).stdout
        link = self.lab.in_ns("panel", "ip", "-d", "link", "show", "dev", device, capture_output=True, text=True).stdout
        return "sluice_silence" in out and "prog/xdp" in link

    def receives(self, port, device):
        before = self.lab.port(self.lab.ledger(), port)["received"]["dequeued"]["packets"]
        finish(start_generator(self.lab, device, numbered(100), PPS))
        wait_until(f"packets from {port}", lambda: self.lab.port(self.lab.ledger(), port)["received"]["dequeued"]["packets"] >= before + 100)

    def test_a_device_that_is_plugged_in_anew_while_its_port_is_disabled_gets_its_programs_again(self):
        port = self.lab.get("/api/v1/ports/in2")
        self.assertTrue(self.silent("in2"))
        self.lab.put("/api/v1/ports/in2", {**port, "enabled": False})
        self.unplug("in2", "deleted")()
        self.lab.put("/api/v1/ports/in2", {**port, "enabled": True})
        self.wait_for_state("in2", "UP")
        self.assertTrue(self.silent("in2"))
        self.receives("in2", "in2")

    def test_a_port_that_takes_over_the_device_of_another_has_programs_that_survive_a_crash(self):
        lab = self.lab
        config = lab.get("/api/v1/config")
        lab.put("/api/v1/config", {"ports": [{**p, "enabled": p["name"] != "in3"} for p in config["ports"]]})
        lab.put("/api/v1/config", {"ports": [{"name": "other", "role": "NETWORK", "device": p["device"]} if p["name"] == "in3" else p for p in config["ports"]]})
        self.wait_for_state("other", "UP")
        self.assertTrue(self.silent("in3"))
        self.receives("other", "in3")
        lab.run("kill", "sluiced")
        self.assertTrue(self.silent("in3"), "the programs died with the daemon")
        lab.run("start")
        self.wait_for_state("other", "UP")
        self.receives("other", "in3")

    def test_a_link_that_flaps_a_hundred_times_costs_the_others_nothing_and_is_told_from_delivery(self):
        lab = self.lab
        lab.configure([all_to("tool1", "tool2")])
        recording = Recording(lab, "tools", "tool2")
        generator = start_generator(lab, "in4", numbered(ENDLESS), PPS)
        dequeued = lambda: lab.port(lab.ledger(), "in4")["received"]["dequeued"]["packets"]
        wait_until("traffic", lambda: dequeued() > 0)
        for _ in range(FLAPS):
            for way in ("down", "up"):
                lab.in_ns("tools", "ip", "link", "set", "tool1", way)
                lab.in_ns("wire", "ip", "link", "set", "in1", way)
        # And for longer, with traffic for certain.
        lab.in_ns("tools", "ip", "link", "set", "tool1", "down")
        self.wait_for_state("tool1", "NO_LINK")
        seen = dequeued()
        wait_until("traffic while the carrier is down", lambda: dequeued() > seen + 500)
        lab.in_ns("tools", "ip", "link", "set", "tool1", "up")
        self.wait_for_state("tool1", "UP")
        generated = finish(generator, early=True)
        ledger = lab.settled()
        self.assertEqual(lab.port(ledger, "in4")["received"]["dequeued"]["packets"], generated["sent"])
        self.assertEqual(len(recording.stop()), generated["sent"])
        created, delivered, dropped, tx_dropped = self.sent_by_name(ledger, "tool1")
        self.assertGreater(tx_dropped, 0, "nothing was sent while the carrier was down")
        self.assertEqual(created, delivered + dropped + tx_dropped)
        self.check_tools_against_far_ends(ledger)


# Rules of every kind that leave the numbered frames (UDP from 10.1.0.0/16 to 10.2.0.1, port 9000) to their map: they pass them all, or drop others.
HARMLESS = [
    ("DROP", {"ip": {"src": ["2001:db8::/32"]}}), ("DROP", {"bytes": [{"anchor": "L3", "value": "YA=="}]}), ("DROP", {"vlan": {"id": ["1-4094"]}}),
    ("PASS", {"ip": {"dst": ["10.2.0.1"]}, "l4": {"dst_port": ["9000"]}}), ("DROP", {"not": ["ip.protocol"], "ip": {"protocol": ["udp"]}}),
    ("DROP", {"l4": {"tcp_flags": ["syn"]}}), ("DROP", {"mpls": {"label": ["0-1048575"]}}), ("DROP", {"layer": "INNER", "ip": {"version": 4}}),
    ("DROP", {"ip": {"src_set": "many"}}), ("PASS", {"not": ["ip.src_set"], "ip": {"src_set": "many"}}), ("DROP", {"ethernet": {"ethertype": ["0x0806"]}}),
    ("DROP", {"ip": {"fragment": ["FIRST", "LATER"]}}), ("PASS", {"ip": {"ttl": ["64"], "length": ["50"]}}), ("DROP", {"present": [{"header": "IPV4", "present": False}]}),
    ("PASS", {"bidirectional": True, "ip": {"endpoint": {"port": ["9000"]}}}), ("DROP", {"tunnel": {"vni": ["0-16777215"]}}), ("DROP", {"icmp": {"type": ["0-255"]}}),
    ("DROP", {"regex": "no packet says this"}), ("PASS", {"regex": "^\\x00"}),
]


class ThousandChanges(Ports):
    def test_every_packet_is_on_both_tools_of_exactly_one_pair_whatever_the_revision_is(self):
        tools = [f"tool{i}" for i in range(1, 5)]
        pairs = self.under_changes(lambda change: all_to(*(tools[2:] if change % 2 == 0 else tools[:2])))
        self.assertTrue(pairs["tool1"] and pairs["tool3"], pairs)

    def test_rules_of_every_kind_come_and_go_and_no_packet_is_lost_or_misrouted(self):
        entries = [f"172.{16 + i // 4096}.{i // 16 % 256}.{i % 16 * 16}/32" for i in range(10000)]
        self.assertEqual(self.lab.api("POST", "/api/v1/address_sets", {"name": "many", "entries": entries}).status, 201)

        def rules(change):
            chosen = [HARMLESS[(change + i) % len(HARMLESS)] for i in range(1 + change % 4)]
            return {**all_to("tool1", "tool2"), "rules": [{"match": match, "action": action} for action, match in chosen]}

        self.assertEqual(set(self.under_changes(rules)), {"tool1"})

    def under_changes(self, changed):
        """Numbered packets while the map becomes changed(0), changed(1) ...; how many went to the pair that begins with each tool."""
        lab = self.lab
        lab.put("/api/v1/maps/all", all_to("tool1", "tool2"))
        tools = [f"tool{i}" for i in range(1, 5)]
        recordings = {t: Recording(lab, "tools", t) for t in tools}
        stop, sent = threading.Event(), []
        packets = numbered(600_000 if TIER == "long" else 100_000)  # each number once: a generator that ends before the changes do would show

        def traffic():
            generator = start_generator(lab, "in4", packets, PPS)
            stop.wait(600)
            generator.send_signal(signal.SIGTERM)
            sent.append(finish(generator)["sent"])

        thread = threading.Thread(target=traffic)
        thread.start()
        try:
            wait_until("traffic", lambda: lab.port(lab.ledger(), "in4")["received"]["dequeued"]["packets"] > 0)
            for change in range(CHANGES):
                lab.put("/api/v1/maps/all", changed(change))
        finally:
            stop.set()
            thread.join()
        ledger = lab.settled()
        in4 = lab.port(ledger, "in4")
        self.assertEqual(in4["received"]["dequeued"]["packets"] + losses(in4), sent[0])
        self.assertEqual(losses(in4), 0)
        on, known = collections.defaultdict(list), set(packets)
        for tool, recording in recordings.items():
            for _, data in recording.stop():
                if data in known:  # the far end's own host speaks too, now and then
                    on[number_of(data)].append(tool)
        wrong = {n: t for n, t in on.items() if t not in (tools[:2], tools[2:])}
        self.assertEqual(wrong, {}, "packets that are not on just one pair")
        self.assertEqual(sorted(on), list(range(sent[0])), "packets are missing")
        pairs = collections.Counter(t[0] for t in on.values())
        print(f"{CHANGES} changes under {sent[0]} packets: {dict(pairs)}", flush=True)
        return pairs


class ThousandChangesOfTwoWorkers(ThousandChanges):
    """The same where every port has one queue: the worker that receives a packet is not the one whose revision decides about it."""
    workers = 2


class HotUnplugOfTwoWorkers(HotUnplug):
    """The same where every port has one queue: what leaves has copies and frames of both workers."""
    workers = 2


if __name__ == "__main__":
    unittest.main()
