"""`python -m tests.sweeps [--all] [NAME…]`: every fault at every step, and the same invariants after each."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.nohup import heard_by_children
from tests.sweeps import chance, circumstances, cloud, host, kill, moments, mutations, reference, straits
from tests.sweeps.frame import Effort, Sweep, Tally, verdict


def _kill(effort: Effort) -> Tally:
    return kill.sweep(effort.folder, everything=effort.everything, seed=effort.seed, say=effort.say)


def _recovery(effort: Effort) -> Tally:
    return kill.recoveries(effort.folder, everything=effort.everything, seed=effort.seed, say=effort.say)


def _interrupt(effort: Effort) -> Tally:
    return kill.interrupts(effort.folder, everything=effort.everything, seed=effort.seed, say=effort.say)


def _host(effort: Effort) -> Tally:
    return host.sweep(effort.folder, everything=effort.everything, seed=effort.seed, say=effort.say)


def _straits(effort: Effort) -> Tally:
    return straits.sweep(effort.folder, everything=effort.everything, seed=effort.seed, say=effort.say)


SWEEPS = (
    Sweep("cloud", "every Azure operation × every fault × first, middle, last × 1, 8 builds", cloud.sweep),
    Sweep("reference", "the same faults beside a model of the reference builder", reference.sweep),
    Sweep("mutations", "the sweeps' own test: every safeguard disabled must show", mutations.sweep),
    Sweep("cancellation", "signals at every step of the event loop", moments.cancellation),
    Sweep("crash", "a killed process at every step of the event loop, then recover", moments.crash),
    Sweep("recovering", "trouble with the cloud during the recovery after a kill", circumstances.recovering),
    Sweep("replacing", "-force: old images, with faults, signals and kills", circumstances.replacing),
    Sweep("namesakes", "others make things under the names of builds", circumstances.namesakes),
    Sweep("together", "two gilder processes on one VM", circumstances.together),
    Sweep("policies", "deadlines, fail-fast, -on-error=abort", circumstances.policies),
    Sweep("ageing", "leases over many hours, garbage collection, lost journals", circumstances.ageing),
    Sweep("scheduling", "other orders and durations, and a stranger's moves", chance.scheduling),
    Sweep("random", "many faults at once, signals and kills, drawn by the seed", chance.multifault),
    Sweep("kill", "kill -9 of the real program anywhere, then recover", _kill, root=True),
    Sweep("recovery", "kill -9 of the recovery after a kill, then recover again", _recovery, root=True),
    Sweep("interrupt", "Ctrl-C and its like, once to three times, anywhere", _interrupt, root=True),
    Sweep("host", "programs of this machine that fail, lie, die or hang", _host, root=True),
    Sweep("straits", "full disks, dead devices, stuck processes, meddling outsiders", _straits, root=True),
)


def main(arguments: list[str]) -> int:
    """Run the sweeps asked for; 1 when an invariant was violated."""
    names = "\n".join(f"  {sweep.name:12} {sweep.about}" for sweep in SWEEPS)
    parser = argparse.ArgumentParser(
        "python -m tests.sweeps", description=f"{__doc__}\n\n{names}", formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which sweeps; all of them unless given")
    parser.add_argument("--all", action="store_true", help="every cell (an hour and more), not a sample")
    parser.add_argument("--seed", type=int, default=1, help="draws samples and random runs; 1 unless given")
    parser.add_argument("--jobs", type=int, default=0, help="processes at once; one for each CPU unless given")
    parser.add_argument("--verbose", action="store_true", help="a line for every cell")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - {sweep.name for sweep in SWEEPS}:
        parser.error(f"no such sweep: {', '.join(sorted(unknown))}")
    chosen = [sweep for sweep in SWEEPS if not given.names or sweep.name in given.names]
    say = _told if given.verbose else lambda line: None
    heard_by_children()
    violated = False
    for sweep in chosen:
        if sweep.root and os.geteuid() != 0:
            print(f"{sweep.name}: left out, it needs root", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix=f"gilder-sweep-{sweep.name}-") as folder:
            start = time.monotonic()
            tally = sweep.run(Effort(Path(folder), given.seed, given.all, given.jobs or os.cpu_count() or 1, say))
        for line in (*tally.violations, *tally.remarks):
            print(f"  {line}", flush=True)
        print(f"{verdict(sweep.name, tally, given.seed)} ({time.monotonic() - start:.0f} s)", flush=True)
        violated = violated or bool(tally.violations)
    return 1 if violated else 0


def _told(line: str) -> None:
    print(f"    {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
