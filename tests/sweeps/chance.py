"""Scheduling, and random runs: seeded extra waits and durations, a stranger's moves, many faults at once."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from random import Random

from tests.sweeps.cells import Cell
from tests.sweeps.cloud import ANSWERS, BATCH, DEVICES, ENDINGS, MACHINE, POLL, READS
from tests.sweeps.frame import Effort, Tally
from tests.sweeps.spread import tallied

from localarm.faults import Fault

SCHEDULES = 1_000
RANDOM_RUNS = 10_000
"""Runs in which a fault fired."""

SAMPLE = 20

KINDS = ("image", "image", "image", "image", "written back", "scratch", "version", "both", "with data")
OPERATIONS = (
    ("GET", MACHINE),
    ("POST", BATCH),
    ("PUT", MACHINE),
    ("PUT", "disks"),
    ("GET", "disks"),
    ("DELETE", "disks"),
    ("PUT", "snapshots"),
    ("GET", "snapshots"),
    ("DELETE", "snapshots"),
    ("PUT", "images"),
    ("GET", "images"),
    ("DELETE", "images"),
    ("PUT", "galleries/images/versions"),
    ("GET", "galleries/images/versions"),
    ("DELETE", "galleries/images/versions"),
    ("GET", POLL),
    ("GET", "skus"),
    ("", ""),
)


def scheduled(seed: int) -> Cell:
    """One to six builds with drawn durations and waits, and strangers that use the VM meanwhile."""
    random = Random(f"schedule {seed}")
    moves = tuple((random.uniform(0, 60), _drawn_move(random)) for _ in range(random.choice((0, 1, 1, 2))))
    builds = tuple(random.choice(KINDS) for _ in range(random.randint(1, 6)))
    return Cell(
        f"{len(builds)} builds",
        builds,
        seed=seed,
        latency="recorded",
        moves=moves,
        linger=random.choice((0.0, 3.0, 20.0, -20.0)),
    )


def _drawn_move(random: Random) -> Fault:
    """A stranger attaches a disk, or writes to the VM for seconds or minutes."""
    if random.random() < 0.5:
        return Fault("stranger-attaches", lun=random.randrange(3))
    return Fault("stranger-writes", seconds=random.choice((5.0, 60.0, 300.0)))


def random_cell(seed: int) -> Cell:
    """One to three builds, one to six faults; sometimes signals, sometimes a kill, sometimes drawn waits and durations."""
    random = Random(f"run {seed}")
    builds = tuple(random.choice(KINDS) for _ in range(random.choice((1, 1, 1, 2, 3))))
    faults = tuple(drawn_fault(random) for _ in range(random.randint(1, 6)))
    cancelled: tuple[int, ...] = ()
    if random.random() < 0.15:
        first = random.randint(1, 700)
        cancelled = (first, first + random.randint(1, 80)) if random.random() < 0.4 else (first,)
    killed = random.randint(1, 700) if random.random() < 0.15 else 0
    waits = random.random() < 0.5
    latency = random.choice(("median", "recorded"))
    return Cell(f"{len(faults)} faults", builds, faults, cancelled, killed, seed if waits else None, latency)


def drawn_fault(random: Random) -> Fault:
    """Anything that may go wrong with anything."""
    method, kind = random.choice(OPERATIONS)
    choices = [*ANSWERS]
    if method == "GET":
        choices += READS
    elif method:
        choices += ENDINGS
        if kind in (MACHINE, BATCH):
            choices += DEVICES
    fault = random.choice(choices)
    return replace(
        fault,
        method=method,
        kind=kind,
        nth=random.choice((1, 1, 2, 3, random.randint(1, 30))),
        times=random.choice((1, 1, 1, 2, 3) if fault.what == "stale" else (1, 1, 1, 2, 3, 5)),
        seconds=fault.seconds * random.choice((0.1, 1, 1, 3)),
        lun=random.randrange(3),
    )


def scheduling(effort: Effort) -> Tally:
    """Schedules one after the other from the seed."""
    number = SCHEDULES if effort.everything else SAMPLE
    return tallied([scheduled(effort.seed * 1_000_000 + each) for each in range(number)], effort)


def multifault(effort: Effort) -> Tally:
    """Random runs one after the other from the seed; says how sure zero violations are."""
    seeds = map(random_cell, itertools.count(effort.seed * 1_000_000))
    tally = Tally()
    if effort.everything:
        while (missing := RANDOM_RUNS - tally.total) > 0:  # some draw faults for requests that their builds never make
            tally.add(tallied(list(itertools.islice(seeds, math.ceil(missing * 1.4))), effort))
    else:
        tally.add(tallied(list(itertools.islice(seeds, SAMPLE)), effort))
    if not tally.violations and tally.total:
        below = 1 - math.pow(0.05, 1 / tally.total)
        tally.remarks.append(
            f"with {tally.total} runs in which a fault fired and no violation, their share is below "
            f"{100 * below:.3f} % at 95 % confidence, for this distribution of faults"
        )
    return tally
