"""What rules do: when they were hit last, which of them no packet gets to, what a map would pass, and why a rule does not match."""
import pathlib
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from description import Described  # noqa: E402
from harness import finish, numbered, numbered_frame, start_generator, wait_until  # noqa: E402

FLOWS = 50  # of numbered(): 10.1.0.0 to 10.1.0.49


def rule(action, **match):
    return {"action": action, "match": match}


def fragments(number):
    """A datagram to port 9000 in two parts, the later one first."""
    first = bytearray(numbered_frame(number))
    first[18:22] = number.to_bytes(2, "big") + b"\x20\x00"  # more follow
    later = bytearray(first[:34] + bytes(30))
    later[20:22] = b"\x00\x04"
    return [bytes(later), bytes(first)]


CANDIDATE = {"sources": {"ports": ["in1"]},
             "rules": [rule("DROP", ip={"src": ["10.1.0.7"]}), {**rule("PASS", ip={"src": ["10.1.0.8"]}), "enabled": False},
                       rule("PASS", ip={"src": ["10.1.0.0/27"]})]}


class Insight(Described):
    def setUp(self):
        self.lab.configure([{"name": "m", "sources": {"ports": ["in1"]}, "rules": [rule("PASS", l4={"dst_port": ["9000"]}), rule("PASS", l4={"dst_port": ["9"]})],
                             "destinations": [{"port": "tool1"}]}])

    def measured(self, path, body, packets):
        """What is measured while the packets are sent."""
        answers = []

        def measure():
            while not answers or answers[-1].status == 409:
                answers.append(self.lab.api("POST", path, {"milliseconds": 4000, **body}))

        thread = threading.Thread(target=measure)
        thread.start()
        # One at a time: whoever else asks is told so.
        wait_until("it is measured", lambda: self.lab.api("POST", path, {"milliseconds": 10, **body}).status == 409)
        sent = finish(start_generator(self.lab, "in1", packets, 2000))["sent"]
        self.assertEqual(sent, len(packets))
        thread.join()
        self.assertEqual(answers[-1].status, 200, answers[-1].body)
        return answers[-1].json()

    def test_a_map_that_is_not_in_force_is_measured_on_live_traffic_and_sends_nothing(self):
        revision = self.lab.get("/api/v1/revisions")[0]["number"]
        count = 3000
        measured = self.measured("/api/v1/maps/planned/measure", {"map": {**CANDIDATE, "destinations": [{"port": "tool2"}]}}, numbered(count))
        of_each_flow = count // FLOWS
        self.assertEqual([(r["rule_number"], r["hits"]["count"]["packets"]) for r in measured["rules"]], [(1, of_each_flow), (3, 31 * of_each_flow)])
        self.assertEqual(measured["passed"]["count"], {"packets": 31 * of_each_flow, "bytes": 31 * of_each_flow * 64})
        self.assertGreaterEqual(measured["received"]["count"]["packets"], count)
        seconds = measured["interval_ns"] / 1e9
        self.assertGreaterEqual(seconds, 4)
        self.assertAlmostEqual(measured["passed"]["rate"]["bits"], 31 * of_each_flow * 64 * 8 / seconds, delta=1)
        # Nothing is configured by it, and nothing came to the tool.
        self.assertEqual(self.lab.get("/api/v1/revisions")[0]["number"], revision)
        self.assertEqual(self.lab.api("GET", "/api/v1/maps/planned").status, 404)
        ledger = self.lab.settled()
        self.assertEqual(self.lab.port(ledger, "tool2")["copies"]["sent"]["packets"], 0)
        self.assertEqual(ledger["unaccounted"], 0)

    def test_a_map_in_force_is_measured_without_a_body_and_counts_what_it_passes(self):
        before = self.lab.settled()["maps"][0]["passed"]["packets"]
        measured = self.measured("/api/v1/maps/m/measure", {}, numbered(1000))
        self.assertEqual(measured["rules"][0]["rule"], self.lab.get("/api/v1/maps/m")["rules"][0]["id"])
        self.assertEqual(measured["passed"]["count"]["packets"], self.lab.settled()["maps"][0]["passed"]["packets"] - before)

    def test_what_can_not_be_measured_is_refused_by_its_field(self):
        for body, field in (({"map": {"sources": {"ports": ["nowhere"]}}}, "map.sources.ports[0]"), ({"milliseconds": 5001}, "milliseconds"),
                            ({"map": {**CANDIDATE, "enabled": False}}, "map.enabled"), ({"map": {"kind": "COLLECTOR", "sources": {"ports": ["in1"]}}}, "map.kind"),
                            ({"map": {"sources": {"ports": ["in1"]}, "rules": [rule("PASS", ip={"src": ["x"]})]}}, "map.rules[0].match.ip.src[0]")):
            answer = self.lab.api("POST", "/api/v1/maps/m/measure", body)
            self.assertEqual((answer.status, answer.json()["errors"][0]["field"]), (422, field), answer.body)
        self.assertEqual(self.lab.api("POST", "/api/v1/maps/nothing/measure", {}).status, 404)

    def test_a_rule_tells_when_it_was_hit_last(self):
        self.lab.api("PATCH", "/api/v1/maps/m", {"rules": [rule("PASS", l4={"dst_port": ["9000-9001"]}), rule("PASS", l4={"dst_port": ["10"]})]})
        self.assertEqual([r["last_hit_unix_ns"] for r in self.lab.settled()["maps"][0]["rules"]], [0, 0])
        begin = time.time_ns()
        self.assertEqual(finish(start_generator(self.lab, "in1", numbered(100), 2000))["sent"], 100)
        wait_until("the packets are counted", lambda: self.lab.settled()["maps"][0]["rules"][0]["hits"]["packets"] == 100)
        hit, other = [r["last_hit_unix_ns"] for r in self.lab.settled()["maps"][0]["rules"]]
        jiffy = 10_000_000
        self.assertTrue(begin - jiffy <= hit <= time.time_ns(), (begin, hit))
        self.assertEqual(other, 0)

    def test_a_rule_on_a_port_passes_every_fragment_also_one_that_comes_before_its_first(self):
        before = self.lab.port(self.lab.settled(), "tool1")["copies"]["sent"]["packets"]
        packets = [part for number in range(500) for part in fragments(number)]
        self.assertEqual(finish(start_generator(self.lab, "in1", packets, 2000))["sent"], len(packets))
        wait_until("all come out", lambda: self.lab.port(self.lab.settled(), "tool1")["copies"]["sent"]["packets"] == before + len(packets))
        self.assertEqual([w["frag_unknown"] for w in self.lab.get("/api/v1/status")["data_plane"]["workers"]], [0])
        # One whose first never comes is matched without a port in the end, and counted.
        self.assertEqual(finish(start_generator(self.lab, "in1", fragments(1000)[:1], 2000))["sent"], 1)
        wait_until("it is given up", lambda: self.lab.get("/api/v1/status")["data_plane"]["workers"][0]["frag_unknown"] == 1)
        ledger = self.lab.settled()
        self.assertEqual(self.lab.port(ledger, "tool1")["copies"]["sent"]["packets"], before + len(packets))
        self.assertEqual(ledger["unaccounted"], 0)

    def test_a_rule_that_no_packet_gets_to_is_told_before_the_commit_and_at_it(self):
        rules = [rule("PASS", ip={"src": ["10.0.0.0/8"]}), rule("DROP", ip={"src": ["10.1.0.0/16"]}, l4={"dst_port": ["80"]})]
        warning = "maps/m: rule 2 is never reached: rule 1 comes first and matches all of it"
        report = self.lab.api("PATCH", "/api/v1/maps/m?dry_run=true", {"rules": rules}).json()
        self.assertEqual(report["warnings"], [warning])
        answer = self.lab.api("PATCH", "/api/v1/maps/m", {"rules": rules})
        self.assertEqual((answer.status, answer.headers["Warning"]), (200, f'199 - "{warning}"'))
        self.assertNotIn("Warning", self.lab.api("PATCH", "/api/v1/maps/m", {"rules": rules[::-1]}).headers)

    def test_explain_says_which_field_of_which_rule_did_not_match(self):
        self.lab.api("PATCH", "/api/v1/maps/m", {"rules": [rule("DROP", ip={"src": ["10.9.0.0/16"]}), rule("PASS", ip={"protocol": ["udp"]})]})
        steps = self.lab.api("POST", "/api/v1/explain", {"port": "in1", "packet": numbered_frame(0).hex()}).json()["steps"]
        step = next(s for s in steps if s["stage"] == "classify")
        self.assertEqual((step["outcome"], step["rule_number"]), ("PASSED_BY_RULE", 2))
        self.assertEqual([(m["rule_number"], m["fields"]) for m in step["misses"]], [(1, [{"field": "ip.src", "inner": False, "value": "10.1.0.0"}])])


if __name__ == "__main__":
    unittest.main()
