"""Live data as clients get it: server-sent events over TLS."""
import http.client
import json
import pathlib
import sys
import time
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from description import Described  # noqa: E402
from harness import finish, numbered, start_generator  # noqa: E402

MAP = {"name": "all", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "tool1"}, {"port": "tool2"}]}


class Listener:
    """One client of /events; every event is judged by the description."""

    def __init__(self, test, token=None, last=None):
        self.test, self.last = test, None
        url = urllib.parse.urlsplit(test.lab.url)
        self.connection = http.client.HTTPSConnection(url.hostname, url.port, context=test.lab.context, timeout=30)
        headers = {"Authorization": "Bearer " + (token or test.lab.token), **({"Last-Event-ID": last} if last else {})}
        self.connection.request("GET", "/api/v1/events", headers=headers)
        self.reply = self.connection.getresponse()
        test.addCleanup(self.connection.close)

    def next(self):
        """(name, data); nothing once the server has ended it."""
        name = data = None
        while line := self.reply.readline().decode():
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "id":
                self.last = value
            elif field == "event":
                name = value
            elif field == "data":
                data = json.loads(value)
            elif not line.strip() and name:
                self.test.judge.check_event("/api/v1/events", name, data)
                return name, data
        return None

    def until(self, condition):
        """The first event of which this holds; the seconds are a guard against hanging."""
        end, heard = time.monotonic() + 30, []
        while event := self.next():
            if condition(*event):
                return event[1]
            heard.append(event[0])
            if time.monotonic() > end:
                raise AssertionError(f"did not come; heard {heard}")
        raise AssertionError(f"the stream ended; heard {heard}")


class Events(Described):
    def setUp(self):
        self.lab.configure([MAP])

    def test_a_client_hears_at_once_what_is_and_the_type_is_that_of_events(self):
        listener = Listener(self)
        self.assertEqual((listener.reply.status, listener.reply.headers["Content-Type"]), (200, "text/event-stream"))
        seen = {}
        while {"health", "ports", "rates"} - set(seen):
            name, data = listener.next()
            seen[name] = data
        self.assertEqual({p["name"]: p["state"] for p in seen["ports"]["ports"]}, {p: "UP" for p in ("in1", "in2", "tool1", "tool2", "tool3")})
        self.assertEqual(seen["health"]["health"], "RUNNING")
        self.assertEqual({p["name"] for p in seen["rates"]["ports"]}, {"in1", "in2", "tool1", "tool2", "tool3"})
        self.assertEqual([m["name"] for m in seen["rates"]["maps"]], ["all"])
        self.assertEqual({(d["map"], d["target"]) for d in seen["rates"]["destinations"]}, {("all", "tool1"), ("all", "tool2")})

    def test_the_rates_of_all_seconds_add_up_to_what_was_sent(self):
        listener = Listener(self)
        listener.until(lambda name, _: name == "rates")
        count, counted = 6000, {"in1": 0.0, "tool1": 0.0, "map": 0.0, "destination": 0.0}
        generator = start_generator(self.lab, "in1", numbered(count), 2000)
        while counted["tool1"] < 0.995 * count:
            rates = listener.until(lambda name, _: name == "rates")
            second = rates["interval_ns"] / 1e9
            ports = {p["name"]: p for p in rates["ports"]}
            counted["in1"] += ports["in1"]["received"]["packets"] * second
            counted["tool1"] += ports["tool1"]["sent"]["packets"] * second
            counted["map"] += rates["maps"][0]["passed"]["packets"] * second
            counted["destination"] += rates["destinations"][0]["sent"]["packets"] * second
        self.assertEqual(finish(generator)["sent"], count)
        for what, packets in counted.items():
            # Rates are whole numbers; the kernel's own packets of the link are among them.
            self.assertLess(abs(packets - count), 0.02 * count, what)

    def test_a_cable_that_is_pulled_and_a_revision_are_events(self):
        listener = Listener(self)
        room, device = self.lab.run("peer", "tool3").split()
        listener.until(lambda name, _: name == "ports")
        self.lab.in_ns("tools", "ip", "link", "set", device, "down")
        self.addCleanup(self.lab.in_ns, "tools", "ip", "link", "set", device, "up")
        ports = listener.until(lambda name, data: name == "ports" and any(p["state"] != "UP" for p in data["ports"]))
        self.assertEqual({p["name"]: p["state"] for p in ports["ports"] if p["state"] != "UP"}, {"tool3": "NO_LINK"})
        self.lab.in_ns("tools", "ip", "link", "set", device, "up")
        listener.until(lambda name, data: name == "ports" and all(p["state"] == "UP" for p in data["ports"]))
        number = int(self.lab.api("PATCH", "/api/v1/system?confirm_timeout=600&comment=why", {"contact": "x"}).headers["Sluice-Revision"])
        revision = listener.until(lambda name, _: name == "revision")
        self.assertEqual((revision["number"], revision["author"], revision["comment"], revision["confirmation"]["state"]), (number, "admin", "why", "PENDING"))
        self.assertEqual(self.lab.api("POST", f"/api/v1/revisions/{number}:confirm").status, 200)
        self.assertEqual(listener.until(lambda name, _: name == "revision")["confirmation"]["state"], "CONFIRMED")

    def test_who_comes_back_hears_what_he_missed_once_and_whom_a_restart_cut_off_is_told(self):
        listener = Listener(self)
        listener.until(lambda name, _: name == "rates")
        last = listener.last
        listener.connection.close()
        number = int(self.lab.api("PATCH", "/api/v1/system", {"contact": "while he was away"}).headers["Sluice-Revision"])
        again = Listener(self, last=last)
        self.assertEqual(again.until(lambda name, _: name in ("revision", "missed", "health"))["number"], number)
        last = again.last
        again.connection.close()
        self.lab.run("kill", "sluice-mgmt")
        self.lab.run("start")
        self.assertEqual(Listener(self, last=last).until(lambda *_: True), {"last_event_id": last})

    def test_a_stream_ends_with_the_authority_of_who_listens(self):
        self.assertEqual(Listener(self, token="nonsense").reply.status, 401)
        made = self.lab.api("POST", "/api/v1/tokens", {"role": "VIEWER"}).json()
        listener = Listener(self, token=made["token"])
        listener.until(lambda name, _: name == "rates")
        self.assertEqual(self.lab.api("DELETE", f"/api/v1/tokens/{made['id']}").status, 204)
        while listener.next():
            pass

    def test_the_death_of_the_data_plane_is_an_event(self):
        listener = Listener(self)
        self.lab.run("kill", "sluiced")
        listener.until(lambda name, data: name == "health" and data["health"] == "DOWN")
        self.lab.run("start")
        listener.until(lambda name, data: name == "health" and data["health"] == "RUNNING")


if __name__ == "__main__":
    unittest.main()
