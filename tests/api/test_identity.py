"""Users, roles, passwords, tokens and cookies, as clients meet them."""
import json
import pathlib
import sys
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from description import Described  # noqa: E402

MAP = {"name": "m", "sources": {"ports": ["in1"]}, "destinations": [{"port": "tool1"}]}


class Identity(Described):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.secret = cls.console()

    @classmethod
    def console(cls):
        file = pathlib.Path(cls.lab.state, "lab/mgmt/first-login")
        return file.read_text().strip() if file.exists() else None

    def login(self, user, password, **more):
        return self.lab.api("POST", "/api/v1/login", {"user": user, "password": password, **more}, token="")

    def somebody(self, name, role):
        """The token of a user with a password of his own."""
        self.assertEqual(self.lab.api("POST", "/api/v1/users", {"name": name, "role": role, "password": "first-password"}).status, 201)
        self.addCleanup(self.lab.api, "DELETE", f"/api/v1/users/{name}")
        first = self.login(name, "first-password").json()
        self.assertTrue(first["must_change_password"])
        self.assertEqual(self.lab.api("GET", "/api/v1/config", token=first["token"]).status, 403)
        change = {"old_password": "first-password", "new_password": "a password of his own"}
        self.assertEqual(self.lab.api("PUT", "/api/v1/me/password", change, token=first["token"]).status, 204)
        return first["token"]

    def test_1_the_first_login_secret_may_only_be_changed_and_leaves_the_console_then(self):
        self.assertRegex(self.secret, r"^([a-z2-9]{5}-){3}[a-z2-9]{5}$")
        self.assertEqual(self.login("admin", self.secret + "x").status, 401)
        first = self.login("admin", self.secret).json()
        for method, path in (("GET", "/api/v1/config"), ("GET", "/api/v1/tokens"), ("PUT", "/api/v1/maps/m"), ("GET", "/api/v1/users")):
            answer = self.lab.api(method, path, MAP if method == "PUT" else None, token=first["token"])
            self.assertEqual(answer.status, 403)
            self.assertIn("/api/v1/me/password", answer.json()["detail"])
        change = {"old_password": self.secret, "new_password": "correct horse battery"}
        self.assertEqual(self.lab.api("PUT", "/api/v1/me/password", change, token=first["token"]).status, 204)
        self.assertEqual(self.lab.api("GET", "/api/v1/config", token=first["token"]).status, 200)
        self.assertIsNone(self.console())
        self.assertEqual(self.login("admin", self.secret).status, 401)
        self.assertEqual(self.login("admin", "correct horse battery").json()["must_change_password"], False)
        # All others ended with it, the lab's own too.
        self.assertEqual(self.lab.api("GET", "/api/v1/config").status, 401)
        type(self).lab.token = first["token"]
        self.lab.run("kill", "sluice-mgmt")
        self.lab.run("start")
        self.assertEqual(self.lab.api("GET", "/api/v1/config").status, 200)

    def test_2_each_role_may_what_it_may_and_its_name_stands_in_the_revision(self):
        viewer, operator = self.somebody("vera", "VIEWER"), self.somebody("otto", "OPERATOR")
        for token, reads, writes, governs in ((viewer, 200, 403, 403), (operator, 200, 200, 403), (self.lab.token, 200, 200, 200)):
            self.assertEqual(self.lab.api("GET", "/api/v1/ledger", token=token).status, reads)
            self.assertEqual(self.lab.api("PATCH", "/api/v1/system?comment=role", {"contact": token[:8]}, token=token).status, writes)
            self.assertEqual(self.lab.api("GET", "/api/v1/users", token=token).status, governs)
        self.assertEqual([r["author"] for r in self.lab.get("/api/v1/revisions?limit=2")], ["admin", "otto"])
        refused = self.lab.api("PATCH", "/api/v1/system", {"contact": "x"}, token=viewer).json()
        self.assertEqual((refused["code"], refused["detail"]), ("FORBIDDEN", "needs the role OPERATOR; vera is here as VIEWER"))
        # Explaining changes nothing: whoever looks may ask why.
        self.assertEqual(self.lab.api("POST", "/api/v1/explain", {"port": "in1", "packet": "02" * 60}, token=viewer).status, 200)
        self.assertEqual(self.lab.api("PATCH", "/api/v1/users/vera", {"role": "OPERATOR"}).status, 200)
        self.assertEqual(self.lab.api("PATCH", "/api/v1/system", {"contact": "x"}, token=viewer).status, 403)  # the token's own role stays

    def test_2_a_tools_token_reports_the_health_of_its_port_and_does_nothing_else_and_outlives_its_makers_password(self):
        maker, viewer = self.somebody("tom", "OPERATOR"), self.somebody("tess", "VIEWER")
        made = self.lab.api("POST", "/api/v1/tokens", {"port": "tool1", "comment": "ids"}, token=maker)
        self.assertEqual(made.status, 201, made.body)
        self.assertEqual(made.json()["port"], "tool1")
        tool = made.json()["token"]

        def report(port, body, token=tool, method="PUT"):
            return self.lab.api(method, f"/api/v1/ports/{port}/health", body, token=token)

        def health(port):
            return next(p for p in self.lab.get("/api/v1/status")["ports"] if p["name"] == port).get("health")

        self.assertEqual(report("tool1", {"state": "DOWN", "reason": "disk full", "milliseconds": 60000}).status, 204)
        told = health("tool1")
        self.assertEqual((told["state"], told["reason"], told["milliseconds"]), ("DOWN", "disk full", 60000))
        for port in ("tool2", "in1", "nowhere"):
            self.assertEqual(report(port, {"state": "UP"}).status, 403, port)
        for method, path, body in (("GET", "/api/v1/status", None), ("GET", "/api/v1/me", None), ("POST", "/api/v1/logout", None), ("GET", "/api/v1/events", None),
                                   ("PATCH", "/api/v1/ports/tool1", {"comment": "x"}), ("POST", "/api/v1/tokens", {"role": "VIEWER"}),
                                   ("PUT", "/api/v1/me/password", {"old_password": "a", "new_password": "b"})):
            refused = self.lab.api(method, path, body, token=tool)
            self.assertEqual((refused.status, refused.json()["detail"]), (403, "this is a tool's token: it reports the health of its port, and does nothing else"), path)
        # Who may not move traffic makes no such token; an operator reports without one.
        self.assertEqual(self.lab.api("POST", "/api/v1/tokens", {"port": "tool1"}, token=viewer).status, 403)
        self.assertEqual(report("tool2", {"state": "UP"}, token=viewer).status, 403)
        self.assertEqual(report("tool2", {"state": "UP"}, token=maker).status, 204)
        self.assertEqual(health("tool2")["state"], "UP")
        self.assertEqual(report("in1", {"state": "UP"}, token=maker).status, 409)
        self.assertEqual(report("nowhere", {"state": "UP"}, token=maker).status, 404)
        for body, field in (({"port": "tool1", "role": "VIEWER"}, "role"), ({"port": "nowhere"}, "port"), ({"port": "in1"}, "port"), ({}, "role")):
            self.assertEqual(self.lab.api("POST", "/api/v1/tokens", body, token=maker).json()["errors"][0]["field"], field, body)
        for body, field in (({}, "state"), ({"state": "UP", "milliseconds": 99}, "milliseconds"), ({"state": "UP", "milliseconds": 60001}, "milliseconds"),
                            ({"state": "DOWN", "reason": "x" * 256}, "reason")):
            self.assertEqual(report("tool1", body).json()["errors"][0]["field"], field, body)
        self.assertEqual(report("tool1", {"state": "DOWN", "reason": "disk\nfull"}).json()["errors"][0]["field"], "reason")
        # Who says the port's id in its path is not disturbed by a new name.
        port_id = next(p["id"] for p in self.lab.get("/api/v1/ports") if p["name"] == "tool1")
        self.assertEqual(self.lab.api("POST", "/api/v1/ports/tool1:rename", {"name": "ids"}).status, 200)
        self.assertEqual((report("ids", {"state": "UP"}).status, report(port_id, {"state": "UP"}).status, report("tool1", {"state": "UP"}).status), (204, 204, 403))
        self.assertEqual({t["port"] for t in self.lab.api("GET", "/api/v1/tokens", token=maker).json() if t["comment"] == "ids"}, {"ids"})
        self.assertEqual(self.lab.api("POST", "/api/v1/ports/ids:rename", {"name": "tool1"}).status, 200)
        changed = self.lab.api("PUT", "/api/v1/me/password", {"old_password": "a password of his own", "new_password": "quite another password"}, token=maker)
        self.assertEqual(changed.status, 204, changed.body)
        self.assertEqual(report("tool1", {"state": "UP"}).status, 204)
        for role, status in (("VIEWER", 403), ("OPERATOR", 204)):
            self.assertEqual(self.lab.api("PATCH", "/api/v1/users/tom", {"role": role}).status, 200)
            self.assertEqual(report("tool1", {"state": "UP"}).status, status)
        self.assertEqual(report("tool1", None, method="DELETE").status, 204)
        self.assertIsNone(health("tool1"))
        # What an admin does when something was stolen ends all of it.
        self.assertEqual(self.lab.api("PATCH", "/api/v1/users/tom", {"password": "a first password"}).status, 200)
        self.assertEqual(report("tool1", {"state": "UP"}).status, 401)

    def test_3_logout_ends_the_token_it_comes_with_and_a_revoked_one_is_worth_nothing(self):
        token = self.somebody("lena", "OPERATOR")
        made = self.lab.api("POST", "/api/v1/tokens", {"role": "VIEWER", "comment": "ci"}, token=token).json()
        self.assertEqual(self.lab.api("GET", "/api/v1/status", token=made["token"]).status, 200)
        listed = self.lab.api("GET", "/api/v1/tokens", token=token).json()
        self.assertEqual({(t["user"], t["kind"], t["comment"]) for t in listed}, {("lena", "LOGIN", ""), ("lena", "TOKEN", "ci")})
        self.assertNotIn(made["token"], json.dumps(listed))
        self.assertEqual(self.lab.api("DELETE", f"/api/v1/tokens/{made['id']}", token=token).status, 204)
        self.assertEqual(self.lab.api("GET", "/api/v1/status", token=made["token"]).status, 401)
        self.assertEqual(self.lab.api("POST", "/api/v1/logout", token=token).status, 204)
        self.assertEqual(self.lab.api("GET", "/api/v1/me", token=token).status, 401)

    def test_4_a_browsers_cookie_is_out_of_reach_of_scripts_and_of_other_sites(self):
        self.somebody("carl", "OPERATOR")
        host = urllib.parse.urlsplit(self.lab.url).netloc
        headers = {"Origin": f"https://{host}"}
        body = {"user": "carl", "password": "a password of his own", "cookie": True}
        answer = self.lab.api("POST", "/api/v1/login", body, token="", headers=headers)
        self.assertEqual((answer.status, answer.json()["token"]), (200, ""))
        cookie, *attributes = answer.headers["Set-Cookie"].split("; ")
        self.assertTrue(cookie.startswith("__Host-sluice="))
        self.assertEqual(set(attributes), {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"})

        def ask(method, path, **headers):
            return self.lab.api(method, path, {"contact": "carl"} if method == "PATCH" else None, token="", headers={"Cookie": cookie, **headers}).status

        self.assertEqual(ask("GET", "/api/v1/me"), 200)
        self.assertEqual(ask("PATCH", "/api/v1/system", Origin=f"https://{host}"), 200)
        for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": f"http://{host}"}):
            self.assertEqual(ask("PATCH", "/api/v1/system", **origin), 403)
        self.assertEqual(self.lab.api("POST", "/api/v1/login", body, token="", headers={"Origin": "https://evil.example"}).status, 403)
        self.assertEqual(ask("POST", "/api/v1/logout", Origin=f"https://{host}"), 204)
        self.assertEqual(ask("GET", "/api/v1/me"), 401)

    def test_5_who_guesses_waits_and_is_told_how_long(self):
        self.somebody("gus", "VIEWER")
        answers = {user: [self.login(user, "wrong") for _ in range(6)] for user in ("gus", "no-such-user")}
        for user, tries in answers.items():
            self.assertIn(429, [a.status for a in tries])
            self.assertEqual([a.status for a in tries[:3]], [401] * 3)
            self.assertGreaterEqual(int(next(a for a in tries if a.status == 429).headers["Retry-After"]), 1)
        self.assertEqual(*({(a.status, a.json()["title"]) for a in tries} for tries in answers.values()))
        self.assertEqual(answers["gus"][0].body, answers["no-such-user"][0].body)

    def test_6_the_local_socket_is_roots(self):
        path = pathlib.Path(self.lab.state, "lab/mgmt/api.sock")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        done = self.lab.local("GET", "/api/v1/me")
        self.assertEqual((done["user"], done["role"]), ("root", "ADMIN"))
        token = self.lab.local("POST", "/api/v1/login", {})["token"]
        self.assertEqual(self.lab.api("GET", "/api/v1/me", token=token).json()["user"], "admin")

    def test_7_secrets_are_nowhere_on_disk(self):
        token = self.somebody("dora", "VIEWER").encode()
        for path in pathlib.Path(self.lab.state, "lab/mgmt").iterdir():
            if path.is_file():
                data = path.read_bytes()
                for secret in (token, self.lab.token.encode(), b"a password of his own", b"correct horse battery"):
                    self.assertNotIn(secret, data, path.name)
        self.assertEqual(self.lab.api("DELETE", "/api/v1/users/admin").status, 409)
        # Users are no part of the configuration: neither export nor rollback has them.
        self.assertNotIn("dora", self.lab.api("GET", "/api/v1/config").body)
        newest = self.lab.get("/api/v1/revisions?limit=1")[0]["number"]
        self.assertEqual(self.lab.api("POST", f"/api/v1/revisions/{newest - 1}:rollback").status, 200)
        self.assertEqual(self.lab.api("GET", "/api/v1/users/dora").status, 200)


if __name__ == "__main__":
    unittest.main()
