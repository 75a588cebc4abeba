"""Devices: what is there, and configurations that come from other hardware."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from description import Described  # noqa: E402
from harness import finish, numbered, start_generator, wait_until  # noqa: E402

MAP = {"name": "m", "sources": {"ports": ["in1"]}, "destinations": [{"port": "tool1"}], "rules": [{"match": {}, "action": "PASS"}]}


class Devices(Described):
    def setUp(self):
        self.lab.configure([MAP])
        self.own = self.lab.get("/api/v1/config")
        self.addCleanup(self.lab.put, "/api/v1/config", self.own)
        self.macs = {p["name"]: p["device"] for p in self.own["ports"]}

    def foreign(self):
        """The same as another appliance has it: other devices, ids of its own."""
        config = self.lab.get("/api/v1/config")
        for i, port in enumerate(config["ports"]):
            port["device"] = f"02:ff:ff:ff:ff:{i:02x}"
            port["id"] = f"00000000-0000-4000-8000-00000000000{i}"
        config["maps"][0].update(id="00000000-0000-4000-8000-0000000000aa", comment="from elsewhere")
        return config

    def restore(self, body, query=""):
        return self.lab.api("POST", f"/api/v1/config:restore{query}", body)

    def test_a_restore_onto_other_hardware_without_a_map_proposes_one_and_changes_nothing(self):
        before = self.lab.api("GET", "/api/v1/config").body
        answer = self.restore({"config": self.foreign()})
        self.assertEqual(answer.status, 409)
        self.assertEqual(self.lab.api("GET", "/api/v1/config").body, before)
        proposal = answer.json()["proposal"]
        self.assertEqual(proposal, self.macs)  # the devices in their order, one for each
        partly = self.restore({"config": self.foreign(), "port_map": {"in1": self.macs["in2"]}})
        self.assertEqual(partly.status, 409)
        self.assertNotIn("in1", partly.json()["proposal"])
        self.assertNotIn(self.macs["in2"], partly.json()["proposal"].values())
        done = self.restore({"config": self.foreign(), "port_map": proposal})
        self.assertEqual((done.status, done.json()["changed"]), (200, True))
        self.assertEqual({p["name"]: p["device"] for p in self.lab.get("/api/v1/ports")}, self.macs)
        self.assertEqual(self.lab.get("/api/v1/maps/m")["comment"], "from elsewhere")
        self.assertEqual(self.lab.get("/api/v1/maps/m")["id"], self.own["maps"][0]["id"])  # by its name it is the one that is here

    def test_a_map_that_is_wrong_is_refused_by_its_entry(self):
        for wrong, field in (({"in9": self.macs["in1"]}, "port_map.in9"), ({"in1": "02:00:00:00:99:99"}, "port_map.in1"),
                             ({**self.macs, "tool2": self.macs["tool1"]}, "port_map.tool2")):
            answer = self.restore({"config": self.foreign(), "port_map": wrong})
            self.assertEqual((answer.status, answer.json()["errors"][0]["field"]), (422, field))
        self.assertEqual(self.restore({}).json()["errors"][0]["field"], "config")
        broken = self.foreign()
        broken["maps"][0]["destinations"] = [{"port": "in1"}]
        answer = self.restore({"config": broken, "port_map": self.macs})
        self.assertEqual((answer.status, answer.json()["errors"][0]["field"]), (422, "config.maps[0].destinations[0].port"))

    def test_a_port_can_be_left_unbound_and_a_dry_run_tells(self):
        port_map = {**self.macs, "tool3": ""}
        tried = self.restore({"config": self.foreign(), "port_map": port_map}, "?dry_run=true").json()
        self.assertIn("tool3", tried["interrupts"])
        self.assertEqual(self.lab.get("/api/v1/ports/tool3")["device"], self.macs["tool3"])
        self.assertEqual(self.restore({"config": self.foreign(), "port_map": port_map}).status, 200)
        self.assertEqual(self.lab.get("/api/v1/ports/tool3")["device"], "")

    def test_a_port_without_a_light_says_so_and_one_that_is_not_there_too(self):
        answer = self.lab.api("POST", "/api/v1/ports/in1:identify", {"seconds": 1})
        self.assertEqual((answer.status, answer.json()["detail"]), (409, "the driver veth has no light to blink with"))
        self.assertEqual(self.lab.api("POST", f"/api/v1/devices/{self.macs['in1']}:identify").status, 409)
        self.assertEqual(self.lab.api("POST", "/api/v1/ports/nowhere:identify").status, 404)
        self.assertEqual(self.lab.api("POST", "/api/v1/devices/02:00:00:00:99:99:identify").status, 404)
        self.assertEqual(self.lab.api("POST", "/api/v1/ports/in1:identify", {"seconds": 61}).json()["errors"][0]["field"], "seconds")

    def test_a_port_that_hears_nothing_and_one_without_a_link_are_told_apart_with_what_to_do_next(self):
        def cable(name):
            return next((p["cable"], p["next_step"]) for p in self.lab.get("/api/v1/status")["ports"] if p["name"] == name)

        silent = wait_until("a silent port", lambda: cable("in2")[0] == "NO_PACKETS" and cable("in2"))
        self.assertIn("check that the switch mirrors to it", silent[1])
        finish(start_generator(self.lab, "in2", numbered(1), 10))
        wait_until("a packet that is noticed", lambda: cable("in2") == ("OK", ""))
        room, device = self.lab.run("peer", "in2").split()
        self.addCleanup(self.lab.in_ns, "wire", "ip", "link", "set", device, "up")
        self.lab.in_ns("wire", "ip", "link", "set", device, "down")
        wait_until("a pulled cable", lambda: cable("in2")[0] == "NO_LINK")
        self.assertIn("check the cable at both ends", cable("in2")[1])
        self.assertEqual(cable("tool1"), ("OK", ""))  # a tool port need not hear anything

    def test_a_backup_of_this_appliance_is_restored_without_a_map(self):
        self.lab.api("PATCH", "/api/v1/maps/m", {"comment": "later"})
        self.assertEqual(self.restore({"config": self.own}).status, 200)
        self.assertEqual(self.lab.get("/api/v1/config"), self.own)


if __name__ == "__main__":
    unittest.main()
