// What an automation team writes: a client whose types come from the OpenAPI document. It compiles, or the document lies about its types;
// it works, or it lies about the rest.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Map = components["schemas"]["Map"];

const api = createClient<paths>({ baseUrl: process.env.SLUICE_URL, headers: { Authorization: `Bearer ${process.env.SLUICE_TOKEN}` } });

const map: Map = {
  sources: { ports: ["in1"] },
  rules: [{ match: { ip: { protocol: ["tcp"] }, l4: { port: ["80", "443"] } }, action: "PASS" }],
  destinations: [{ port: "tool1" }],
};
const made = await api.PUT("/api/v1/maps/{name}", { params: { path: { name: "by-client" }, query: { comment: "typed" } }, body: map });
assert.equal(made.response.status, 201);

const shown = await api.GET("/api/v1/maps/{name}", { params: { path: { name: "by-client" } } });
assert.ok(shown.data);
const action: "PASS" | "DROP" | undefined = shown.data.rules?.[0]?.action;
assert.equal(action, "PASS");
assert.equal(shown.data.enabled, true); // filled in

// What a GET gives can be PUT as it is.
const revision = made.response.headers.get("Sluice-Revision");
const again = await api.PUT("/api/v1/maps/{name}", { params: { path: { name: "by-client" } }, body: shown.data });
assert.equal(again.response.headers.get("Sluice-Revision"), revision);

const refused = await api.PUT("/api/v1/maps/{name}", { params: { path: { name: "by-client" } }, body: { ...map, destinations: [{ port: "in1" }] } });
assert.equal(refused.response.status, 422);
assert.equal(refused.error?.errors?.[0]?.field, "destinations[0].port");

// @ts-expect-error: a field that is not there
const mistyped: Map = { ...map, prots: ["in1"] };
// @ts-expect-error: a value that is none of the enum
const misvalued: Map = { ...map, kind: "SOMETIMES" };
// @ts-expect-error: a route that is not there
void (() => api.GET("/api/v1/mapps"));
assert.ok(mistyped && misvalued);

const explained = await api.POST("/api/v1/explain", { body: { port: "in1", fields: { src: "10.0.0.1", dst: "10.0.0.2", dst_port: 443 } } });
assert.deepEqual(explained.data?.delivered_to, ["tool1"]);

const ledger = await api.GET("/api/v1/ledger");
assert.equal(ledger.data?.unaccounted, 0);

const removed = await api.DELETE("/api/v1/maps/{name}", { params: { path: { name: "by-client" } } });
assert.equal(removed.response.status, 204);
console.log("the client works");
