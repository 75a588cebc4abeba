#!/usr/bin/env python3
"""The classifier beside DPDK's rte_acl (dpdk-test-acl), on the same rules and headers, in turn, on one core, no cache before either. One JSON
object a line; a ratio above 1 means that we are ahead. The verdicts of both are compared by their sum, and ours with a linear scan.

  tests/bench/run --classify [--seed N] [--runs 3] [--headers 1000000]
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
OURS = TOP / "build/release/bin/bench-classify"
ALGORITHMS = ("avx512x32", "avx512x16", "avx2")
# Lines of what it found are printed within its own measurement: never with them.
QUIET = ("--verbose=0",)


def real_rules():
    path = pathlib.Path(os.environ.get("SLUICE_TESTDATA", "/nowhere")) / "acl/acl1_seed_1.rules"
    return path if path.exists() else None


def ours(arguments, folder=None):
    command = ["taskset", "-c", "0", OURS, *arguments, *(["--write", folder] if folder else [])]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: our verdicts differ from a linear scan: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def instructions(arguments):
    """A packet's, in the classifier alone, of the AVX2 form: valgrind knows no AVX-512. Null without valgrind."""
    if not shutil.which("valgrind"):
        return None
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=sluice::Classifier::classify(*", OURS, *arguments,
               "--headers", "12800", "--verify", "0"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    return round(int(re.search(r"Collected : (\d+)", done.stderr)[1]) / json.loads(done.stdout)["lookups"], 1)


def theirs(folder, headers, algorithm, options=QUIET, iterations=5):
    # 4 GB for the building of its tries; what it looks up in is smaller.
    done = subprocess.run(["dpdk-test-acl", "--no-huge", "--no-pci", "-l", "0", "-m", "4096", "--force-max-simd-bitwidth=512", "--log-level=3", "--",
                           f"--rulesf={folder}/rules", f"--tracef={folder}/trace", f"--tracenum={headers}", "--rulenum=20000", "--tracestep=256",
                           f"--iter={iterations}", f"--alg={algorithm}", *options], capture_output=True, text=True, check=False)
    return done.stdout


def nanoseconds(output):
    found = re.search(r"([\d.]+) pkt/sec", output)
    return 1e9 / float(found[1]) if found else None


def checksum(output):
    """As bench-classify adds up: place of the header times number of the rule, both from 1. Its results are numbers of rules from 0."""
    return sum(int(place) * (int(rule) + 1) for place, rule in re.findall(r"^ipv4_5tuple: (\d+), category: 0, result: (\d+)$", output, re.M) if int(rule) < 2**31)


def compare(name, arguments, headers, runs, folder):
    first = ours(arguments, folder)
    times = {"ours": [first["ns"]]}
    peer = shutil.which("dpdk-test-acl") and "v6" not in arguments and first["maps"] == 1
    if peer:
        best = min(((nanoseconds(theirs(folder, headers, a)), a) for a in ALGORITHMS if nanoseconds(theirs(folder, headers, a, iterations=1))), default=(None, None))
        peer = best[1]
    for _ in range(runs):
        times["ours"].append(ours(arguments)["ns"])
        if peer:
            times.setdefault("peer", []).append(nanoseconds(theirs(folder, headers, peer)))
    value = statistics.median(times["ours"])
    out = {"bench": "classify", "case": name, "value": round(value, 1), "unit": "ns/packet", "instructions": instructions(arguments), "compile_ms": first["compile_ms"],
           "bytes": first["bytes"]}
    if peer:
        other = statistics.median(times["peer"])
        out |= {"versus": f"rte_acl {peer}", "versus_value": round(other, 1), "ratio": round(other / value, 2)}
        if "--miss" not in arguments:
            out["same_verdicts"] = checksum(theirs(folder, headers, peer, options=(), iterations=1)) == first["checksum"]
    print(json.dumps(out), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--headers", type=int, default=1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    common = ["--headers", str(options.headers), "--seed", str(options.seed)]
    with tempfile.TemporaryDirectory() as folder:
        for rules in (1, 10, 100, 1000, 10000, 16384):
            for kind in ("hit", "miss"):
                arguments = ["--kind", "acl", "--rules", str(rules), *common, *(["--miss"] if kind == "miss" else [])]
                compare(f"classify/{rules}/{kind}", arguments, options.headers, options.runs, folder)
        compare("classify200/16384/hit", ["--kind", "acl", "--rules", "16384", "--maps", "200", *common], options.headers, options.runs, folder)
        for kind in ("fw", "chain", "v6"):
            compare(f"classify-{kind}/10000/hit", ["--kind", kind, "--rules", "10000", *common], options.headers, options.runs, folder)
        if real := real_rules():
            compare("classify-acl1/10000/hit", ["--file", str(real), "--rules", "10000", *common], options.headers, options.runs, folder)


if __name__ == "__main__":
    main()
