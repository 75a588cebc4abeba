#!/usr/bin/env python3
"""How long a change of one rule takes, from the request to its answer: it is in force then, and on disk. `tests/bench/run --change` says how it is called."""
import argparse
import http.client
import json
import pathlib
import random
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))
from harness import Lab  # noqa: E402


def rule(rng):
    """Of a host or a small network to another, with a service: as --classify's."""
    def network():
        return f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}." + rng.choice([f"{rng.randrange(256)}/32", "0/24"])
    return {"action": rng.choice(["PASS", "DROP"]), "match": {"ip": {"src": [network()], "dst": [network()], "protocol": [rng.choice(["tcp", "udp"])]},
                                                              "l4": {"dst_port": [str(rng.randrange(1, 65536))]}}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    print(f"seed {options.seed}", file=sys.stderr)
    lab = Lab()
    try:
        for count in (1, 1000, 16384):
            lab.configure([{"name": "m", "sources": {"ports": ["in1"]}, "rules": [rule(rng) for _ in range(count)], "destinations": [{"port": "tool1"}]}])
            ids = [one["id"] for one in lab.get("/api/v1/maps/m/rules")]
            times = []
            # One connection for all, as an automation has: its TLS handshake is no part of a change.
            connection = http.client.HTTPSConnection(lab.url.removeprefix("https://"), context=lab.context, timeout=60)
            for _ in range(options.runs):
                place, body = f"/api/v1/maps/m/rules/{rng.choice(ids)}", json.dumps(rule(rng))
                begin = time.monotonic()
                connection.request("PATCH", place, body, {"Authorization": f"Bearer {lab.token}", "Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                times.append((time.monotonic() - begin) * 1000)
                if answer.status != 200:
                    raise SystemExit(f"PATCH: {answer.status} {text}")
            connection.close()
            print(json.dumps({"bench": "change", "case": f"one rule of {count}", "value": round(statistics.median(times), 1), "unit": "ms",
                              "longest": round(max(times), 1)}), flush=True)
    finally:
        lab.down()


if __name__ == "__main__":
    main()
