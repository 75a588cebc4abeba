"""The life of a change over REST: what it did, how it is gone back, what nobody confirmed; resources piece by piece."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from description import Described  # noqa: E402
from harness import finish, start_generator, wait_until  # noqa: E402
import harness  # noqa: E402

DNS = {"match": {"l4": {"port": ["53"]}}, "action": "PASS"}
MAP = {"name": "m", "sources": {"ports": ["in1"]}, "destinations": [{"port": "tool1"}], "rules": [{"match": {}, "action": "PASS"}]}


class Revisions(Described):
    def setUp(self):
        self.lab.configure([MAP])

    def post(self, path, body=None, status=200):
        answer = self.lab.api("POST", path, body if body is not None else "")
        self.assertEqual(answer.status, status, answer.body)
        return answer.json()

    def newest(self):
        return self.lab.get("/api/v1/revisions?limit=1")[0]["number"]

    def runs(self, revision):
        wait_until(f"revision {revision} in the data plane", lambda: self.lab.get("/api/v1/status")["revision"] == revision)

    def test_a_revision_tells_its_author_its_comment_and_what_it_changed_as_data_and_in_words(self):
        self.lab.put("/api/v1/maps/m?comment=for%20the%20SOC", {**MAP, "comment": "seen by the SOC"})
        n = self.newest()
        revision = self.lab.get(f"/api/v1/revisions/{n}")
        self.assertEqual((revision["author"], revision["comment"]), ("admin", "for the SOC"))
        difference = self.lab.get(f"/api/v1/revisions/{n}/diff")
        self.assertEqual(difference["words"], ['map m: comment: "" became "seen by the SOC"'])
        change, = difference["changes"]
        self.assertEqual((change["action"], change["collection"], change["name"]), ("CHANGED", "maps", "m"))
        self.assertEqual(change["fields"], [{"path": "comment", "before": "", "after": "seen by the SOC"}])

    def test_a_rollback_and_a_revert_reach_the_data_plane_and_are_revisions_of_their_own(self):
        before = self.lab.get("/api/v1/config")
        n = self.newest()
        self.lab.put("/api/v1/maps/second", {**MAP, "name": "second"})
        self.lab.put("/api/v1/maps/m", {**MAP, "comment": "later"})
        report = self.post(f"/api/v1/revisions/{n + 1}:revert")
        self.assertEqual(report["words"], ["map second removed"])
        self.assertEqual([m["comment"] for m in self.lab.get("/api/v1/maps")], ["later"])
        dry = self.post(f"/api/v1/revisions/{n}:rollback?dry_run=true")
        self.assertEqual((dry["dry_run"], dry["changed"], self.newest()), (True, True, n + 3))
        report = self.post(f"/api/v1/revisions/{n}:rollback")
        self.assertEqual(report["revision"], n + 4)
        self.assertEqual(self.lab.get("/api/v1/config"), before)
        self.assertEqual(self.lab.get(f"/api/v1/revisions/{n}/config"), before)
        self.runs(n + 4)

    def test_a_revert_that_would_undo_somebody_elses_work_is_refused_by_its_name(self):
        self.lab.put("/api/v1/maps/m", {**MAP, "comment": "one"})
        n = self.newest()
        self.lab.put("/api/v1/maps/m", {**MAP, "comment": "two"})
        answer = self.lab.api("POST", f"/api/v1/revisions/{n}:revert", "")
        self.assertEqual(answer.status, 409)
        self.assertIn("maps/m", answer.json()["detail"])
        self.assertEqual(self.lab.get("/api/v1/maps/m")["comment"], "two")

    def test_what_nobody_confirms_is_undone_and_forwarding_is_as_before(self):
        before = self.lab.get("/api/v1/config")
        answer = self.lab.api("PUT", "/api/v1/maps/m?confirm_timeout=1", {**MAP, "destinations": [{"port": "tool2"}]})
        n = int(answer.headers["Sluice-Revision"])
        # Nobody who has not logged in confirms, whatever he hits.
        self.assertEqual(self.lab.api("POST", f"/api/v1/revisions/{n}:confirm", "", token="").status, 401)
        self.lab.api("GET", "/", token="")
        wait_until("the undoing", lambda: self.lab.get(f"/api/v1/revisions/{n}")["confirmation"]["state"] == "UNDONE")
        self.assertEqual(self.lab.get("/api/v1/config"), before)
        self.assertEqual(self.lab.get(f"/api/v1/revisions/{n + 1}")["author"], "sluice")
        self.runs(n + 1)

    def test_what_is_confirmed_stays_and_nothing_else_can_be_confirmed(self):
        answer = self.lab.api("PUT", "/api/v1/maps/m?confirm_timeout=3600", {**MAP, "comment": "sure"})
        n = int(answer.headers["Sluice-Revision"])
        self.assertEqual(self.post(f"/api/v1/revisions/{n}:confirm")["confirmation"]["state"], "CONFIRMED")
        self.post(f"/api/v1/revisions/{n}:confirm", status=409)
        self.post(f"/api/v1/revisions/{n - 1}:confirm", status=409)
        self.post("/api/v1/revisions/999999:confirm", status=404)
        self.assertEqual(self.lab.get("/api/v1/maps/m")["comment"], "sure")

    def test_an_unconfirmed_change_survives_a_restart_as_unconfirmed_and_is_undone(self):
        answer = self.lab.api("PUT", "/api/v1/maps/m?confirm_timeout=3", {**MAP, "comment": "risky"})
        n = int(answer.headers["Sluice-Revision"])
        self.lab.run("kill", "sluice-mgmt")
        self.lab.run("start")
        wait_until("the undoing", lambda: self.lab.get(f"/api/v1/revisions/{n}")["confirmation"]["state"] == "UNDONE")
        self.assertEqual(self.lab.get("/api/v1/maps/m")["comment"], "")

    def test_an_undoing_that_a_colleagues_change_forbids_is_told_in_status(self):
        answer = self.lab.api("PUT", "/api/v1/maps/m?confirm_timeout=1", {**MAP, "comment": "risky"})
        n = int(answer.headers["Sluice-Revision"])
        self.lab.put("/api/v1/maps/m", {**MAP, "comment": "mine"})
        wait_until("the failure", lambda: self.lab.get(f"/api/v1/revisions/{n}")["confirmation"]["state"] == "FAILED")
        status = self.lab.get("/api/v1/status")
        self.assertEqual(status["health"], "DEGRADED")
        self.assertIn(f"revision {n} was not confirmed in time", " ".join(status["reasons"]))
        self.assertEqual(self.lab.get("/api/v1/maps/m")["comment"], "mine")
        self.post(f"/api/v1/revisions/{n}:confirm")
        self.assertNotEqual(self.lab.get("/api/v1/status")["health"], "DEGRADED")

    def test_a_rollback_takes_no_draft_for_it_is_in_force_at_once(self):
        self.assertEqual(self.lab.api("POST", "/api/v1/revisions/1:rollback?draft=x").json()["errors"][0]["field"], "draft")

    def test_a_label_keeps_a_revision(self):
        n = self.newest()
        self.assertEqual(self.lab.put(f"/api/v1/revisions/{n}/label", {"label": "before the move"})["label"], "before the move")
        self.assertEqual(self.lab.put(f"/api/v1/revisions/{n}/label", {"label": ""})["label"], "")
        self.assertEqual(self.lab.api("PUT", f"/api/v1/revisions/{n}/label", {"label": "x" * 64}).status, 422)

    def test_rules_are_added_changed_moved_and_removed_one_by_one_and_keep_their_ids(self):
        first = self.lab.get("/api/v1/maps/m/rules")[0]["id"]
        answer = self.lab.api("POST", "/api/v1/maps/m/rules?index=0", DNS)
        self.assertEqual(answer.status, 201, answer.body)
        dns = answer.json()["id"]
        self.assertTrue(answer.headers["Location"].endswith("/rules/" + dns))
        order = lambda: [r["id"] for r in self.lab.get("/api/v1/maps/m/rules")]  # noqa: E731
        self.assertEqual(order(), [dns, first])
        self.post(f"/api/v1/maps/m/rules/{dns}:move", {"after": first})
        self.assertEqual(order(), [first, dns])
        self.post(f"/api/v1/maps/m/rules/{dns}:move", {"index": 0})
        self.assertEqual(order(), [dns, first])
        one = f"/api/v1/maps/m/rules/{dns}"
        etag = self.lab.api("GET", one).headers["ETag"]
        self.assertEqual(self.lab.api("PATCH", one, {"comment": "names"}, headers={"If-Match": etag}).json()["comment"], "names")
        self.assertEqual(self.lab.api("PATCH", one, {"comment": "x"}, headers={"If-Match": etag}).status, 412)
        self.assertEqual(self.lab.get(one)["match"]["l4"]["port"], ["53"])
        self.assertEqual(self.lab.put(one, {**DNS, "action": "DROP"})["action"], "DROP")
        problem = self.lab.api("PUT", one, {"match": {"ip": {"src": ["10.0.0.1/8"]}}, "action": "DROP"})
        self.assertEqual((problem.status, problem.json()["errors"][0]["field"]), (422, "match.ip.src[0]"))
        self.assertEqual(self.lab.api("DELETE", one).status, 204)
        self.assertEqual(self.lab.api("GET", one).status, 404)
        self.assertEqual(order(), [first])

    def test_a_rename_keeps_id_references_and_counters(self):
        feed = start_generator(self.lab, "in1", harness.numbered(200), 2000)
        finish(feed)
        ledger = self.lab.settled()
        passed = next(m["passed"]["packets"] for m in ledger["maps"] if m["name"] == "m")
        self.assertGreaterEqual(passed, 200)
        before = self.lab.get("/api/v1/maps/m")
        self.post("/api/v1/ports/in1:rename", {"name": "uplink"})
        self.addCleanup(lambda: self.post("/api/v1/ports/uplink:rename", {"name": "in1"}))
        self.assertEqual(self.lab.get("/api/v1/maps/m")["sources"]["ports"], ["uplink"])
        renamed = self.post("/api/v1/maps/m:rename", {"name": "everything"})
        self.assertEqual(renamed["id"], before["id"])
        self.assertEqual(renamed["rules"], before["rules"])
        self.runs(self.newest())
        ledger = self.lab.settled()
        # The link may have said a word of its own meanwhile: a counter that was lost would be far below.
        self.assertGreaterEqual(next(m["passed"]["packets"] for m in ledger["maps"] if m["name"] == "everything"), passed)
        self.assertGreaterEqual(next(p["received"]["dequeued"]["packets"] for p in ledger["ports"] if p["name"] == "uplink"), passed)
        self.post("/api/v1/maps/everything:rename", {"name": "a b"}, status=422)
        self.lab.put("/api/v1/maps/other", {**MAP, "name": "other", "sources": {"ports": ["uplink"]}})
        self.post("/api/v1/maps/everything:rename", {"name": "other"}, status=409)

    def test_address_set_entries_come_and_go_a_few_at_a_time(self):
        self.assertEqual(self.lab.api("POST", "/api/v1/address_sets", {"name": "hr", "entries": ["10.0.0.0/8"]}).status, 201)
        base = "/api/v1/address_sets/hr/entries"
        report = self.post(base, {"entries": ["2001:db8::/32", "10.0.0.0/8"]})
        self.assertEqual(report["words"], ['address set hr: entries: "2001:db8::/32" added'])
        self.assertEqual(self.lab.get(base), ["10.0.0.0/8", "2001:db8::/32"])
        first = self.lab.api("GET", base + "?limit=1")
        link = first.headers["Link"]
        self.assertEqual((first.json(), self.lab.get(link[1:link.index(">")])), (["10.0.0.0/8"], ["2001:db8::/32"]))
        self.post(base + ":remove", {"entries": ["10.0.0.0/8"]})
        self.assertEqual(self.lab.get(base), ["2001:db8::/32"])
        self.post(base + ":remove", {"entries": ["10.0.0.0/8"]}, status=404)
        self.post(base, {"entries": ["10.0.0.1/8"]}, status=422)

    def test_a_list_comes_in_pages(self):
        rules = [{"match": {"l4": {"port": [str(i)]}}, "action": "PASS"} for i in range(1, 8)]
        self.lab.put("/api/v1/maps/m", {**MAP, "rules": rules})
        seen, path = [], "/api/v1/maps/m/rules?limit=3"
        while path:
            answer = self.lab.api("GET", path)
            seen += answer.json()
            link = answer.headers["Link"]
            path = link[1:link.index(">")] if link else None
        self.assertEqual([r["match"]["l4"]["port"] for r in seen], [[str(i)] for i in range(1, 8)])
        self.assertEqual(self.lab.api("GET", "/api/v1/maps?limit=0").status, 422)
        self.assertEqual(self.lab.api("GET", "/api/v1/maps?cursor=gone").status, 404)

    def test_a_merge_patch_changes_what_it_names_and_null_takes_a_field_back_to_its_default(self):
        self.lab.put("/api/v1/maps/m", {**MAP, "comment": "old", "default_action": "PASS", "labels": {"a": "1", "b": "2"}})
        answer = self.lab.api("PATCH", "/api/v1/maps/m", {"comment": "new", "default_action": None, "labels": {"a": None}})
        self.assertEqual(answer.status, 200, answer.body)
        after = answer.json()
        self.assertEqual((after["comment"], after["default_action"], after["labels"]), ("new", "DROP", {"b": "2"}))
        self.assertEqual(after["rules"], self.lab.get("/api/v1/maps/m")["rules"])
        self.assertEqual(self.lab.api("PATCH", "/api/v1/maps/m", {"comments": "x"}).json()["errors"][0]["field"], "comments")
        self.assertEqual(self.lab.api("PATCH", "/api/v1/maps/m", []).status, 422)
        self.assertEqual(self.lab.api("PATCH", "/api/v1/maps/nowhere", {}).status, 404)

    def test_a_rollback_that_would_overwrite_a_colleagues_revision_is_refused_by_if_match(self):
        etag = self.lab.api("GET", "/api/v1/config").headers["ETag"]
        n = self.newest()
        self.lab.put("/api/v1/maps/m", {**MAP, "comment": "mine"})
        for verb in ("rollback", "revert"):
            answer = self.lab.api("POST", f"/api/v1/revisions/{n}:{verb}", "", headers={"If-Match": etag})
            self.assertEqual((answer.status, answer.json()["errors"][0]["field"]), (412, "If-Match"))
        self.assertEqual(self.lab.api("PATCH", "/api/v1/maps/m", '{"comment": "a", "comment": "b"}').status, 422)
        self.assertEqual(self.lab.get("/api/v1/maps/m")["comment"], "mine")

    def test_a_mistyped_parameter_changes_nothing(self):
        before = self.newest()
        answer = self.lab.api("PUT", "/api/v1/maps/m?dryrun=true", {**MAP, "comment": "oops"})
        self.assertEqual((answer.status, answer.json()["errors"][0]["field"]), (422, "dryrun"))
        self.assertEqual(self.lab.api("PUT", "/api/v1/maps/m?confirm_timeout=0", {**MAP, "comment": "oops"}).status, 422)
        self.assertEqual(self.newest(), before)

    def test_a_dry_run_names_the_ports_that_the_change_interrupts(self):
        answer = self.lab.api("PATCH", "/api/v1/ports/in2?dry_run=true", {"mtu": 1400})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.json()["interrupts"], ["in2"])
        self.assertEqual(self.lab.api("PATCH", "/api/v1/ports/in2?dry_run=true", {"comment": "x"}).json()["interrupts"], [])


if __name__ == "__main__":
    unittest.main()
