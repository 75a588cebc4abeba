#!/usr/bin/env python3
"""Instructions a packet of each stage, counted by callgrind: the same on a busy machine as on an idle one.

  tests/bench/instructions.py             prints them beside those of instructions.json
  tests/bench/instructions.py --update    and writes them there: for a change that is worth it
"""
import json
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BENCH = TOP / "build/release/bin/bench"
KNOWN = TOP / "tests/bench/instructions.json"
# A stage each: what has no other one in it.
STAGES = ("parse/ipv4-tcp/64B", "parse/ipv6-tcp/64B", "parse/qinq/64B", "parse/mpls/64B", "parse/gre/64B", "parse/vxlan/64B", "parse/gtpu/64B", "classify/10/hit",
          "fanout/1/64B", "fanout/8/64B", "slice/1/1518B", "balance/4/64B", "handover/two-workers/64B")
LOOPS = (2, 12)


def compiler():
    """What compiled it: another one makes other instructions of the same source."""
    return subprocess.run(["c++", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def collected(stage, loops):
    """Instructions of the whole program, and packets."""
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", BENCH, "--stage", stage, str(loops)],
                          capture_output=True, text=True, check=True, timeout=300)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1)), int(done.stdout)


def instructions(stage):
    """A packet's, by difference: the making of the stage is in both runs."""
    (few, few_packets), (many, many_packets) = (collected(stage, loops) for loops in LOOPS)
    return round((many - few) / (many_packets - few_packets), 2)


def regressions(known, counted, tolerance=0.10):
    """Stages that need more than before, each with both figures."""
    return [f"{stage}: {counted[stage]} instructions a packet, {known[stage]} before ({counted[stage] / known[stage] - 1:+.1%})" if stage in known else f"{stage}: counted for the first time: instructions.py --update"
            for stage in counted if counted[stage] > known.get(stage, 0) * (1 + tolerance)]


def main():
    counted = {stage: instructions(stage) for stage in STAGES}
    file = json.loads(KNOWN.read_text()) if KNOWN.exists() else {"compiler": compiler(), "instructions": {}}
    for stage, count in counted.items():
        print(f"{stage:28} {count:9.2f}   {file['instructions'].get(stage, '-')}")
    if "--update" in sys.argv:
        KNOWN.write_text(json.dumps({"compiler": compiler(), "instructions": counted}, indent=2) + "\n")


if __name__ == "__main__":
    main()
