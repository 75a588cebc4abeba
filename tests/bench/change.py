#!/usr/bin/env python3
"""How long a change of one rule takes, from the request to its answer: it is in force then, and on disk. `tests/bench/run --change` says how it is called."""
import argparse
import http.client
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/lab"))
from harness import Lab  # noqa: E402


def rules_of(kind, count, seed):
    """The rules of --classify's sets as the API takes them."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([TOP / "build/release/bin/bench-classify", "--kind", kind, "--rules", str(count), "--headers", "64", "--verify", "0", "--seed", str(seed),
                        "--write", folder], check=True, stdout=subprocess.DEVNULL)
        lines = (pathlib.Path(folder) / "rules").read_text().splitlines()
    return [rule(line) for line in lines]


def rule(line):
    """@SOURCE/LENGTH DESTINATION/LENGTH FIRST : LAST FIRST : LAST PROTOCOL/MASK"""
    source, destination, source_ports, destination_ports, protocol = line.lstrip("@").split("\t")[:5]
    ip = {side: [network] for side, network in (("src", source), ("dst", destination)) if not network.endswith("/0")}
    if not protocol.endswith("/0x00"):
        ip["protocol"] = [str(int(protocol.split("/")[0], 16))]
    ports = {side: ["-".join(range_.split(" : "))] for side, range_ in (("src_port", source_ports), ("dst_port", destination_ports)) if range_ != "0 : 65535"}
    return {"action": random.choice(["PASS", "DROP"]), "match": {"ip": ip, **({"l4": ports} if ports else {})}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"seed {options.seed}", file=sys.stderr)
    lab = Lab()
    try:
        for kind, count in (("acl", 1), ("acl", 1000), ("acl", 16384), ("v6", 16384), ("chain", 16384), ("fw", 16384)):
            rules = rules_of(kind, count + options.runs, options.seed)
            others = rules[count:]
            lab.configure([{"name": "m", "sources": {"ports": ["in1"]}, "rules": rules[:count], "destinations": [{"port": "tool1"}]}])
            ids = [one["id"] for one in lab.get("/api/v1/maps/m/rules")]
            times = []
            # One connection for all, as an automation has: its TLS handshake is no part of a change.
            connection = http.client.HTTPSConnection(lab.url.removeprefix("https://"), context=lab.context, timeout=60)
            for other in others:
                place, body = f"/api/v1/maps/m/rules/{random.choice(ids)}", json.dumps(other)
                begin = time.monotonic()
                connection.request("PATCH", place, body, {"Authorization": f"Bearer {lab.token}", "Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                times.append((time.monotonic() - begin) * 1000)
                if answer.status != 200:
                    raise SystemExit(f"PATCH: {answer.status} {text}")
            connection.close()
            print(json.dumps({"bench": "change", "case": f"{kind}: one rule of {count}", "value": round(statistics.median(times), 1), "unit": "ms",
                              "longest": round(max(times), 1)}), flush=True)
    finally:
        lab.down()


if __name__ == "__main__":
    main()
