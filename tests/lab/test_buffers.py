"""Bursts that a tool port holds, and what it sheds when it can't: tcpdump at the tool is the judge."""
import unittest

from harness import TIER, Lab, Recording, finish, losses, number_of, numbered, start_generator, wait_until

SCALE = 10 if TIER == "long" else 1
SIZE = 1000
RATE = 8_000_000  # bits per second that the tool takes: a thousand frames of SIZE


def to_tool1(name, ports, priority="NORMAL", **more):
    return {"name": name, "sources": {"ports": ["in4"]}, "rules": [{"match": {"l4": {"src_port": [ports]}}, "action": "PASS"}],
            "destinations": [{"port": "tool1", "priority": priority, **more}, {"port": "tool2"}]}


class Buffers(unittest.TestCase):
    workers = 1

    def setUp(self):
        self.lab = Lab(network=5, tool=2, queues=1, workers=self.workers)
        self.addCleanup(self.lab.down)

    def tool1(self, **egress):
        port = self.lab.get("/api/v1/ports/tool1")
        self.lab.put("/api/v1/ports/tool1", {**port, "egress": {**port.get("egress", {}), "rate_limit": RATE, **egress}})

    def copies(self, ledger, port="tool1"):
        return self.lab.port(ledger, port)["copies"]

    def bursts(self, port):
        return next(p for p in self.lab.get("/api/v1/status")["ports"] if p["name"] == port)["bursts"]

    def in_order(self, got, expected):
        """All of them, once each, every flow in its order: where several workers send, no more is promised."""
        self.assertEqual(sorted(got), list(expected))
        for flow in range(50):
            of_flow = [n for n in got if n % 50 == flow]
            self.assertEqual(of_flow, sorted(of_flow))
        if self.workers == 1:
            self.assertEqual(got, list(expected))

    def test_a_burst_at_ten_times_a_tools_rate_is_delivered_whole_and_in_order_at_that_rate(self):
        frames = 2000 * SCALE
        self.tool1(buffer=2048 * (frames + 1000))
        self.lab.configure([to_tool1("all", "0-65535")])
        recordings = {tool: Recording(self.lab, "tools", tool) for tool in ("tool1", "tool2")}
        self.assertEqual(finish(start_generator(self.lab, "in4", numbered(frames, SIZE), 10_000)), {"sent": frames, "refused": 0})
        held = self.copies(self.lab.ledger())["in_flight"]["packets"]
        self.assertGreater(held, frames // 2, "the burst was not held")
        # It is seen by the millisecond: ten frames in one at least, and for how long the last of them waited.
        bursts = wait_until("the burst in the status", lambda: (b := self.bursts("tool1")["ten_minutes"])["deepest_frames"] >= held and b)
        self.assertGreaterEqual(bursts["bits_per_second"], 10 * (SIZE + 24) * 8 * 1000 // 2)
        self.assertLessEqual(bursts["deepest_frames"], frames)
        wait_until("the end of the burst", lambda: self.copies(self.lab.ledger())["sent"]["packets"] == frames, 60 * SCALE)
        ledger = self.lab.settled()
        self.assertEqual(losses(self.lab.port(ledger, "in4")), 0)
        longest = (frames - 11) * SIZE * 8 * 10**6 // RATE - frames * 100  # microseconds; it came within a tenth of that
        wait_until("how long the last one waited", lambda: self.bursts("tool1")["ten_minutes"]["longest_microseconds"] > longest * 9 // 10)
        for tool, recording in recordings.items():
            got = recording.stop()
            self.in_order([number_of(d) for _, d in got], range(frames))
            self.assertEqual(self.copies(ledger, tool)["dropped"], [])
            if tool == "tool1":  # what a tool may have at once is 10,000 bytes
                self.assertGreater(got[-1][0] - got[0][0], (frames - 11) * SIZE * 8 * 10**9 // RATE * 95 // 100)

    def test_a_tool_that_is_sent_too_much_gets_all_of_what_is_high_and_each_loss_is_low_and_named(self):
        frames = 8000 * SCALE
        self.tool1(buffer=256 * 2048)
        self.lab.configure([to_tool1("low", "1028-65535", "LOW"), to_tool1("high", "1024-1027", "HIGH")])
        recording = Recording(self.lab, "tools", "tool1")
        generator = start_generator(self.lab, "in4", numbered(frames, SIZE), 4000)
        # The account balances at every moment, also while copies give way.
        def balanced():
            ledger = self.lab.ledger()
            self.assertEqual(ledger["unaccounted"], 0)
            return {d["reason"] for d in self.copies(ledger)["dropped"]} >= {"pushed_out", "buffer_quota"}
        wait_until("losses of both kinds", balanced)
        self.assertEqual(finish(generator), {"sent": frames, "refused": 0})
        ledger = self.lab.settled()
        self.assertEqual(losses(self.lab.port(ledger, "in4")), 0)
        got = [number_of(d) for _, d in recording.stop()]
        high = [n for n in got if n % 50 < 4]
        self.in_order(high, [n for n in range(frames) if n % 50 < 4])
        low = [n for n in got if n % 50 >= 4]
        self.in_order(low, sorted(set(low)))
        maps = {m["name"]: m["destinations"][0]["copies"] for m in ledger["maps"]}
        self.assertEqual(maps["high"]["dropped"], [])
        self.assertEqual(sum(d["packets"] for d in maps["low"]["dropped"]), frames - len(got))
        self.assertEqual(self.copies(ledger)["delivered"], len(got))
        self.assertEqual(self.copies(ledger, "tool2")["delivered"], frames)

    def test_a_destination_that_is_limited_gets_no_more_and_the_rest_is_dropped_by_name(self):
        frames = 4000
        self.lab.configure([to_tool1("all", "0-65535", operations={"rate_limit": RATE})])
        recording = Recording(self.lab, "tools", "tool1")
        self.assertEqual(finish(start_generator(self.lab, "in4", numbered(frames, SIZE), 4000)), {"sent": frames, "refused": 0})
        ledger = self.lab.settled()
        got = recording.stop()
        self.assertEqual([(d["reason"], d["packets"]) for d in self.copies(ledger)["dropped"]], [("rate_limit", frames - len(got))])
        took = got[-1][0] - got[0][0]
        self.assertLessEqual((len(got) - 1) * SIZE * 8 * 10**9, RATE * (took + 30 * 10**6))  # a burst of 10 ms; the rest is tcpdump's own delay
        self.assertEqual(self.copies(ledger, "tool2")["delivered"], frames)

    def test_a_change_by_which_a_tool_can_be_sent_more_than_it_takes_is_told_before_the_commit(self):
        self.lab.configure([])
        both = {**to_tool1("all", "0-65535"), "sources": {"ports": ["in4", "in5"]}, "destinations": [{"port": "tool1"}]}
        for takes in ("10 Gb/s", "8 Mb/s"):
            report = self.lab.api("PUT", "/api/v1/maps/all?dry_run=true", both)
            self.assertLess(report.status, 300, report.body)
            self.assertIn(f"ports/tool1 may be sent 20 Gb/s by in4 and in5, and takes {takes}: what its buffer does not hold is dropped then",
                          report.json()["warnings"])
            self.tool1()


class BuffersOfTwoWorkers(Buffers):
    """One worker has the packets, the other one the tool's queue, of some flows."""
    workers = 2
