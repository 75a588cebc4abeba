"""A daemon that dies at any moment: what was acknowledged is there, what was not is there whole or not at all, and forwarding goes on."""
import os
import pathlib
import random
import sys
import threading
import time
import unittest
import urllib.error

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))
import harness  # noqa: E402
from harness import TIER, Lab, finish, start_generator, wait_until  # noqa: E402

ROUNDS = 200 if TIER == "long" else 10
SEED = int(os.environ.get("SLUICE_SEED", "20261125"))
MAP = {"name": "m", "sources": {"ports": ["in1"]}, "destinations": [{"port": "tool1"}], "rules": [{"match": {}, "action": "PASS"}]}


class Writer(threading.Thread):
    """Changes the same two things in one revision, over and over, each time to the next number."""

    def __init__(self, lab, first):
        super().__init__(daemon=True)
        self.lab, self.tried, self.acknowledged, self.stop = lab, first, {}, False

    def run(self):
        while not self.stop:
            self.tried += 1
            text = str(self.tried)
            config = {"ports": self.ports, "maps": [{**MAP, "comment": text}, {**MAP, "name": "twin", "comment": text}]}
            try:
                answer = self.lab.api("PUT", f"/api/v1/config?comment={text}", config)
            except (OSError, urllib.error.URLError):
                return  # the management daemon is gone: this one was not acknowledged
            if answer.status == 503:
                return  # the data plane is gone: refused, so nothing may have changed
            assert answer.status == 200, answer.body
            self.acknowledged[self.tried] = int(answer.headers["Sluice-Revision"])


class Crashes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(network=1, tool=2)
        cls.addClassCleanup(cls.lab.down)
        cls.lab.configure([MAP, {**MAP, "name": "twin"}])

    def pid(self, daemon):
        return int(pathlib.Path(self.lab.state, f"lab/{daemon}.pid").read_text())

    def test_kill_9_at_random_moments_of_writing_loses_nothing_that_was_acknowledged(self):
        print(f"seed {SEED}, {ROUNDS} kills", flush=True)
        rng = random.Random(SEED)
        number, acknowledged = 0, 0
        for round_ in range(ROUNDS):
            daemon = ("sluice-mgmt", "sluiced")[round_ % 2]
            writer = Writer(self.lab, number)
            writer.ports = self.lab.get("/api/v1/config")["ports"]
            writer.start()
            time.sleep(rng.uniform(0, 0.3))  # no condition to wait for: the moment is to be a random one
            other = self.pid("sluiced" if daemon == "sluice-mgmt" else "sluice-mgmt")
            self.lab.run("kill", daemon)
            writer.stop = True
            writer.join(60)
            self.assertFalse(writer.is_alive())
            self.lab.run("start")
            self.assertEqual(self.pid("sluiced" if daemon == "sluice-mgmt" else "sluice-mgmt"), other, "the other daemon went on")

            comments = [m["comment"] for m in self.lab.get("/api/v1/maps")]
            self.assertEqual(comments[0], comments[1], f"round {round_}: half a revision is there")
            last = max(writer.acknowledged, default=number)
            self.assertIn(int(comments[0] or 0), (last, writer.tried), f"round {round_}: {daemon} was killed; acknowledged {last}, tried {writer.tried}")
            for written, revision in writer.acknowledged.items():
                self.assertEqual(self.lab.get(f"/api/v1/revisions/{revision}")["comment"], str(written))
            newest = self.lab.get("/api/v1/revisions?limit=1")[0]["number"]
            wait_until("the committed revision in the data plane", lambda: self.lab.api("GET", "/api/v1/status").status == 200 and
                       self.lab.get("/api/v1/status")["revision"] == newest)
            # A port that the kernel has not let go of yet is opened a moment later.
            wait_until("a status without a fault", lambda: self.lab.get("/api/v1/status")["reasons"] == [])
            number, acknowledged = int(comments[0] or 0), acknowledged + len(writer.acknowledged)
        print(f"{acknowledged} changes were acknowledged", flush=True)
        self.assertGreater(acknowledged, ROUNDS)
        self.assertEqual(int(self.lab.settled()["unaccounted"]), 0)

    def test_forwarding_goes_on_while_the_management_daemon_is_dead(self):
        self.lab.configure([MAP])
        before = self.lab.port(self.lab.settled(), "tool1")["copies"]["sent"]["packets"]
        self.lab.run("kill", "sluice-mgmt")
        try:
            finish(start_generator(self.lab, "in1", harness.numbered(500), 2000))
        finally:
            self.lab.run("start")
        ledger = self.lab.settled()
        self.assertGreaterEqual(self.lab.port(ledger, "tool1")["copies"]["sent"]["packets"] - before, 500)


if __name__ == "__main__":
    unittest.main()
