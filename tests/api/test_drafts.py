"""Drafts from a client's side: gathered edits, committed as one revision."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from description import Described  # noqa: E402

MAP = {"name": "m", "sources": {"ports": ["in1"]}, "destinations": [{"port": "tool1"}], "rules": [{"match": {}, "action": "PASS"}]}


class Drafts(Described):
    def setUp(self):
        self.lab.configure([MAP])
        self.draft = self.lab.api("POST", "/api/v1/drafts", {"comment": "rack 4"}).json()["id"]
        self.addCleanup(self.lab.api, "DELETE", f"/api/v1/drafts/{self.draft}")

    def ask(self, method, path, body=None, status=200):
        answer = self.lab.api(method, f"/api/v1{path}{'&' if '?' in path else '?'}draft={self.draft}", body)
        self.assertEqual(answer.status, status, answer.body)
        return answer.json() if answer.body else None

    def commit(self, query=""):
        return self.lab.api("POST", f"/api/v1/drafts/{self.draft}:commit{query}")

    def test_edits_by_every_kind_of_route_gather_and_are_one_revision(self):
        before = self.lab.get("/api/v1/config")
        newest = self.lab.get("/api/v1/revisions?limit=1")[0]["number"]
        self.ask("POST", "/maps", {**MAP, "name": "n"}, 201)
        self.ask("PATCH", "/maps/m", {"comment": "drafted"})
        rule = self.ask("POST", "/maps/m/rules?index=0", {"match": {"l4": {"port": ["53"]}}, "action": "DROP"}, 201)
        self.ask("POST", "/maps/n:rename", {"name": "renamed"})
        self.ask("PUT", "/address_sets/s", {"entries": ["10.0.0.0/8"]}, 201)
        self.ask("POST", "/address_sets/s/entries", {"entries": ["2001:db8::/32"]})
        self.ask("PATCH", "/system", {"contact": "rack 4"})
        self.assertEqual([r["id"] for r in self.ask("GET", "/maps/m/rules")][0], rule["id"])
        self.assertEqual(self.ask("GET", "/address_sets/s/entries"), ["10.0.0.0/8", "2001:db8::/32"])
        self.assertEqual(self.ask("GET", "/config")["system"]["contact"], "rack 4")
        self.assertEqual(self.lab.get("/api/v1/config"), before)
        shown = self.lab.get(f"/api/v1/drafts/{self.draft}")
        self.assertEqual({(c["action"], c["collection"], c["name"]) for c in shown["changes"]},
                         {("ADDED", "maps", "renamed"), ("CHANGED", "maps", "m"), ("ADDED", "address_sets", "s"), ("CHANGED", "system", "")})
        tried = self.commit("?dry_run=true").json()
        self.assertEqual((tried["words"], tried["dry_run"]), (shown["words"], True))
        done = self.commit().json()
        self.assertEqual((done["revision"], done["words"]), (newest + 1, shown["words"]))
        self.assertEqual([m["name"] for m in self.lab.get("/api/v1/maps")], ["m", "renamed"])
        self.assertEqual(self.lab.get(f"/api/v1/revisions/{newest + 1}")["comment"], "rack 4")
        self.assertEqual(self.lab.api("GET", f"/api/v1/drafts/{self.draft}").status, 404)

    def test_a_draft_that_the_data_plane_refuses_names_the_field_and_stays(self):
        self.ask("PATCH", "/maps/m", {"destinations": [{"port": "in2"}]})
        answer = self.commit()
        self.assertEqual((answer.status, answer.json()["errors"][0]["field"]), (422, "maps[0].destinations[0].port"))
        self.assertEqual(self.lab.api("GET", f"/api/v1/drafts/{self.draft}").status, 200)

    def test_a_colleagues_change_of_the_same_map_is_a_conflict_until_it_is_decided(self):
        self.ask("PATCH", "/maps/m", {"comment": "mine"})
        self.lab.api("PATCH", "/api/v1/maps/m", {"comment": "a colleague's"})
        answer = self.commit()
        self.assertEqual(answer.status, 409)
        self.assertIn("maps/m", answer.json()["detail"])
        self.assertEqual(self.lab.get(f"/api/v1/drafts/{self.draft}")["conflicts"], ["maps/m"])
        self.assertEqual(self.lab.api("POST", f"/api/v1/drafts/{self.draft}:rebase").json()["conflicts"], [])
        self.assertEqual(self.commit().status, 200)
        self.assertEqual(self.lab.get("/api/v1/maps/m")["comment"], "mine")

    def test_a_commit_can_ask_for_its_confirmation_and_a_draft_that_is_not_there_is_told(self):
        self.ask("PATCH", "/maps/m", {"comment": "mine"})
        self.assertEqual(self.lab.api("PATCH", f"/api/v1/maps/m?draft={self.draft}&confirm_timeout=9", {"comment": "x"}).status, 422)
        done = self.commit("?confirm_timeout=600").json()
        self.assertEqual(done["confirmation"]["state"], "PENDING")
        self.assertEqual(self.lab.api("POST", f"/api/v1/revisions/{done['revision']}:confirm").status, 200)
        answer = self.lab.api("GET", "/api/v1/maps/m?draft=nowhere")
        self.assertEqual((answer.status, answer.json()["errors"][0]["field"]), (404, "draft"))


if __name__ == "__main__":
    unittest.main()
