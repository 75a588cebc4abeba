"""The OpenAPI document against what it describes: the model's own text, the routes, and a walk with good, borderline and hostile values."""
import http.client
import itertools
import json
import os
import pathlib
import random
import re
import sqlite3
import ssl
import string
import sys
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from description import Described  # noqa: E402
from harness import TIER, TOP, Answer, wait_until  # noqa: E402

REQUESTS = 100_000 if TIER == "long" else 5_000
SEED = int(os.environ.get("SLUICE_SEED", "20261125"))

COLLECTIONS = ["ports", "port_groups", "tap_pairs", "tool_groups", "maps", "filters", "operation_profiles", "tunnels", "dedup_domains", "address_sets",
               "schedules", "tenants", "grants"]
ROUTES = {"/config": "GET PUT", "/config:restore": "POST", "/system": "GET PUT PATCH", "/status": "GET", "/devices": "GET", "/ledger": "GET", "/explain": "POST", "/login": "POST",
          "/openapi.json": "GET", "/events": "GET",
          "/drafts": "GET POST", "/drafts/{id}": "GET DELETE", "/drafts/{id}:commit": "POST", "/drafts/{id}:rebase": "POST",
          "/ports/{name}:identify": "POST", "/devices/{device}:identify": "POST",
          "/logout": "POST", "/me": "GET", "/me/password": "PUT", "/users": "GET POST", "/users/{name}": "GET PATCH DELETE", "/tokens": "GET POST",
          "/tokens/{id}": "DELETE",
          "/revisions": "GET", "/revisions/{number}": "GET", "/revisions/{number}/config": "GET", "/revisions/{number}/diff": "GET",
          "/revisions/{number}/label": "PUT", "/revisions/{number}:rollback": "POST", "/revisions/{number}:revert": "POST",
          "/revisions/{number}:confirm": "POST",
          "/maps/{name}/rules": "GET POST", "/maps/{name}/rules/{id}": "GET PUT PATCH DELETE", "/maps/{name}/rules/{id}:move": "POST",
          "/maps/{name}/measure": "POST", "/dedup/advise": "POST", "/tool_groups/{name}:drill": "POST", "/ports/{name}/health": "PUT DELETE",
          "/address_sets/{name}/entries": "GET POST", "/address_sets/{name}/entries:remove": "POST",
          **{f"/{c}": "GET POST" for c in COLLECTIONS}, **{f"/{c}/{{name}}": "GET PUT PATCH DELETE" for c in COLLECTIONS},
          **{f"/{c}/{{name}}:rename": "POST" for c in COLLECTIONS}}


def proto_messages():
    """{message: {field: (type, repeated, {limit: value})}}, read from the model's text."""
    out = {}
    for path in sorted((TOP / "proto/sluice/v1").glob("*.proto")):
        text = re.sub(r"//[^\n]*", "", path.read_text())
        for found in re.finditer(r"^message (\w+) \{", text, re.M):
            end, depth = found.end(), 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            name, body, fields = found[1], text[found.end():end - 1], {}
            for repeated, kind, field, options in re.findall(r"(repeated |optional )?(map<[^>]*>|[\w.]+) (\w+) = \d+\s*(?:\[\(limits\) = \{([^}]*)\}\])?;", body):
                limits = dict(re.findall(r'(\w+): ("[^"]*"|[\w-]+)', options))
                fields[field] = (kind, repeated.strip() == "repeated", {k: json.loads(v) for k, v in limits.items()})
            out[name] = fields
    return out


class Document(Described):
    def test_every_route_is_in_it_and_no_other(self):
        described = {path.removeprefix("/api/v1"): set(methods) for path, methods in self.document["paths"].items()}
        self.assertEqual(described, {path: set(methods.lower().split()) for path, methods in ROUTES.items()})
        # And each is there: without a token, what exists and is closed says 401, and what does not exist says 404.
        for path, methods in ROUTES.items():
            for method in methods.split():
                answer = self.lab.api(method, "/api/v1" + re.sub(r"\{\w+\}", "1", path), "{}" if method in ("POST", "PUT", "PATCH") else None, token="")
                self.assertEqual(answer.status, {"/login": 401, "/openapi.json": 200}.get(path, 401), f"{method} {path}")

    def test_every_field_and_every_limit_of_the_model_is_in_it(self):
        schemas, seen = self.document["components"]["schemas"], 0
        messages = proto_messages()
        for name, schema in schemas.items():
            if name == "Problem":
                continue
            self.assertEqual(set(schema["properties"]), set(messages[name]), name)
            for field, (kind, repeated, limits) in messages[name].items():
                described = schema["properties"][field]
                where = f"{name}.{field}"
                if kind.startswith("map<"):
                    self.assertEqual(described["maxProperties"], limits["max_items"], where)
                    self.assertEqual(described["additionalProperties"]["maxLength"], limits["max_length"], where)
                    continue
                value = described["items"] if repeated else described
                self.assertEqual(described.get("maxItems"), limits.get("max_items"), where)
                if "max" in limits:
                    self.assertEqual(value["maximum"], limits["max"], where)
                if kind in ("uint32", "uint64"):
                    self.assertEqual(value["minimum"], limits.get("min", 0), where)
                if kind == "string" and not limits.get("raw_json"):
                    self.assertEqual((value["type"], value.get("maxLength"), value.get("x-format"), value.get("x-refers-to")),
                                     ("string", limits.get("max_length"), limits.get("format"), limits.get("refers_to")), where)
                if "default_value" in limits:
                    default = described["default"]
                    text = ",".join(default) if isinstance(default, list) else str(default)
                    self.assertEqual(text.lower(), limits["default_value"].lower(), where)
                if limits.get("required") and "additionalProperties" in schema and field != "name":
                    self.assertIn(field, schema["required"], where)
                seen += len(limits)
        self.assertGreater(seen, 250)

    def test_the_judge_of_answers_notices_what_is_not_promised(self):
        judge = self.judge
        port = self.lab.api("GET", "/api/v1/ports/in1")
        judge.check("GET", "/api/v1/ports/in1", port)
        for spoiled in ({**port.json(), "surprise": 1}, {**port.json(), "mtu": 9217}, {**port.json(), "role": "BOTH"}, [port.json()]):
            with self.assertRaisesRegex(AssertionError, "not as described"):
                judge.check("GET", "/api/v1/ports/in1", Answer(200, port.headers, json.dumps(spoiled)))
        with self.assertRaisesRegex(AssertionError, "does not promise"):
            judge.check("GET", "/api/v1/ports/in1", Answer(500, port.headers, "{}"))
        problem = self.lab.api("GET", "/api/v1/ports/nowhere")
        with self.assertRaisesRegex(AssertionError, "detail"):
            judge.check("GET", "/api/v1/ports/nowhere", Answer(404, problem.headers, json.dumps({**problem.json(), "detail": 5})))


class Hostile:
    """Values that a peer without manners sends."""

    def __init__(self, rng):
        self.rng = rng

    def text(self):
        return self.rng.choice(["", " ", "\x00", "\n", "../../etc/passwd", "'; DROP TABLE resource; --", "<script>", "%s%n", "\u202e", "\U0001f6b0" * 9, "a" * 70,
                                "a" * 5000, "10.0.0.0/33", "::/129", "00:00", "-1", "null", "untagged", "4096", "1-", "5-1", "in1", "tool1",
                                "".join(self.rng.choices(string.printable, k=self.rng.randrange(40)))])

    def value(self):
        return self.rng.choice([None, True, -1, 0, 1.5, 2**31, 2**32, 2**63, 2**64, 1e300, self.text(), [], {}, [[]], [None], {"a": {"b": [1]}}, [self.text()] * 3])

    def spoil(self, body):
        """One place of a body made wrong."""
        places = []

        def walk(node):
            if isinstance(node, dict):
                places.extend((node, key) for key in node)
                for child in node.values():
                    walk(child)
            elif isinstance(node, list):
                places.extend((node, i) for i in range(len(node)))
                for child in node:
                    walk(child)
        walk(body)
        kind = self.rng.random()
        if kind < 0.1 or not places:
            return self.value()
        node, key = self.rng.choice(places)
        if kind < 0.25 and isinstance(node, dict):
            node[self.text()] = self.value()
        elif kind < 0.35:
            del node[key]
        else:
            node[key] = self.value()
        return body


class Walk(Described):
    """Every operation, over and over."""

    def setUp(self):
        print(f"seed {SEED}", flush=True)
        self.rng = random.Random(SEED)
        self.hostile = Hostile(self.rng)
        self.connection = None
        self.addCleanup(lambda: self.connection and self.connection.close())

    def send(self, method, target, body, headers=None):
        """By a connection that stays, or is anew if the server has closed it."""
        for attempt in (1, 2):
            if not self.connection:
                url = urllib.parse.urlsplit(self.lab.url)
                self.connection = http.client.HTTPSConnection(url.hostname, url.port, context=self.lab.context, timeout=60)
            try:
                self.connection.request(method, target, body, {"Authorization": "Bearer " + self.lab.token, **(headers or {})})
                reply = self.connection.getresponse()
                return Answer(reply.status, reply.headers, reply.read().decode())
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLError):
                self.connection.close()
                self.connection = None
                if attempt == 2 and len(body or b"") > 4096:
                    return None  # refused for its size while it was being sent (413): a stranger's body ends at 4 KiB
                if attempt == 2:
                    raise
        return None

    # ---- Good requests ----

    def names(self, collection):
        return [r["name"] for r in self.send("GET", f"/api/v1/{collection}", None).json() if not r["name"].startswith(("in", "tool", "uplink"))]

    def good_resource(self, collection, name):
        """A body that this version takes, for a resource that has no effect on traffic or little."""
        rng = self.rng
        common = {"name": name, "comment": rng.choice(["", "x" * 1024, "seen"]), "labels": rng.choice([{}, {"rack": "4"}]), "owner": rng.choice(["", "ann"])}
        match = rng.choice([{}, {"ip": {"src": ["10.0.0.0/8", "2001:db8::/32"]}}, {"l4": {"port": ["0", "65535", "80-443"]}}, {"vlan": {"id": ["0", "4095"]}},
                            {"ip": {"version": 6, "protocol": ["tcp", "255"]}}, {"not": ["ip.ttl"], "layer": "INNER", "ip": {"ttl": ["0-64"], "fragment": ["LATER"]}},
                            {"ethernet": {"src": ["02:00:00:00:00:00/ff:ff:ff:00:00:00"]}, "l4": {"tcp_flags": ["syn,!ack"]}, "present": [{"header": "MPLS"}]},
                            {"bytes": [{"anchor": "PAYLOAD", "offset": 9216, "value": "AAEC", "mask": "//8A"}], "tunnel": {"vni": ["0-16777215"]}},
                            {"bidirectional": True, "ip": {"endpoint": {"addr": ["::/0"], "port": ["53"]}}}, *({"ip": {"addr_set": s}} for s in self.names("address_sets")[:1])])
        special = {
            "ports": {"role": rng.choice(["NETWORK", "TOOL"]), "mtu": rng.choice([1280, 1500, 9216])},
            "port_groups": {"ports": rng.choice([["in1"], ["in1", "in2"]])},
            "tap_pairs": {"a": "in1", "b": "in2"},
            "tool_groups": {"members": rng.choice([[{"port": "tool1"}], [{"port": "tool2", "weight": 100}, {"port": "tool3", "weight": 1}]])},
            "maps": {"sources": {"ports": ["in1"]}, "destinations": [{"port": "tool1"}], "rules": [{"match": match, "action": rng.choice(["PASS", "DROP"])}]},
            "filters": {"matches": [match, {"ethernet": {"ethertype": ["0x0806"]}}]},
            "operation_profiles": {"operations": rng.choice([{}, {"slice": {"length": 14}}, {"slice": {"length": 9216}, "sample": {"one_in": 1}}])},
            "address_sets": {"entries": rng.choice([[], ["10.0.0.0/8"], ["0.0.0.0/0", "::/0", "192.0.2.1"]])},
            "schedules": {"windows": [{"days": ["MON"], "from": "00:00", "to": "24:00"}], "timezone": "Europe/Berlin"},
            "tunnels": {"port": "uplink", "kind": rng.choice(["GRE", "VXLAN"]), "remote": rng.choice(["192.0.2.1", "2001:db8::1"])},
            "dedup_domains": {"window": rng.choice([10, 1000000])}, "tenants": {}, "grants": {"user": "ann", "tenant": rng.choice(self.names("tenants") or ["first"]), "role": "VIEWER"},
        }
        return {**common, **special[collection]}

    def good(self, method, pattern):
        """(path, body) that should succeed; nothing where this version has nothing to give."""
        rest = pattern.removeprefix("/api/v1/")
        collection = re.split(r"[/:]", rest)[0]
        new = f"w{self.rng.randrange(10**9)}"
        if rest.endswith(":identify"):
            return pattern.replace("{name}", "in1").replace("{device}", self.device), {"seconds": 1}, True
        if rest.endswith("/measure"):
            measurable = [m["name"] for m in self.send("GET", "/api/v1/maps", None).json() if m["kind"] != "COLLECTOR" and m["enabled"]]
            return (pattern.replace("{name}", self.rng.choice(measurable)), {"milliseconds": 10}, True) if measurable else (None, None, False)
        if rest == "dedup/advise":
            return pattern, {"milliseconds": 10}, True
        if rest.endswith(":drill"):
            groups = self.send("GET", "/api/v1/status", None).json().get("tool_groups", [])
            able = [(g["name"], m["port"]) for g in groups for m in g["members"] if m["buckets"]]
            name, member = self.rng.choice(able) if able else (None, None)
            return (pattern.replace("{name}", name), {"member": member, "milliseconds": 10}, True) if able else (None, None, False)
        if rest.endswith("/health"):
            return pattern.replace("{name}", "tool1"), {"state": "UP", "milliseconds": 60000} if method == "PUT" else None, True
        if collection in COLLECTIONS and "/rules" not in rest and "/entries" not in rest:
            body = self.good_resource(collection, new)
            if rest == collection:
                return pattern, body if method == "POST" else None, True
            existing = self.names(collection)
            if not existing or (method == "PUT" and self.rng.random() < 0.3 and len(existing) < 8):
                return (pattern.replace("{name}", new), body, True) if method == "PUT" else (None, None, False)
            name = self.rng.choice(existing)
            path = pattern.replace("{name}", name)
            if method == "PUT":
                body["name"] = name
                return path, body, True
            return path, {"PATCH": {"comment": new}, "POST": {"name": new}}.get(method), True
        if "/rules" in rest:
            maps = self.names("maps")
            if not maps:
                return None, None, False
            path = pattern.replace("{name}", self.rng.choice(maps))
            if "{id}" in path:
                rules = self.send("GET", path.split("/{id}")[0], None).json()
                if not rules:
                    return None, None, False
                path = path.replace("{id}", self.rng.choice(rules)["id"])
            rule = {"match": {"l4": {"port": [str(self.rng.randrange(65536))]}}, "action": "DROP"}
            return path, {"index": 0} if path.endswith(":move") else {"comment": new} if method == "PATCH" else rule if method in ("POST", "PUT") else None, True
        if "/entries" in rest:
            sets = self.names("address_sets")
            if not sets:
                return None, None, False
            path = pattern.replace("{name}", self.rng.choice(sets))
            if path.endswith(":remove"):
                there = self.send("GET", path.removesuffix(":remove"), None).json()
                return (path, {"entries": there[:1]}, True) if there else (None, None, False)
            return path, {"entries": [f"10.{self.rng.randrange(256)}.{self.rng.randrange(256)}.0/24"]} if method == "POST" else None, True
        if collection == "revisions":
            newest = self.send("GET", "/api/v1/revisions?limit=2", None).json()
            number = newest[-1 if rest.endswith("rollback") else 0]["number"]
            if rest.endswith(":confirm"):
                answer = self.send("PATCH", "/api/v1/system?confirm_timeout=86400", json.dumps({"contact": new}))
                # One waits at a time: one that a request without manners left is confirmed instead.
                number = answer.headers["Sluice-Revision"] or re.search(r"revision (\d+)", answer.body)[1]
            return pattern.replace("{number}", str(number)), {"label": ""} if rest.endswith("label") else None, True
        if collection == "users":
            there = [u["name"] for u in self.send("GET", "/api/v1/users", None).json() if u["name"] != "admin"]
            if "{name}" in pattern and not there:
                return None, None, False
            path = pattern.replace("{name}", self.rng.choice(there)) if there else pattern
            return path, {"POST": {"name": new, "role": "VIEWER", "password": "first-password"}, "PATCH": {"role": "OPERATOR"}}.get(method), True
        if collection == "drafts":
            there = [d["id"] for d in self.send("GET", "/api/v1/drafts", None).json()]
            if "{id}" in pattern and not there:
                return None, None, False
            return pattern.replace("{id}", self.rng.choice(there)) if there else pattern, {"comment": new} if rest == "drafts" and method == "POST" else None, True
        if collection == "tokens":
            there = [t["id"] for t in self.send("GET", "/api/v1/tokens", None).json() if t["kind"] == "TOKEN"]
            if "{id}" in pattern and not there:
                return None, None, False
            path = pattern.replace("{id}", self.rng.choice(there)) if there else pattern
            return path, {"role": "VIEWER"} if method == "POST" else None, True
        body = {"config": None, "system": {"name": new}, "explain": {"port": "in1", "packet": "02" * 60}, "logout": None,
                "me": {"old_password": "first-password", "new_password": new + "-password"},
                "login": {"password": pathlib.Path(self.lab.state, "lab/mgmt/first-login").read_text().strip()}}.get(collection)
        if rest == "config:restore":
            body = {"config": self.send("GET", "/api/v1/config", None).json()}
        if collection == "config" and method == "PUT":
            body = self.send("GET", "/api/v1/config", None).json()
        return pattern, body if method != "GET" else None, True

    def request(self, operation):
        method, pattern, _, description = operation
        path, body, possible = self.good(method, pattern)
        if not possible:
            path, body = re.sub(r"\{\w+\}", "1", pattern), {}
        parameters = {p["name"]: p["schema"] for p in description.get("parameters", []) if p["in"] == "query"}
        query, headers = {}, {}
        if parameters and self.rng.random() < 0.3:
            name = self.rng.choice(list(parameters))
            limits = parameters[name]
            query[name] = {"boolean": "true", "integer": str(limits.get("minimum", 0)), "string": "x"}[limits["type"]]
            if name == "draft":
                drafts = self.send("GET", "/api/v1/drafts", None).json()
                query[name] = drafts[0]["id"] if drafts else ""
            if name in ("cursor", "confirm_timeout", "index"):
                query.pop(name)
        text = json.dumps(body) if body is not None else None
        if pattern.endswith(("/logout", "/me/password")):  # of somebody else: the walk goes on
            headers["Authorization"] = "Bearer " + self.somebody()
        if self.rng.random() < (0.5 if not pattern.endswith(("/login", "/me/password")) else 0.2) or not possible:  # without manners
            kind = self.rng.random()
            if kind < 0.5 and body is not None:
                text = json.dumps(self.hostile.spoil(body))
            elif kind < 0.6 and text:
                text = self.rng.choice([text[:-1], text + "x", "[" * 1000, "\x00", "", '{"a":1,"a":2}', text.replace(":", ",", 1)])
            elif kind < 0.75:
                path = re.sub(r"\{\w+\}", lambda _: urllib.parse.quote(self.hostile.text(), safe="") or "x", pattern)
            elif kind < 0.9:
                query[urllib.parse.quote(self.hostile.text())] = urllib.parse.quote(self.hostile.text())
                if parameters:
                    query[self.rng.choice(list(parameters))] = urllib.parse.quote(self.hostile.text())
            else:
                headers["If-Match"] = self.rng.choice(['"1"', "*", '""', "W/\"x\"", "x" * 300])
        target = path + ("?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else "")
        return method, target, text.encode() if text is not None else None, headers

    def somebody(self):
        """The token of a user with his first password."""
        name = f"u{self.rng.randrange(10**9)}"
        made = self.send("POST", "/api/v1/users", json.dumps({"name": name, "role": "VIEWER", "password": "first-password"}))
        self.assertEqual(made.status, 201, made.body)
        return self.send("POST", "/api/v1/login", json.dumps({"user": name, "password": "first-password"})).json().get("token", "none")

    def memory(self, pid):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])

    def pids(self):
        folder = pathlib.Path(self.lab.state, "lab")
        return {path.stem: int(path.read_text()) for path in sorted(folder.rglob("*.pid")) if path.stem.startswith("sluice")}

    def test_good_borderline_and_hostile_requests_get_what_the_document_promises_and_break_nothing(self):
        before = self.pids()
        self.assertEqual(set(before), {"sluiced", "sluice-mgmt"})
        self.lab.api("POST", "/api/v1/ports", {"name": "uplink", "role": "HYBRID"})
        for collection in COLLECTIONS:
            answer = self.send("POST", f"/api/v1/{collection}", json.dumps(self.good_resource(collection, "first")))
            self.assertEqual(answer.status, 201, answer.body)
        succeeded, tried, memory = {}, {}, None
        self.device = self.lab.get("/api/v1/ports/in1")["device"]
        begin = json.dumps({"config": self.lab.get("/api/v1/config")})
        operations = [o for o in self.judge.operations if o[1] != "/api/v1/events"]  # never ends: see test_events.py
        for i in itertools.count():
            if sum(tried.values()) == REQUESTS:
                break
            if i % 1000 == 999:  # what the requests without manners took away, the polite ones need
                again = self.send("POST", "/api/v1/config:restore", begin)
                self.assertEqual(again.status, 200, again.body)
            operation = operations[i % len(operations)] if i < 10 * len(operations) else self.rng.choice(operations)
            if operation[1].endswith(("/login", "/logout", "/me/password")) and succeeded.get(f"{operation[0]} {operation[1]}") and self.rng.random() < 0.9:
                continue  # slow on purpose
            method, target, body, headers = self.request(operation)
            answer = self.send(method, target, body, headers)
            if answer is None:
                continue
            self.judge.check(method, target, answer)
            self.assertLess(answer.status, 500, f"{method} {target} {body}: {answer.body}")
            key = f"{operation[0]} {operation[1]}"
            tried[key] = tried.get(key, 0) + 1
            succeeded[key] = succeeded.get(key, 0) + (answer.status < 300)
            if memory is None and sum(tried.values()) == REQUESTS // 4:
                memory = {name: self.memory(pid) for name, pid in before.items()}
        # A veth has no light to blink with: the appliance of the image suite has a card that has.
        self.assertEqual([key for key in tried if not succeeded[key] and not key.endswith(":identify")], [])
        share = sum(succeeded.values()) / sum(tried.values())
        print(f"{sum(tried.values())} requests, {100 * share:.0f} % of them succeeded", flush=True)
        self.assertGreater(share, 0.3)
        self.assertEqual(self.pids(), before)
        for name, pid in before.items():
            # Kilobytes. The corpora of answers and names vary a little; a leak of a body per request would be a hundred times this.
            self.assertLess(self.memory(pid) - memory[name], 32768, f"{name} has grown from {memory[name]} kB")
        self.assertEqual(int(self.lab.settled()["unaccounted"]), 0)
        self.consistent()

    def consistent(self):
        """What is stored is whole: SQLite says so, and both daemons take it up again as it was."""
        config = self.lab.get("/api/v1/config")
        newest = self.lab.get("/api/v1/revisions?limit=1")[0]["number"]
        for daemon in ("sluiced", "sluice-mgmt"):
            self.lab.run("kill", daemon)
        database = sqlite3.connect(pathlib.Path(self.lab.state, "lab/mgmt/sluice.sqlite"))
        self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        self.assertEqual(database.execute("PRAGMA foreign_key_check").fetchall(), [])
        database.close()
        self.lab.run("start")
        self.assertEqual(self.lab.get("/api/v1/config"), config)
        wait_until("the revision", lambda: self.lab.api("GET", "/api/v1/status").status == 200 and self.lab.get("/api/v1/status")["revision"] == newest)
        wait_until("a status without a fault", lambda: self.lab.get("/api/v1/status")["reasons"] == [])


if __name__ == "__main__":
    unittest.main()
