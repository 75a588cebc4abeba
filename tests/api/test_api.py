"""The REST API from a client's side: every refusal names the field and the reason, and changes nothing."""
import contextlib
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from description import Described  # noqa: E402
from harness import wait_until  # noqa: E402

MAP = {"name": "m", "sources": {"ports": ["in1"]}, "destinations": [{"port": "tool1"}], "rules": [{"match": {}, "action": "PASS"}]}


class Api(Described):
    def setUp(self):
        self.lab.configure([MAP])

    def refused(self, status, field, method, path, body=None, **kwargs):
        """The answer is a problem that names the field; configuration, revision and what runs are as before."""
        before = self.lab.api("GET", "/api/v1/config")
        answer = self.lab.api(method, path, body, **kwargs)
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        problem = answer.json()
        self.assertEqual(problem["status"], status)
        self.assertTrue(problem["title"] and problem["detail"])
        self.assertEqual([e["field"] for e in problem.get("errors", [])], [field] if field else [])
        after = self.lab.api("GET", "/api/v1/config")
        self.assertEqual((before.body, before.headers["ETag"]), (after.body, after.headers["ETag"]))
        self.assertEqual(self.lab.get("/api/v1/status")["revision"], int(after.headers["ETag"].strip('"')))
        return problem

    def test_an_unknown_field_is_refused_by_its_path(self):
        self.refused(422, "sources.prots", "PUT", "/api/v1/maps/m", {"sources": {"prots": ["in1"]}})
        self.refused(422, "maps[0].rules[1].match.ip.scr", "PUT", "/api/v1/config",
                     {"maps": [{**MAP, "rules": [{"action": "PASS"}, {"action": "PASS", "match": {"ip": {"scr": []}}}]}]})

    def test_a_missing_port_is_refused_by_its_path(self):
        problem = self.refused(422, "sources.ports[1]", "PUT", "/api/v1/maps/m", {**MAP, "sources": {"ports": ["in1", "in9"]}})
        self.assertIn("in9", problem["detail"])
        self.refused(422, "destinations[0].port", "PUT", "/api/v1/maps/m", {**MAP, "destinations": [{"port": "tool9"}]})

    def test_a_tool_port_as_a_source_and_a_network_port_as_a_destination_are_refused(self):
        self.refused(422, "sources.ports[0]", "PUT", "/api/v1/maps/m", {**MAP, "sources": {"ports": ["tool1"]}})
        self.refused(422, "destinations[0].port", "PUT", "/api/v1/maps/m", {**MAP, "destinations": [{"port": "in2"}]})
        self.refused(422, "members[0].port", "PUT", "/api/v1/tool_groups/g", {"members": [{"port": "in1"}]})

    def test_a_role_that_a_map_forbids_is_refused_by_the_maps_path(self):
        port = self.lab.get("/api/v1/ports/in1")
        self.refused(422, "maps[0].sources.ports[0]", "PUT", "/api/v1/ports/in1", {**port, "role": "TOOL"})

    def test_a_stale_if_match_is_refused_and_the_present_one_accepted(self):
        etag = self.lab.api("GET", "/api/v1/maps/m").headers["ETag"]
        self.lab.put("/api/v1/maps/m", {**MAP, "comment": "somebody else was here"})
        self.refused(412, "If-Match", "PUT", "/api/v1/maps/m", MAP, headers={"If-Match": etag})
        self.refused(412, "If-Match", "DELETE", "/api/v1/maps/m", headers={"If-Match": etag})
        self.refused(412, "If-Match", "PUT", "/api/v1/maps/new", MAP | {"name": "new"}, headers={"If-Match": '"1"'})
        etag = self.lab.api("GET", "/api/v1/maps/m").headers["ETag"]
        self.assertEqual(self.lab.api("PUT", "/api/v1/maps/m", MAP, headers={"If-Match": etag}).status, 200)

    def test_no_token_and_a_wrong_one_are_refused(self):
        for method, path, body in (("GET", "/api/v1/config", None), ("PUT", "/api/v1/maps/m", MAP), ("DELETE", "/api/v1/maps/m", None),
                                   ("GET", "/api/v1/status", None), ("GET", "/api/v1/ledger", None), ("GET", "/api/v1/revisions", None),
                                   ("POST", "/api/v1/explain", {"port": "in1", "packet": "00"})):
            for token in ("", "not-a-token", self.lab.token[:-1]):
                answer = self.lab.api(method, path, body, token=token)
                self.assertEqual(answer.status, 401, f"{method} {path}")
                self.assertEqual(answer.json()["errors"][0]["field"], "Authorization")
        self.assertEqual(self.lab.get("/api/v1/maps/m")["name"], "m")

    def test_secrets_are_nowhere_on_disk_but_where_the_console_reads_them(self):
        folder = pathlib.Path(self.lab.state, "lab/mgmt")
        secret = (folder / "first-login").read_bytes().strip()
        for path in folder.iterdir():
            if path.is_file() and path.name != "first-login":
                data = path.read_bytes()
                self.assertNotIn(secret, data, path.name)
                self.assertNotIn(self.lab.token.encode(), data, path.name)
            if path.name in ("first-login", "tls-key.pem"):
                self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def test_what_the_engine_cannot_do_yet_is_refused_as_not_available(self):
        for field, change in (("destinations[0].operations.mask[0]", {"destinations": [{"port": "tool1", "operations": {"mask": [{"anchor": "L3", "length": 4}]}}]}),
                              ("destinations[0].operations.sample", {"destinations": [{"port": "tool1", "operations": {"sample": {"one_in": 2}}}]})):
            self.assertEqual(self.refused(422, field, "PUT", "/api/v1/maps/m", {**MAP, **change})["code"], "NOT_AVAILABLE")

    def test_a_bad_expression_is_refused_with_the_reason_and_a_good_one_selects_by_the_payload(self):
        answer = self.refused(422, "rules[0].match.regex", "PUT", "/api/v1/maps/m", {**MAP, "rules": [{"action": "PASS", "match": {"regex": "a("}}]})
        self.assertIn("Missing close parenthesis", answer["errors"][0]["reason"])
        self.assertEqual(self.lab.api("PUT", "/api/v1/maps/m", {**MAP, "rules": [{"action": "PASS", "match": {"regex": "^\\x02+$"}}]}).status, 200)
        for packet, passes in (("02" * 60, True), ("02" * 59 + "03", False)):
            answer = self.lab.api("POST", "/api/v1/explain", {"port": "in1", "packet": packet}).json()
            self.assertEqual(bool(answer["delivered_to"]), passes, answer)

    def test_malformed_bodies_are_refused(self):
        for body in ("", "{", "[]", "null", '{"name": "m"', '{"a" 1}', '"text"', "\x00", '{"enabled": tru}', "[" * 100):
            self.assertEqual(self.lab.api("PUT", "/api/v1/maps/m", body or " ").status, 422, body)
        self.refused(422, "name", "PUT", "/api/v1/maps/m", '{"name": "m", "name": "n"}')
        self.refused(422, "enabled", "PUT", "/api/v1/maps/m", {**MAP, "enabled": "yes"})
        self.refused(422, "kind", "PUT", "/api/v1/maps/m", {**MAP, "kind": "UNSPECIFIED"})
        self.refused(422, "destinations[0].tool_group", "PUT", "/api/v1/maps/m", {**MAP, "destinations": [{"port": "tool1", "tool_group": "g"}]})
        self.refused(422, "mtu", "PUT", "/api/v1/ports/in1", {**self.lab.get("/api/v1/ports/in1"), "mtu": 100000})

    def test_a_get_put_back_unchanged_makes_no_revision(self):
        for path in ("/api/v1/config", "/api/v1/maps/m", "/api/v1/ports/in1"):
            before = self.lab.get("/api/v1/revisions")[0]["number"]
            self.lab.put(path, self.lab.get(path))
            self.assertEqual(self.lab.get("/api/v1/revisions")[0]["number"], before, path)

    def test_every_change_makes_exactly_one_revision(self):
        before = self.lab.get("/api/v1/revisions")[0]["number"]
        self.lab.put("/api/v1/maps/m2", {**MAP, "name": "m2"})
        self.lab.put("/api/v1/maps/m2", {**MAP, "name": "m2", "comment": "x"})
        self.assertEqual(self.lab.api("DELETE", "/api/v1/maps/m2").status, 204)
        self.assertEqual([r["number"] for r in self.lab.get("/api/v1/revisions")][:3], [before + 3, before + 2, before + 1])

    def test_a_dry_run_validates_and_changes_nothing(self):
        before = self.lab.api("GET", "/api/v1/config").body
        answer = self.lab.api("PUT", "/api/v1/maps/m?dry_run=true", {**MAP, "comment": "tried"})
        self.assertEqual((answer.status, answer.json()["changed"]), (200, True))
        self.assertEqual(answer.json()["words"], ["map m: comment: \"\" became \"tried\""])
        # What it would take of the data plane: one map, its one rule, one destination.
        cost = answer.json()["cost"]
        self.assertEqual((cost["maps"], cost["rules"], cost["copies"]), (1, 1, 1))
        for what in ("maps", "rules", "copies"):
            self.assertGreater(cost["most_" + what], 1000)
        self.assertGreater(cost["queue_frames"], 255)
        self.assertEqual(self.lab.api("GET", "/api/v1/config").body, before)
        self.refused(422, "sources.ports[0]", "PUT", "/api/v1/maps/m?dry_run=true", {**MAP, "sources": {"ports": ["tool1"]}})

    def test_what_is_referred_to_cannot_be_deleted_and_the_answer_says_by_whom(self):
        self.assertIn("maps/m (sources.ports[0])", self.refused(409, None, "DELETE", "/api/v1/ports/in1")["detail"])

    def test_ids_stay_when_a_resource_is_put_again(self):
        before = self.lab.get("/api/v1/maps/m")
        after = self.lab.put("/api/v1/maps/m", {**MAP, "rules": [{"match": {"ip": {"version": 4}}, "action": "DROP"}, *MAP["rules"]]})
        self.assertEqual(after["id"], before["id"])
        self.assertEqual(after["rules"][1]["id"], before["rules"][0]["id"])
        self.assertEqual(self.lab.get(f"/api/v1/maps/{before['id']}")["name"], "m")

    def test_unknown_places_and_methods_are_told_apart(self):
        self.assertEqual(self.lab.api("GET", "/api/v1/nothing").status, 404)
        self.assertEqual(self.lab.api("GET", "/api/v1/maps/nothing").status, 404)
        answer = self.lab.api("POST", "/api/v1/maps/m", MAP)
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, PUT, PATCH, DELETE"))
        for path in ("/../etc/passwd", "/api/v1/maps/..%2f..%2fetc", "/%00", "/%zz"):
            self.assertIn(self.lab.api("GET", path).status, (400, 404), path)

    def test_explain_takes_the_pipelines_own_path(self):
        packet = "020000000002020000000001080045000028000040004006 0000 0a000001 0a000002 3039 0050 00000000 00000000 5002 2000 0000 0000"
        answer = self.lab.api("POST", "/api/v1/explain", {"port": "in1", "packet": packet}).json()
        self.assertEqual(answer["delivered_to"], ["tool1"])
        rule = self.lab.get("/api/v1/maps/m")["rules"][0]["id"]
        self.assertEqual([(s["stage"], s["outcome"]) for s in answer["steps"]],
                         [("parse", "PARSED"), ("classify", "PASSED_BY_RULE"), ("send", "SENT")])
        self.assertEqual([(s["map"], s["rule"], s["rule_number"]) for s in answer["steps"] if s["rule"]], [("m", rule, 1)])
        self.assertEqual([(l["l3"], l["src"], l["dst"], l["protocol"], l["dst_port"]) for l in answer["steps"][0]["layers"]],
                         [("IPv4", "10.0.0.1", "10.0.0.2", 6, 80)])
        # By its fields it is the same packet, and goes the same way.
        fields = {"src": "10.0.0.1", "dst": "10.0.0.2", "src_port": 12345, "dst_port": 80, "length": 54}
        self.assertEqual(self.lab.api("POST", "/api/v1/explain", {"port": "in1", "fields": fields}).json(), answer)
        for wrong, field in (({"src": "10.0.0.1"}, "fields.dst"), ({**fields, "length": 53}, "fields.length"), ({**fields, "src": "x"}, "fields.src")):
            problem = self.lab.api("POST", "/api/v1/explain", {"port": "in1", "fields": wrong}).json()
            self.assertEqual(problem["errors"][0]["field"], field)
        self.assertEqual(self.lab.api("POST", "/api/v1/explain", {"port": "in1"}).json()["errors"][0]["field"], "packet")
        self.assertEqual(self.lab.api("POST", "/api/v1/explain", {"port": "in2", "packet": packet}).json()["delivered_to"], [])
        self.assertEqual(self.lab.api("POST", "/api/v1/explain", {"port": "in1", "packet": "zz"}).json()["errors"][0]["field"], "packet")
        self.assertEqual(self.lab.api("POST", "/api/v1/explain", {"port": "nowhere", "packet": packet}).status, 404)

    def test_devices_lists_what_a_port_can_be_bound_to_and_which_port_is(self):
        ports = {port["name"]: port["device"] for port in self.lab.get("/api/v1/ports")}
        devices = self.lab.get("/api/v1/devices")
        self.assertEqual({d["port"]: d["mac"] for d in devices if d["port"]}, ports)
        self.assertEqual({d["driver"] for d in devices}, {"veth"})
        self.assertEqual([d for d in devices if d["management"]], [])
        port = self.lab.get("/api/v1/ports/tool3")
        self.addCleanup(self.lab.put, "/api/v1/ports/tool3", port)
        self.lab.put("/api/v1/ports/tool3", {**port, "device": ""})
        self.assertEqual([d["mac"] for d in self.lab.get("/api/v1/devices") if not d["port"]], [port["device"]])

    def test_the_page_lists_every_route_and_loads_from_no_other_host(self):
        page = self.lab.api("GET", "/", token="").body
        for route in ("/api/v1/config", "/api/v1/maps/{name}", "/api/v1/ledger"):
            self.assertIn(route, page)
        self.assertNotIn("http://", page)
        self.assertNotIn("<script", page)

    def test_a_map_of_16384_rules_is_taken_and_a_body_beyond_the_limit_refused_however_it_is_sent(self):
        rules = [{"action": "PASS", "match": {"ip": {"src": [f"10.{i >> 8}.{i & 255}.0/24"]}, "l4": {"dst_port": ["53"]}},
                  "comment": "a rule with a comment, as rules are that an engineer has to know again"} for i in range(16384)]
        large = {**MAP, "rules": rules}
        self.assertGreater(len(json.dumps(large)), 2 << 20)
        self.lab.put("/api/v1/maps/m", large)
        self.assertEqual(len(self.lab.get("/api/v1/maps/m/rules")), 16384)
        address = ("127.0.0.1", int(self.lab.url.rsplit(":", 1)[1]))
        context = ssl.create_default_context(cafile=self.lab.cacert)
        for token, limit in ((self.lab.token, 32 << 20), ("", 4096)):
            for chunked in (False, True):
                with socket.create_connection(address) as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
                    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {limit + 1}"
                    lines = ["PUT /api/v1/maps/m HTTP/1.1", "Host: 127.0.0.1", length] + ([f"Authorization: Bearer {token}"] if token else [])
                    tls.sendall("\r\n".join([*lines, "", f"{limit + 1:x}\r\n" if chunked else ""]).encode())
                    self.assertEqual(tls.recv(4096).split(b" ")[1], b"413", (limit, chunked))
        # What frames a body, and is not of it, has an end too.
        for endless in (b"1;" + b"a" * 300_000, b"0\r\n" + b"a: b\r\n" * 50_000):
            with socket.create_connection(address) as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
                tls.settimeout(20)
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    tls.sendall(b"POST /api/v1/login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n" + endless)
                    self.assertIn(tls.recv(4096)[9:12], (b"", b"400", b"413"))
        self.assertEqual(len(self.lab.get("/api/v1/maps/m/rules")), 16384)

    def test_only_modern_tls_is_spoken_and_rude_peers_do_not_stop_the_service(self):
        address = ("127.0.0.1", int(self.lab.url.rsplit(":", 1)[1]))
        old = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{address[1]}", "-tls1_1"], input=b"", capture_output=True, check=False)
        self.assertNotEqual(old.returncode, 0)
        idle = [socket.create_connection(address) for _ in range(50)]
        for sock in idle[:25]:
            sock.sendall(os.urandom(64))
        context = ssl.create_default_context(cafile=self.lab.cacert)
        for line in (b"GET\r\n\r\n", b"\x00" * 500, b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\n\r\n",
                     b"POST /api/v1/login HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"):
            with socket.create_connection(address) as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
                tls.sendall(line)
        wait_until("an answer", lambda: self.lab.api("GET", "/api/v1/config").status == 200, 5)
        for sock in idle:
            sock.close()

    def test_the_configuration_survives_a_restart_of_both_daemons(self):
        before = self.lab.api("GET", "/api/v1/config").body
        for daemon in ("sluiced", "sluice-mgmt"):
            self.lab.run("kill", daemon)
        self.lab.run("start")
        self.assertEqual(self.lab.api("GET", "/api/v1/config").body, before)
        wait_until("the revision", lambda: self.lab.api("GET", "/api/v1/status").status == 200 and
                   self.lab.get("/api/v1/status")["revision"] == self.lab.get("/api/v1/revisions")[0]["number"])


if __name__ == "__main__":
    unittest.main()
