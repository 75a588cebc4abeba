#!/usr/bin/env python3
"""The loss-free forwarding rate on veth, Sluice beside its peers: the highest paced rate that loses nothing, the generator's count against
the receivers', bisected to 2 %, median of interleaved runs. One JSON object a line and peer; a ratio above 1 means that we are ahead.

  sudo tests/bench/run --veth [--seconds 10] [--runs 5] [--seed N]
"""
import argparse
import json
import os
import random
import signal
import statistics
import sys
import time
import traceback

from contestants import ALL, GENERATOR, Drop, Missing, Sluice, wait_until

PRECISION = 0.02
LEVEL = 0.95
TRIES = 3
CASES = {1: "veth/1to1/60B", 2: "veth/1to2/60B"}


def say(text):
    print(text, file=sys.stderr, flush=True)


class Probe:
    """One paced run and what became of it."""

    def __init__(self, contestant, pps, seconds):
        before, cpu, waited = contestant.count(), contestant.cpu_ns(), contestant.waited_ns()
        made = contestant.generate(pps, seconds)
        self.waited_ns = contestant.waited_ns() - waited
        assert made["unfinished"] == 0, f"the generator has {made['unfinished']} frames that were never completed"
        after = self.settled(contestant, before, made["completed"])
        self.sent = made["completed"]
        self.mpps = made["completed"] / made["seconds"] / 1e6
        self.received = [b - a for a, b in zip(before.received, after.received)]
        self.lost = [self.sent - n for n in self.received]
        assert min(self.lost) >= 0, f"something else sends into this measurement: {self.sent} sent, {self.received} received"
        self.drops = {k: n - before.drops[k] for k, n in after.drops.items() if n > before.drops[k]}
        self.cpu_ns = (made["busy_ns"] + contestant.cpu_ns() - cpu) / max(self.sent, 1)

    @staticmethod
    def settled(contestant, before, sent):
        """The counts once all has arrived, or two looks a tenth of a second apart agree."""
        last = [None]

        def still():
            now = contestant.count()
            if all(b - a >= sent for a, b in zip(before.received, now.received)) or now == last[0]:
                return now
            last[0] = now
            time.sleep(0.1)
            return None

        return wait_until("receivers' counters at rest", still)


def probe(contestant, pps, seconds):
    """Tried again, as often as is reasonable on a shared machine, where others had the contestant's processor for as long as it takes to
    miss that many packets: such a loss says nothing about the contestant."""
    for left in range(TRIES, 0, -1):
        tried = Probe(contestant, pps, seconds)
        if not any(tried.lost) or left == 1 or max(tried.lost) > tried.waited_ns / 1e9 * tried.mpps * 1e6:
            return tried


class Result:
    def __init__(self, mpps, cpu_ns, limit):
        self.mpps, self.cpu_ns, self.limit = mpps, cpu_ns, limit


def loss_free(contestant, seconds):
    """Bisects. A generator that was held up on the way has sent at a lower rate than asked: only what it did send counts."""
    top = probe(contestant, 0, seconds)
    if not any(top.lost):
        return Result(top.mpps, top.cpu_ns, "loses nothing however fast the generator goes")
    limit = f"at {top.mpps:.3f} Mpps loses {100 * max(top.lost) / top.sent:.1f} %; {top.drops or 'no device counts a drop'}"
    best, low, high = None, 0.0, top.mpps
    while high - low > PRECISION * high and high > 0.002:
        middle = (low + high) / 2
        tried = probe(contestant, middle * 1e6, seconds)
        if any(tried.lost):
            high = middle
        else:
            low = middle
            if best is None or tried.mpps > best.mpps:
                best = tried
    return Result(best.mpps, best.cpu_ns, limit) if best else Result(0.0, top.cpu_ns, limit)


def measure(kind, copies, seconds):
    with kind(copies) as contestant:
        result = loss_free(contestant, seconds)
        remarks = contestant.remarks()
    say(f"  {kind.name:20} {result.mpps:.3f} Mpps, {result.cpu_ns:.0f} ns of processor a packet; {result.limit}{'; ' + remarks if remarks else ''}")
    return result


def middle(results):
    return (statistics.median(r.mpps for r in results), statistics.median(r.cpu_ns for r in results))


def report(copies, results, why_not, ceiling):
    """One line a peer. Where the generator is what limits both, processor time decides instead of the rate."""
    ours = middle(results[Sluice]) if results.get(Sluice) else None
    for kind in ALL[1:]:
        line = {"bench": "veth", "case": CASES[copies]}
        if ours:
            line |= {"value": round(ours[0], 3), "unit": "Mpps", "cpu_ns": round(ours[1]), "runs": [round(r.mpps, 3) for r in results[Sluice]]}
        line["versus"] = kind.name
        if not ours or not results.get(kind):
            line |= {"ratio": None, "missing": why_not.get(kind) or why_not.get(Sluice, "no run succeeded")}
        else:
            theirs = middle(results[kind])
            generator = min(ours[0], theirs[0]) >= LEVEL * ceiling
            by_rate, by_cpu = ours[0] / theirs[0] if theirs[0] else float("inf"), theirs[1] / ours[1]
            line |= {"versus_value": round(theirs[0], 3), "versus_cpu_ns": round(theirs[1]), "versus_runs": [round(r.mpps, 3) for r in results[kind]],
                     "ratio": round(by_cpu if generator else by_rate, 3), "compared": "processor time" if generator else "rate",
                     "cpu_ratio": round(by_cpu, 3), "generator_mpps": round(ceiling, 3)}
        print(json.dumps(line), flush=True)
        verdict = line.get("missing") or ("ahead" if line["ratio"] > 1 else "level" if line["ratio"] >= LEVEL else "behind")
        say(f"{CASES[copies]} beside {kind.name}: {verdict}" + (f", ratio {line['ratio']} by {line['compared']}" if line["ratio"] else ""))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--seed", type=int, default=random.randrange(2**16))
    options = arguments.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("tests/bench/run --veth makes network namespaces: run it as root, with sudo")
    if len(os.sched_getaffinity(0)) < 2 or not os.path.exists(GENERATOR):
        raise SystemExit("needs two processors, one for the generator, and a release build")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    order = random.Random(options.seed)
    begin = time.monotonic()
    say(f"loss-free rate on veth, seed {options.seed}: {options.runs} runs of {options.seconds:g} s a rate; the generator has one processor, "
        "the contestant another. tc and nft work in the generator's own time, so that theirs is what both together can do on one processor.")
    ceilings, failed = [], False
    results = {copies: {} for copies in CASES}
    why_not = {copies: {} for copies in CASES}
    for number in range(options.runs):
        say(f"run {number + 1} of {options.runs}")
        ceilings.append(measure(Drop, 1, options.seconds).mpps)
        for copies in CASES:
            say(f" {CASES[copies]}")
            for kind in order.sample(ALL, len(ALL)):
                if isinstance(why_not[copies].get(kind), str):
                    continue
                try:
                    results[copies].setdefault(kind, []).append(measure(kind, copies, options.seconds))
                except Missing as missing:
                    why_not[copies][kind] = str(missing)
                    say(f"  {kind.name:20} MISSING: {missing}")
                except Exception as error:  # the others' figures are not lost with it
                    failed = True
                    why_not[copies][kind] = f"failed: {error}"
                    results[copies].pop(kind, None)
                    traceback.print_exc()
    ceiling = statistics.median(ceilings)
    say(f"the generator alone: {ceiling:.3f} Mpps; {time.monotonic() - begin:.0f} s, seed {options.seed}")
    for copies in CASES:
        report(copies, results[copies], why_not[copies], ceiling)
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
