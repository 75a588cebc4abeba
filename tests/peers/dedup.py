#!/usr/bin/env python3
"""The deduplication table beside DPDK's rte_hash doing the same job, in turn, on one core. One JSON object a line; a ratio above 1 means that we are
ahead.

  tests/bench/run --dedup [--seed N] [--runs 3]
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
HUGE_PAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")
WANTED = 128  # of 2 MiB: as our table, the peer is not to wait for page tables


def lines(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def peer_program(folder):
    """Null: DPDK is not there."""
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libdpdk"], capture_output=True, text=True, check=False)
    if flags.returncode != 0 or not shutil.which("cc"):
        return None
    program = pathlib.Path(folder) / "rte_hash_dedup"
    subprocess.run(["cc", "-O3", "-march=native", pathlib.Path(__file__).parent / "rte_hash_dedup.c", "-o", program, *flags.stdout.split()], check=True)
    return program


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    before = HUGE_PAGES.read_text()
    with tempfile.TemporaryDirectory() as folder:
        peer = peer_program(folder)
        try:
            HUGE_PAGES.write_text(str(max(WANTED, int(before))))
            huge = int(HUGE_PAGES.read_text()) >= WANTED
            ours, theirs = {}, {}
            for _ in range(options.runs):
                for line in lines([TOP / "build/release/bin/bench-dedup", options.seed]):
                    ours.setdefault(line["case"], []).append(line)
                if peer:
                    memory = ["--in-memory"] if huge else ["--no-huge"]
                    for line in lines(["taskset", "-c", "0", peer, options.seed, *memory, "--no-pci", "-l", "0", "-m", "256", "--log-level=3"]):
                        theirs.setdefault(line["case"], []).append(line)
        finally:
            HUGE_PAGES.write_text(before)
    for case, runs in ours.items():
        value = statistics.median(run["value"] for run in runs)
        out = {"bench": "dedup", "case": f"dedup/{case}", "value": round(value, 1), "unit": "ns/packet", "live": runs[0]["live"], "bytes": runs[0]["bytes"],
               "occupancy": runs[0]["occupancy"]}
        if case in theirs:
            other = statistics.median(run["value"] for run in theirs[case])
            out |= {"versus": "rte_hash" if huge else "rte_hash without huge pages", "versus_value": round(other, 1), "versus_live": theirs[case][0]["live"],
                    "ratio": round(other / value, 2)}
        print(json.dumps(out), flush=True)


if __name__ == "__main__":
    main()
