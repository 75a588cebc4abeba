"""Deduplication: what two SPAN ports and two workers see twice, a tool gets once; editcap and a reference in a few lines are the judges."""
import collections
import json
import os
import random
import subprocess
import tempfile
import threading
import unittest

from harness import TIER, TOP, Lab, Recording, finish, losses, number_of, numbered, numbered_frame, read_capture, start_generator, wait_until, write_capture

FRAMES = 100_000 if TIER == "long" else 5_000
MS = 10**6
DOMAIN = {"name": "spans", "ports": ["in4", "in5"], "window": 1_000_000}
MAP = {"name": "all", "sources": {"ports": ["in4", "in5"]}, "default_action": "PASS",
       "destinations": [{"port": "tool1"}, {"port": "tool2", "duplicates": "KEEP"}]}


def tagged(frame, vlan, ttl):
    """The same packet as a switch behind a router mirrors it: with other addresses and a tag, one hop further, its checksum right."""
    out = bytearray(bytes.fromhex("020000000a01020000000a02") + bytes([0x81, 0, vlan >> 8, vlan & 255]) + frame[12:])
    out[26] = ttl
    out[28:30] = b"\0\0"
    total = sum(int.from_bytes(out[18 + i:20 + i], "big") for i in range(0, 20, 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    out[28:30] = (~total & 0xFFFF).to_bytes(2, "big")
    return bytes(out)


class Dedup(unittest.TestCase):
    workers = 1

    def setUp(self):
        self.lab = Lab(network=5, tool=2, queues=self.workers, workers=self.workers)
        self.addCleanup(self.lab.down)
        config = self.lab.get("/api/v1/config")
        self.lab.put("/api/v1/config", {"ports": config["ports"], "maps": [MAP], "dedup_domains": [DOMAIN]})

    def test_a_packet_of_two_spans_goes_to_a_tool_once_and_to_a_recorder_twice_under_load_and_across_changes(self):
        recordings = {tool: Recording(self.lab, "tools", tool) for tool in ("tool1", "tool2")}
        first = numbered(FRAMES)
        generators = [start_generator(self.lab, "in4", first, 4000), start_generator(self.lab, "in5", [tagged(f, 7, 63) for f in first], 4000)]
        # Changes of maps meanwhile, which neither forget what was seen nor let a duplicate by.
        for change in range(5):
            before = self.lab.port(self.lab.ledger(), "in4")["received"]["dequeued"]["packets"]
            wait_until("traffic", lambda: self.lab.port(self.lab.ledger(), "in4")["received"]["dequeued"]["packets"] > before + 100)
            self.lab.put("/api/v1/maps/all", {**MAP, "comment": f"change {change}"})
        sent = [finish(g) for g in generators]
        ledger = self.lab.settled()
        received = {p: self.lab.port(ledger, p)["received"] for p in ("in4", "in5")}
        for port, generated in zip(("in4", "in5"), sent):
            self.assertEqual(generated, {"sent": FRAMES, "refused": 0})
            self.assertEqual(losses(self.lab.port(ledger, port)), 0)
            self.assertEqual(received[port]["compared"]["packets"], FRAMES)
            self.assertEqual(received[port]["dedup_evicted_live"], 0)
        self.assertEqual(sum(r["duplicates"]["packets"] for r in received.values()), FRAMES)
        got = {}
        for tool, recording in recordings.items():
            numbers = [number_of(d) if d[12:14] == b"\x08\x00" else number_of(d[:12] + d[16:]) for _, d in recording.stop()]
            got[tool] = collections.Counter(numbers)
        self.assertEqual(set(got["tool1"]), set(range(FRAMES)))
        self.assertEqual(set(got["tool1"].values()), {1}, "a duplicate reached a tool that drops them")
        self.assertEqual(set(got["tool2"].values()), {2}, "the recorder keeps duplicates")
        tool1 = self.lab.port(ledger, "tool1")["copies"]
        self.assertEqual([(d["reason"], d["packets"]) for d in tool1["dropped"]], [("duplicate", FRAMES)])

    def test_a_dry_run_tells_what_memory_a_domain_takes_and_what_it_is_good_for(self):
        answer = self.lab.api("PUT", "/api/v1/dedup_domains/spans?dry_run=true", {**DOMAIN, "window": 50_000})
        self.assertEqual(answer.status, 200, answer.body)
        cost = answer.json()["cost"]
        self.assertEqual([d["domain"] for d in cost["dedup"]], ["spans"])
        self.assertLessEqual(cost["dedup"][0]["bytes"], cost["most_dedup_bytes"])
        self.assertGreater(cost["dedup"][0]["packets_per_second"], 1_000_000)

    def advise(self, milliseconds=1500):
        answer = self.lab.api("POST", "/api/v1/dedup/advise", {"milliseconds": milliseconds})
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def test_a_survey_finds_what_two_spans_repeat_and_the_domain_that_it_proposes_drops_just_that(self):
        self.assertEqual(self.lab.api("DELETE", "/api/v1/dedup_domains/spans").status, 204)
        count = 6000

        def surveyed(frames):
            """The advice while in4 gets each frame twice, in5 once as another switch mirrors it."""
            before = {p: self.lab.port(self.lab.ledger(), p)["received"]["dequeued"]["packets"] for p in ("in4", "in5")}
            twice = [frame for one in frames for frame in (one, tagged(one, 7, 64))]
            generators = []
            for port, packets, pace in (("in4", twice, 4000), ("in5", [tagged(f, 9, 63) for f in frames], 2000)):  # in4 first
                generators.append(start_generator(self.lab, port, packets, pace))
                wait_until("traffic", lambda: self.lab.port(self.lab.ledger(), port)["received"]["dequeued"]["packets"] > before[port] + 100)
            advice = self.advise()
            self.assertEqual([finish(generator)["sent"] for generator in generators], [2 * count, count])
            return advice

        advice = surveyed(numbered(count))
        pairs = {(p["first"], p["second"]): p for p in advice["pairs"]}
        self.assertIn({"VLAN", "MAC"}, [set(d["fields"]) for d in pairs["in4", "in4"]["differences"]])
        self.assertIn("TTL", [field for ports, pair in pairs.items() if set(ports) == {"in4", "in5"} for d in pair["differences"] for field in d["fields"]])
        proposal, = [p for p in advice["proposals"] if p["ports"] == ["in4", "in5"]]
        self.assertEqual((proposal["ignore"], proposal["start"], proposal["in_force"], proposal["replaces"]), (["VLAN", "MAC", "TTL"], "L3", "", []))
        self.assertEqual(proposal["maps_with_a_part"], [])
        # Of three packets two are duplicates; less where the first came before the survey.
        self.assertTrue(40 <= proposal["saved_percent"] <= 68, proposal)
        self.assertEqual(self.lab.get("/api/v1/status")["dedup_advice"]["proposals"], advice["proposals"])
        # Nothing was dropped; now it is, with what was proposed. How far apart two generators begin is chance: the widest window.
        tool = self.lab.port(self.lab.settled(), "tool1")["copies"]
        self.assertEqual(tool["dropped"], [])
        self.assertGreaterEqual(tool["sent"]["packets"], 3 * count)
        domain = {"name": "proposed", **{field: proposal[field] for field in ("ports", "ignore", "start")}, "window": 1_000_000}
        self.assertEqual(self.lab.api("POST", "/api/v1/dedup_domains", domain).status, 201)
        advice = surveyed(numbered(2 * count)[count:])  # others than before
        self.assertEqual([p["in_force"] for p in advice["proposals"] if p["ports"] == ["in4", "in5"]], ["proposed"])
        ledger = self.lab.settled()
        self.assertEqual(sum(self.lab.port(ledger, p)["received"]["duplicates"]["packets"] for p in ("in4", "in5")), 2 * count)
        self.assertEqual(ledger["unaccounted"], 0)

    def test_a_survey_goes_on_over_changes_ends_where_ports_go_and_is_the_only_one(self):
        port = self.lab.get("/api/v1/ports/in3")
        changes = {"another revision": [("PATCH", "/api/v1/maps/all", {"comment": "one"}), ("PATCH", "/api/v1/maps/all", {"comment": "two"})],
                   "ports": [("DELETE", "/api/v1/ports/in3", None), ("PUT", "/api/v1/ports/in3", {"device": port["device"], "role": port["role"]})],
                   "another survey": [("POST", "/api/v1/dedup/advise", {"milliseconds": 10})]}
        answers = {}
        for what, requests in changes.items():
            thread = threading.Thread(target=lambda: answers.update({what: self.lab.api("POST", "/api/v1/dedup/advise", {"milliseconds": 1000})}))
            thread.start()
            met = set()
            while thread.is_alive():
                met |= {self.lab.api(*request).status for request in requests}
            thread.join()
            if what == "another survey":  # one of them was first
                self.assertEqual({answers[what].status, *met}, {200, 409})
                continue
            self.assertEqual(answers[what].status, 409 if what == "ports" else 200, answers[what].body)
            self.assertTrue(met <= {200, 201, 204}, met)
        self.assertIn("ports came, went or changed", answers["ports"].body)

    def test_explain_says_that_a_packet_would_be_compared_and_leaves_no_trace(self):
        frame = numbered_frame(1)
        for _ in range(2):
            steps = self.lab.api("POST", "/api/v1/explain", {"port": "in4", "packet": frame.hex()}).json()["steps"]
            self.assertEqual([s["outcome"] for s in steps if s["stage"] == "dedup"], ["COMPARED"])
        finish(start_generator(self.lab, "in4", [frame], 100))
        received = self.lab.port(self.lab.settled(), "in4")["received"]
        self.assertEqual((received["compared"]["packets"], received["duplicates"]["packets"]), (1, 0))


class DedupOfTwoWorkers(Dedup):
    """Duplicates that come in on another core."""
    workers = 2


class Replayed(unittest.TestCase):
    """On the captures' own time, beside other judges."""

    def replay(self, packets, domain, ports=("in1",)):
        """What t1 gets: (nanoseconds, bytes). packets: by port."""
        with tempfile.TemporaryDirectory() as folder:
            config = {"ports": [*({"name": p, "role": "NETWORK"} for p in ports), {"name": "t1", "role": "TOOL"}],
                      "dedup_domains": [{"name": "d", "ports": list(ports), **domain}],
                      "maps": [{"name": "m", "sources": {"ports": list(ports)}, "default_action": "PASS", "destinations": [{"port": "t1"}]}]}
            with open(f"{folder}/config.json", "w") as file:
                json.dump(config, file)
            command = [TOP / "build/release/bin/sluice-replay", "--config", f"{folder}/config.json", "--out", f"{folder}/out", "--ledger", f"{folder}/ledger.json"]
            for port in ports:
                write_capture(f"{folder}/{port}.pcap", packets[port])
                command += ["--in", f"{port}={folder}/{port}.pcap"]
            subprocess.run(command, check=True, timeout=120)
            with open(f"{folder}/ledger.json") as file:
                ledger = json.load(file)
            self.assertEqual(ledger["unaccounted"], 0)
            for port in ledger["ports"]:
                self.assertEqual(port["received"]["dedup_evicted_live"], 0)
            return read_capture(f"{folder}/out/t1.pcap")

    def test_what_is_left_of_random_repetitions_is_what_editcap_leaves(self):
        seed = int.from_bytes(os.urandom(4), "big")
        rng = random.Random(seed)
        # Each packet up to twice within the window, and once more long after it: a duplicate makes nothing younger here, as it does there.
        packets = []
        for n in range(5000):
            at, frame = rng.randrange(20 * 10**9), numbered_frame(n, flow=n % 50, size=rng.randrange(64, 200))
            packets += [(at + gap, frame) for gap in (0, rng.randrange(49 * MS), rng.randrange(150 * MS, 5000 * MS))[:rng.randrange(1, 4)]]
        packets.sort()
        with tempfile.TemporaryDirectory() as folder:
            write_capture(f"{folder}/in.pcap", packets)
            subprocess.run(["editcap", "-F", "nsecpcap", "-w", "0.05", f"{folder}/in.pcap", f"{folder}/out.pcap"], check=True, capture_output=True, timeout=300)
            expected = read_capture(f"{folder}/out.pcap")
        self.assertLess(len(expected), len(packets))
        self.assertEqual(self.replay({"in1": packets}, {"start": "FRAME", "ignore": ["NONE"]}), expected, f"seed {seed}")

    def test_what_is_left_of_any_repetitions_on_two_ports_is_what_a_list_of_all_packets_leaves(self):
        seed = int.from_bytes(os.urandom(4), "big")
        rng = random.Random(seed)
        window = rng.choice([10_000, 50 * MS, 1000 * MS])
        frames = [numbered_frame(n) for n in range(300)]
        packets, at = {"in1": [], "in2": []}, 10**9
        for _ in range(20_000):
            at += rng.randrange(1, window // 50)
            n = rng.randrange(len(frames))
            variant = rng.randrange(3)
            packets[rng.choice(("in1", "in2"))].append((at, frames[n] if variant == 0 else tagged(frames[n], 10 * variant, 64 - variant)))
        everything = sorted((at, data, port) for port in packets for at, data in packets[port])
        first, expected = {}, []
        for at, data, _ in everything:
            number = number_of(data) if data[12:14] == b"\x08\x00" else number_of(data[:12] + data[16:])
            if number in first and at - first[number] <= window:
                continue
            first[number] = at
            expected.append((at, data))
        self.assertLess(len(expected), len(everything))
        self.assertEqual(self.replay(packets, {"window": window // 1000}, ("in1", "in2")), expected, f"seed {seed}, window {window}")
