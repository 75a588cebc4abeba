"""The command line, as an engineer and a script use it, against a lab."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from description import Described  # noqa: E402
from harness import TOP  # noqa: E402

MAP = {"name": "m", "sources": {"ports": ["in1"]}, "destinations": [{"port": "tool1"}], "rules": [{"match": {}, "action": "PASS"}]}


class Sluicectl(Described):
    def setUp(self):
        self.lab.configure([MAP])
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.home = pathlib.Path(home.name)
        self.environment = {"PATH": f"{TOP}/build/release/bin:{os.environ['PATH']}", "HOME": home.name, "SLUICE_URL": self.lab.url,
                            "SLUICE_TOKEN": self.lab.token, "SLUICE_CACERT": self.lab.cacert}

    def run_it(self, *arguments, code=0, stdin="", environment=None):
        """What it prints; standard error where it is to fail."""
        done = subprocess.run(["sluicectl", *arguments], env=self.environment if environment is None else environment, input=stdin, capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stderr if code else done.stdout

    def file(self, value):
        path = self.home / "config.json"
        path.write_text(json.dumps(value))
        return str(path)

    def test_get_shows_a_table_or_with_json_what_the_api_says(self):
        table = self.run_it("get", "maps").splitlines()
        self.assertEqual(table[0].split(), ["NAME", "ENABLED", "KIND", "SOURCES", "RULES", "DESTINATIONS", "COMMENT"])
        self.assertEqual(table[1].split(), ["m", "true", "NORMAL", "in1", "1", "tool1"])
        for what in ("maps", "maps/m", "config", "ledger", "devices", "revisions", "users", "me", "status"):
            shown = json.loads(self.run_it("--json", "get", what))
            if what not in ("ledger", "status", "me"):
                self.assertEqual(shown, self.lab.get(f"/api/v1/{what}"))
            self.assertTrue(self.run_it("get", what))
        self.assertEqual(json.loads(self.run_it("get", "maps", "m"))["name"], "m")

    def test_apply_makes_what_is_in_the_file_and_leaves_the_rest_as_one_revision(self):
        newest = self.lab.get("/api/v1/revisions?limit=1")[0]["number"]
        file = self.file({"address_sets": [{"name": "s", "entries": ["10.0.0.0/8"]}], "maps": [{**MAP, "name": "n"}, {**MAP, "comment": "applied"}]})
        would = self.run_it("diff", "-f", file)
        self.assertIn("map n added", would)
        self.assertEqual(self.lab.get("/api/v1/revisions?limit=1")[0]["number"], newest)
        did = self.run_it("apply", "-f", file, "--comment", "from git")
        self.assertEqual(did.splitlines(), [*would.splitlines(), f"revision {newest + 1}"])
        self.assertEqual([m["name"] for m in self.lab.get("/api/v1/maps")], ["m", "n"])
        self.assertEqual(self.lab.get(f"/api/v1/revisions/{newest + 1}")["comment"], "from git")
        self.assertIn("nothing to change", self.run_it("apply", "-f", file))
        self.assertEqual(self.run_it("diff", str(newest + 1)), "\n".join(would.splitlines()) + "\n")
        self.assertEqual(self.lab.get("/api/v1/drafts"), [])
        whole = self.lab.get("/api/v1/config")
        whole["maps"] = whole["maps"][:1]
        self.assertIn("map n removed", self.run_it("diff", "--replace", "-f", self.file(whole)))
        self.run_it("apply", "--replace", "-f", self.file(whole))
        self.assertEqual([m["name"] for m in self.lab.get("/api/v1/maps")], ["m"])

    def test_a_wrong_file_changes_nothing_and_is_told_by_field(self):
        before = self.lab.api("GET", "/api/v1/config").body
        told = self.run_it("apply", "-f", self.file({"maps": [{**MAP, "name": "ok"}, {**MAP, "destinations": [{"port": "in2"}]}]}), code=1)
        self.assertIn("maps[0].destinations[0].port", told)
        self.assertIn("prots", self.run_it("apply", "-f", self.file({"maps": [{**MAP, "prots": 1}]}), code=1))
        self.assertIn('"mapps"', self.run_it("apply", "-f", self.file({"mapps": []}), code=2))
        (self.home / "broken").write_text("{")
        self.assertIn("is no JSON", self.run_it("apply", "-f", str(self.home / "broken"), code=2))
        self.assertIn("cannot be read", self.run_it("apply", "-f", "/nowhere", code=2))
        self.assertEqual(self.lab.api("GET", "/api/v1/config").body, before)
        self.assertEqual(self.lab.get("/api/v1/drafts"), [])

    def test_the_ways_back_and_confirmation(self):
        self.run_it("apply", "-f", self.file({"maps": [{**MAP, "comment": "tried"}]}), "--confirm-timeout", "600")
        number = str(self.lab.get("/api/v1/revisions?limit=1")[0]["number"])
        self.run_it("confirm", number)
        self.assertIn("is confirmed already", self.run_it("confirm", number, code=1))
        self.assertIn("comment", self.run_it("revert", number))
        self.assertEqual(self.lab.get("/api/v1/maps/m")["comment"], "")
        self.run_it("rollback", number)
        self.assertEqual(self.lab.get("/api/v1/maps/m")["comment"], "tried")
        self.run_it("rename", "maps", "m", "renamed")
        self.run_it("delete", "maps", "renamed")
        self.assertEqual(self.lab.get("/api/v1/maps"), [])
        self.assertIn('there is no map "renamed"', self.run_it("delete", "maps", "renamed", code=1))

    def test_explain_by_fields_and_by_bytes(self):
        told = self.run_it("explain", "in1", "--src", "10.0.0.1", "--dst", "10.0.0.2", "--dst-port", "443", "--vlan", "7").splitlines()
        self.assertEqual([line.split()[0] for line in told], ["parse", "classify", "send", "Delivered"])
        self.assertIn("m: rule 1 is the first that matches: PASS", told[1])
        self.assertIn("VLAN 7", told[0])
        self.assertEqual(json.loads(self.run_it("--json", "explain", "in2", "0202 0202"))["delivered_to"], [])

    def test_watch_shows_every_second(self):
        self.assertEqual(self.run_it("watch", "ports", "--count", "2").count("LOST BEFORE"), 2)
        self.assertIn("m    tool1", self.run_it("watch", "destinations", "--count", "1"))
        events = [json.loads(line) for line in self.run_it("--json", "watch", "events", "--count", "3").splitlines()]
        self.assertLessEqual({e["event"] for e in events}, {"health", "ports", "revision", "rates"})

    def test_login_keeps_the_token_and_is_for_that_appliance_alone(self):
        environment = {key: value for key, value in self.environment.items() if not key.startswith("SLUICE_")}
        self.assertIn("which appliance", self.run_it("get", "maps", code=2, environment=environment))
        made = self.lab.api("POST", "/api/v1/users", {"name": "ann", "role": "OPERATOR", "password": "first-password"})
        self.assertEqual(made.status, 201)
        self.addCleanup(self.lab.api, "DELETE", "/api/v1/users/ann")
        reach = ("--cacert", self.lab.cacert)
        self.assertIn("password", self.run_it("login", self.lab.url, "--user", "ann", *reach, code=1, stdin="wrong\n", environment=environment))
        self.run_it("login", self.lab.url, "--user", "ann", *reach, stdin="first-password\n", environment=environment)
        self.assertEqual((self.home / ".config/sluice/login.json").stat().st_mode & 0o777, 0o600)
        self.assertIn("/me/password", self.run_it("get", "maps", code=1, environment=environment))
        change = subprocess.run(["sluicectl", "password"], env=environment, input="first-password\nanother password\n", text=True, check=False, timeout=60)
        self.assertEqual(change.returncode, 0)
        self.assertIn("NAME", self.run_it("get", "maps", environment=environment))
        self.assertIn("needs the role ADMIN", self.run_it("get", "users", code=1, environment=environment))
        elsewhere = {**environment, "SLUICE_URL": "https://127.0.0.1:1"}
        self.assertIn("https://127.0.0.1:1", self.run_it("get", "maps", code=2, environment=elsewhere))
        self.run_it("logout", environment=environment)
        self.assertIn("which appliance", self.run_it("get", "maps", code=2, environment=environment))

    def test_the_local_socket_needs_no_login(self):
        socket = f"{self.lab.state}/lab/mgmt/api.sock"
        environment = {key: value for key, value in self.environment.items() if not key.startswith("SLUICE_")}
        self.assertEqual(json.loads(self.run_it("--socket", socket, "--json", "get", "me", environment=environment))["user"], "root")

    def test_any_request_and_the_shells_completion(self):
        self.run_it("api", "PATCH", "maps/m", "-d", '{"comment": "by api"}')
        self.assertEqual(self.lab.get("/api/v1/maps/m")["comment"], "by api")
        script = 'source <(sluicectl completion); COMP_WORDS=({}); COMP_CWORD={}; _sluicectl; echo "${{COMPREPLY[@]}}"'
        for words, expected in (("sluicectl ex", "explain"), ("sluicectl get tool_g", "tool_groups"), ("sluicectl get ports tool2", "tool2"),
                                ("sluicectl explain in", "in1 in2"), ("sluicectl --json watch dest", "destinations")):
            done = subprocess.run(["bash", "-c", script.format(words, len(words.split()) - 1)], env=self.environment, capture_output=True, text=True,
                                  check=True, timeout=60)
            self.assertEqual(done.stdout.strip(), expected, words)

    def test_an_untrusted_certificate_is_refused_with_what_to_do(self):
        environment = {**self.environment, "SLUICE_CACERT": ""}
        self.assertIn("--cacert", self.run_it("get", "maps", code=2, environment=environment))
        self.assertTrue(self.run_it("get", code=2))
        self.assertTrue(self.run_it("nonsense", code=2))


if __name__ == "__main__":
    unittest.main()
