"""The account, checked from outside with numbered frames: what was sent in, what came out, and what the ledger says of both."""
import collections
import unittest

from harness import TIER, Lab, Recording, finish, losses, number_of, numbered, start_generator, wait_until

FRAMES = 400_000 if TIER == "long" else 20_000
PPS = 10_000
ENDLESS = 200_000  # more than any change takes: the test ends it

# The mirrored link ends in in1 to in3; in4 hears the generator alone.
ALL = {"name": "all", "sources": {"ports": ["in4"]}, "default_action": "PASS", "destinations": [{"port": "tool1"}, {"port": "tool2"}]}


class Account(unittest.TestCase):
    workers = 1
    queues = 1

    def setUp(self):
        self.lab = Lab(network=4, tool=2, queues=self.queues, workers=self.workers)
        self.addCleanup(self.lab.down)
        self.lab.configure([ALL])

    def start_generator(self, frames, pps=PPS, port="in4"):
        return start_generator(self.lab, port, numbered(frames), pps)

    def test_every_numbered_frame_is_delivered_to_both_tools_in_order_and_counted_once(self):
        recordings = {tool: Recording(self.lab, "tools", tool) for tool in ("tool1", "tool2")}
        generated = finish(self.start_generator(FRAMES))
        self.assertEqual(generated["refused"], 0)
        ledger = self.lab.settled()
        in4 = self.lab.port(ledger, "in4")
        self.assertEqual(generated["sent"], in4["received"]["dequeued"]["packets"] + losses(in4))
        for tool, recording in recordings.items():
            sent = self.lab.port(ledger, tool)["copies"]
            numbers = [number_of(data) for _, data in recording.stop()]
            self.assertEqual(sent["delivered"], len(numbers))
            self.assertEqual(len(set(numbers)), len(numbers), "a frame came twice")
            by_flow = collections.defaultdict(list)
            for n in numbers:
                by_flow[n % 50].append(n)
            for flow in by_flow.values():
                self.assertEqual(flow, sorted(flow))
            # Everything that is missing has a name in the ledger.
            dropped = sum(d["packets"] for d in sent["dropped"])
            self.assertEqual(generated["sent"], len(numbers) + dropped + losses(in4))

    def test_a_change_over_rest_shows_at_the_tools_within_a_second_and_loses_nothing(self):
        recordings = {tool: Recording(self.lab, "tools", tool) for tool in ("tool1", "tool2")}
        generator = self.start_generator(ENDLESS, pps=3000)
        for revision in range(10):
            before = self.lab.port(self.lab.ledger(), "in4")["received"]["dequeued"]["packets"]
            wait_until("traffic", lambda: self.lab.port(self.lab.ledger(), "in4")["received"]["dequeued"]["packets"] > before + 200)
            target = "tool2" if revision % 2 else "tool1"
            self.lab.put("/api/v1/maps/all", {**ALL, "destinations": [{"port": target}]})
            others = {t: self.lab.port(self.lab.ledger(), t)["copies"]["created"]["packets"] for t in ("tool1", "tool2")}
            other = "tool1" if target == "tool2" else "tool2"
            # The next packets go to the new target alone, which is seen well within the second that the guard allows.
            wait_until(f"packets at {target}", lambda: self.lab.port(self.lab.ledger(), target)["copies"]["created"]["packets"] > others[target], 1)
            self.assertEqual(self.lab.port(self.lab.ledger(), other)["copies"]["created"]["packets"], others[other])
        generated = finish(generator, early=True)
        ledger = self.lab.settled()
        got = []
        for tool, recording in recordings.items():
            got += [number_of(data) for _, data in recording.stop()]
        # The first map fed both tools: of each flow, frames before the first change are on both, all others on just one. Of each flow, for each worker
        # takes the new snapshot up at its own next loop.
        counts = collections.Counter(got)
        self.assertEqual(len(counts) + losses(self.lab.port(ledger, "in4")), generated["sent"])
        flows = collections.defaultdict(list)
        for n in sorted(counts):
            flows[n % 50].append(counts[n])
        for flow, times in flows.items():
            first_single = times.index(1)
            self.assertGreater(first_single, 0)
            self.assertEqual(times, [2] * first_single + [1] * (len(times) - first_single), f"a frame of flow {flow} was misrouted at a change")

    def test_ports_that_are_closed_and_opened_under_load_keep_the_account_whole(self):
        ports = {name: self.lab.get(f"/api/v1/ports/{name}") for name in ("in4", "tool1")}
        generator = self.start_generator(ENDLESS, pps=3000)
        for name, enabled in [("in4", False), ("in4", True), ("tool1", False), ("tool1", True)] * 3:
            before = self.lab.port(self.lab.ledger(), "in4")["received"]
            wait_until("traffic", lambda: self.lab.port(self.lab.ledger(), "in4")["received"] != before)
            self.lab.put(f"/api/v1/ports/{name}", {**ports[name], "enabled": enabled})
        generated = finish(generator, early=True)
        ledger = self.lab.settled()
        in4 = self.lab.port(ledger, "in4")
        self.assertGreater(in4["received"]["xdp_misses"], 0)
        self.assertEqual(generated["sent"], in4["received"]["dequeued"]["packets"] + losses(in4))
        for tool in ("tool1", "tool2"):
            far_end = int(self.lab.in_ns("tools", "cat", f"/sys/class/net/{tool}/statistics/rx_packets", capture_output=True, text=True).stdout)
            self.assertEqual(self.lab.port(ledger, tool)["copies"]["delivered"], far_end, tool)

    def test_removed_maps_keep_the_account_of_their_tools_whole(self):
        finish(self.start_generator(1000))
        self.lab.settled()
        self.assertEqual(self.lab.api("DELETE", "/api/v1/maps/all").status, 204)
        ledger = wait_until("the retired account", lambda: (lambda l: l if l["totals"]["retired"]["sent"]["packets"] else None)(self.lab.ledger()))
        self.assertEqual(ledger["unaccounted"], 0)
        self.assertEqual(self.lab.port(ledger, "tool1")["copies"]["sent"]["packets"], self.lab.port(ledger, "tool1")["copies"]["delivered"])
        self.assertGreaterEqual(self.lab.port(ledger, "tool1")["copies"]["sent"]["packets"], 1000)

    def test_each_daemon_is_killed_and_forwarding_resumes_with_the_committed_revision(self):
        revision = self.lab.get("/api/v1/revisions")[0]["number"]
        # The management daemon dies: forwarding goes on, and it comes back with what was committed.
        self.lab.run("kill", "sluice-mgmt")
        count_file = "/sys/class/net/tool1/statistics/rx_packets"

        def far_end():
            return int(self.lab.in_ns("tools", "cat", count_file, capture_output=True, text=True).stdout)

        seen = far_end()
        generator = self.start_generator(400)
        wait_until("forwarding without the management daemon", lambda: far_end() > seen + 100)
        finish(generator)
        self.lab.run("start")
        self.assertEqual(self.lab.get("/api/v1/revisions")[0]["number"], revision)

        # The data plane dies: what arrives meanwhile is counted by the XDP program that stays, and never reaches the host's stack.
        before = self.lab.port(self.lab.settled(), "in4")["received"]["dequeued"]["packets"]
        generator = self.start_generator(ENDLESS, pps=2000)
        wait_until("traffic", lambda: self.lab.port(self.lab.ledger(), "in4")["received"]["dequeued"]["packets"] > before + 100)
        self.lab.run("kill", "sluiced")
        self.assertEqual(self.lab.api("PUT", "/api/v1/maps/all", {**ALL, "comment": "nobody is there to compile this"}).status, 503)
        self.lab.run("start")
        wait_until("the committed revision", lambda: self.lab.api("GET", "/api/v1/status").status == 200 and self.lab.get("/api/v1/status")["revision"] == revision)
        wait_until("forwarding", lambda: self.lab.port(self.lab.ledger(), "tool1")["copies"]["sent"]["packets"] > 100)
        generated = finish(generator, early=True)
        ledger = self.lab.settled()
        in4 = self.lab.port(ledger, "in4")["received"]
        self.assertGreater(in4["xdp_misses_before"], 0, "the gap of the restart has no line of its own")
        # What the first life had taken of these frames died with it; the rest is in the second life's account or in its gap.
        self.assertGreater(generated["sent"], in4["dequeued"]["packets"] + in4["xdp_misses_before"] + in4["xdp_misses"])
        self.assertGreater(in4["dequeued"]["packets"], 100)
        self.assertEqual(self.lab.get("/api/v1/config")["maps"][0]["comment"], "")


class AccountOfTwoWorkers(Account):
    """The same with two workers, each with its queue of every port."""
    workers = 2
    queues = 2

    def test_both_workers_work(self):
        finish(self.start_generator(2000))
        self.lab.settled()
        workers = self.lab.get("/api/v1/status")["data_plane"]["workers"]
        self.assertEqual([w["index"] for w in workers], [0, 1])
        self.assertTrue(all(w["busy_loops"] > 0 for w in workers), workers)


class AccountOfOneQueueForTwoWorkers(Account):
    """The same where every port has one queue: packets, copies and frames pass between the workers."""
    workers = 2
    queues = 1

    def test_both_workers_work_and_hand_over(self):
        finish(self.start_generator(2000))
        self.lab.settled()
        status = self.lab.get("/api/v1/status")
        workers = status["data_plane"]["workers"]
        self.assertTrue(all(w["busy_loops"] > 0 for w in workers), workers)
        # Fifty flows over two workers: about half of the packets leave the one that received them.
        self.assertGreater(workers[0]["handed_over"], 400, workers)
        self.assertLess(workers[0]["handed_over"], 1600, workers)
        self.assertEqual(workers[1]["handed_over"], 0)
        self.assertTrue(all(w["census"]["away"] == 0 and w["census"]["guests"] == 0 for w in workers), workers)
        self.assertTrue(all(len(p["queues"]) == 1 for p in status["ports"]), status["ports"])


if __name__ == "__main__":
    unittest.main()
