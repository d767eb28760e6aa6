"""What else may be going on: trouble in the recovery, images to replace, namesakes, another process, policies, age."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from tests.sweeps.cells import Cell
from tests.sweeps.chance import drawn_fault
from tests.sweeps.cloud import BATCH, MACHINE, POLL, faults_of, passes
from tests.sweeps.frame import Effort, Tally
from tests.sweeps.others import DEAD, Making
from tests.sweeps.spread import tallied

from gilder.build import Attendance, OnError
from gilder.engine import RunOptions
from gilder.model.deadlines import LIMITED, Deadlines
from localarm.faults import Fault, What

SAMPLE = 24
"""Cells of the quick part of each."""

HOURS = 3600.0
VERSIONS = "galleries/images/versions"
PRODUCTS = {"image": "images", "version": VERSIONS}


def _tallied(cells: list[Cell], effort: Effort) -> Tally:
    drawn = cells if effort.everything or len(cells) <= SAMPLE else Random(effort.seed).sample(cells, SAMPLE)
    return tallied(drawn, effort)


# Recovery

_ABOUT_DISKS = [("GET", MACHINE), ("POST", BATCH), ("GET", "disks"), ("DELETE", "disks"), ("GET", POLL)]
"""What recovery asks for when a run was killed while it worked."""


def recovery_cells(seed: int) -> list[Cell]:
    """A kill while there are disks or something is to be published, then each trouble with each request of the recovery; a
    kill anywhere, then stale looks; a kill anywhere, then several troubles at once."""
    random, cells = Random(f"recovery {seed}"), list[Cell]()
    for name in ("image", "written back", "named"):
        cells += _troubled(random, name, (), _ABOUT_DISKS, (70, 180))
    for name, kind in PRODUCTS.items():
        about = [("GET", kind), ("PUT", kind), ("GET", "snapshots"), ("DELETE", "snapshots"), ("GET", POLL)]
        cells += _troubled(random, name, (Fault("drop", "PUT", kind, times=99),), about, (210, 300))
        about = [("GET", kind), ("PUT", kind), ("DELETE", kind)]
        cells += _troubled(random, name, (Fault("fail", "PUT", kind, times=99),), about, (210, 250))
    for name, last in (("image", 260), ("version", 320), ("named", 300), ("both", 420)):
        cells += [
            Cell("stale looks", (name,), killed=step, recovering=(stale,), passing=True)
            for step in range(70, last, 10)
            for kind in (MACHINE, "disks", "snapshots", "images", VERSIONS)
            for stale in [Fault("stale", "GET", kind, nth=random.choice((1, 1, 2)))]
        ]
    for _ in range(1_000):
        faults = tuple(drawn_fault(random) for _ in range(random.randint(2, 5)))
        name = random.choice(("image", "version", "both", "written back", "with data", "named"))
        cells.append(Cell("several", (name,), killed=random.randint(60, 420), recovering=faults))
    return cells


def _troubled(
    random: Random, name: str, faults: tuple[Fault, ...], asked: list[tuple[str, str]], steps: tuple[int, int]
) -> Iterator[Cell]:
    """Each trouble with each of these requests of the recovery, at its first and another occurrence."""
    for method, kind in asked:
        for fault in faults_of((method, kind)):
            for nth in (1, random.choice((2, 3))):
                aimed = replace(fault, method=method, kind=kind, nth=nth)
                step = random.randint(*steps)
                yield Cell(f"{method} {kind}", (name,), faults, killed=step, recovering=(aimed,), passing=passes(aimed))


def recovering(effort: Effort) -> Tally:
    """Trouble during the recovery, then another recovery without."""
    return _tallied(recovery_cells(effort.seed), effort)


# Old images


def replacing_cells(seed: int) -> list[Cell]:
    """-force: a kill at many steps, a signal at many, every fault at the requests for the image."""
    random, cells = Random(f"replacing {seed}"), []
    for name, kind in PRODUCTS.items():
        for old in ("disk", "snapshot"):
            cells += [Cell("kill", (name,), killed=step, old=old) for step in range(150, 460, 4)]
            cells += [Cell("signal", (name,), cancelled=(step,), old=old) for step in range(150, 460, 12)]
            for operation in (("GET", kind), ("PUT", kind), ("DELETE", kind)):
                for fault in faults_of(operation):
                    for nth in (1, 2, 3) if operation[0] == "GET" else (1,):
                        aimed = replace(fault, method=operation[0], kind=kind, nth=nth)
                        killed = random.choice((0, 0, random.randint(150, 400)))
                        cells.append(Cell(f"{operation[0]} {kind}", (name,), (aimed,), killed=killed, old=old))
            gone: Making = "no snapshot"
            cells += [
                Cell("snapshot gone", (name,), killed=s, old=old, makings=((DEAD, gone),)) for s in range(180, 300, 6)
            ]
    return cells


def replacing(effort: Effort) -> Tally:
    """Images that are there already and are to be replaced (-force)."""
    return _tallied(replacing_cells(effort.seed), effort)


# Namesakes


def namesake_cells(seed: int) -> list[Cell]:
    """Others make an image, a version, a disk or a snapshot of the name while gilder builds, or before it recovers."""
    cells = []
    for name, what, last in _NAMESAKES:
        cells += [Cell(f"{what}, then", (name,), killed=step, makings=((DEAD, what),)) for step in range(20, last, 4)]
        if what == "disk":  # made as soon as it was found free: there is time only while that look is under way
            slow = Fault("delay", "GET", "disks", name="chosen-image0", seconds=10)
            cells += [Cell(what, (name,), (slow,), makings=((at, what),)) for at in (2.0, 4.0, 6.0, 8.0)]
            continue
        cells += [Cell(what, (name,), works=60.0, makings=((at, what),)) for at in (1.0, 5.0, 30.0, 60.0)]
        for fault in (Fault(lost, "PUT", _KINDS[what], times=times) for lost in LOST for times in (1, 3)):
            cells.append(Cell(f"{what}, lost answers", (name,), (fault,), works=60.0, makings=((30.0, what),)))
    return cells


_NAMESAKES: tuple[tuple[str, Making, int], ...] = (
    ("image", "image", 220),
    ("version", "version", 200),
    ("both", "image", 220),
    ("both", "version", 220),
    ("named", "disk", 60),
    ("named", "snapshot", 220),
)
"""What is built, what others make of its names, and the step of the event loop at which it is made otherwise."""
LOST: tuple[What, ...] = ("lose", "drop")
_KINDS: dict[Making, str] = {"image": "images", "version": VERSIONS, "snapshot": "snapshots"}


def namesakes(effort: Effort) -> Tally:
    """Others that use the names of a build too."""
    return _tallied(namesake_cells(effort.seed), effort)


# Another process


def together_cells(seed: int) -> Iterator[Cell]:
    """Two gilder processes on one VM: one of them is killed and recovered while the other works, with faults or without."""
    number = 0
    while True:
        random = Random(f"together {seed} {number}")
        number += 1
        kinds = ("image", "written back", "version", "both")
        faults = tuple(drawn_fault(random) for _ in range(random.choice((0, 0, 1, 2))))
        calm = not faults
        yield Cell(
            "calm" if calm else "faults",
            tuple(random.choice(kinds) for _ in range(random.randint(1, 3))),
            tuple(fault for fault in faults if fault.what != "stranger-detaches"),
            killed=random.choice((0, random.randint(60, 900))),
            seed=random.randrange(2**31),
            latency="recorded",
            linger=random.choice((0.0, 3.0)),
            works=random.choice((1.0, 20.0)),
            beside=tuple(random.choice(("image", "written back")) for _ in range(random.randint(1, 3))),
            later=random.uniform(0.0, 40.0),
            passing=calm,
        )


def together(effort: Effort) -> Tally:
    """Another gilder process on the same machine."""
    cells = together_cells(effort.seed)
    return tallied([next(cells) for _ in range(1_000 if effort.everything else SAMPLE)], effort)


# Policies


def policy_cells(seed: int) -> Iterator[Cell]:
    """Deadlines, fail-fast, few builds at a time, -on-error=abort, with faults and signals."""
    number = 0
    while True:
        random = Random(f"policy {seed} {number}")
        number += 1
        stages = random.sample(list(LIMITED.values()), random.choice((0, 1, 2)))
        limits = {stage: random.choice((0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0)) for stage in stages}
        options = RunOptions(
            parallel_builds=random.choice((0, 0, 1, 2)),
            fail_fast=random.random() < 0.3,
            attendance=Attendance(random.choice((OnError.CLEANUP, OnError.CLEANUP, OnError.ABORT))),
            deadlines=Deadlines(random.choice((None, None, 3.0, 8.0, 15.0, 25.0, 60.0)), limits),
        )
        kinds = ("image", "written back", "version", "both", "with data", "named", "image fails")
        yield Cell(
            "abort" if options.attendance.keeps_unasked else "fail-fast" if options.fail_fast else "deadlines",
            tuple(random.choice(kinds) for _ in range(random.randint(1, 3))),
            tuple(drawn_fault(random) for _ in range(random.choice((0, 1, 1, 2)))),
            cancelled=random.choice(((), (), (), (random.randint(1, 500),))),
            options=options,
        )


def policies(effort: Effort) -> Tally:
    """What a run may be told to do when something goes wrong or takes long."""
    cells = policy_cells(effort.seed)
    return tallied([next(cells) for _ in range(2_000 if effort.everything else SAMPLE)], effort)


# Age


def ageing_cells(seed: int) -> list[Cell]:
    """Builds longer than a lease while others collect garbage, trouble with the renewals; runs whose journal is lost, and
    each trouble with each request of the collection after that, then another collection."""
    random, cells = Random(f"ageing {seed}"), []
    for name in ("image", "version", "named", "with data"):
        cells.append(replace(long("long", name, 27 * HOURS), passing=True))
        for operation in (("GET", "disks"), ("PATCH", "disks")):
            for fault in faults_of(operation):
                for nth, times in ((1, 1), (1, 3), (2, 2)):
                    slow = max(fault.seconds, 900.0 if fault.what == "throttle" else 0.0)
                    aimed = replace(fault, method=operation[0], kind=operation[1], nth=nth, times=times, seconds=slow)
                    # It ends about when its lease is renewed.
                    cell = long("renewals", name, random.choice((6, 12)) * HOURS + random.uniform(-30, 300), aimed)
                    cells.append(replace(cell, passing=passes(fault)))
        cells += [
            Cell("journal lost", (name,), killed=step, forgotten=True, within=30 * HOURS) for step in range(40, 400, 10)
        ]
    for operation in _ABOUT_GARBAGE:
        for fault in faults_of(operation):
            for nth, times in ((1, 1), (1, 99), (random.choice((2, 3)), 1)):
                aimed = replace(fault, method=operation[0], kind=operation[1], nth=nth, times=times)
                step = random.randint(80, 250)
                lost = Cell(
                    "collection", ("named",), killed=step, forgotten=True, within=40 * HOURS, recovering=(aimed,)
                )
                cells.append(lost)
    return cells


_ABOUT_GARBAGE = [*_ABOUT_DISKS, ("GET", "snapshots"), ("DELETE", "snapshots")]
"""What the collection of garbage asks for; the first looks at disks and snapshots are lists."""


def long(kind: str, name: str, works: float, *faults: Fault) -> Cell:
    """A build of many hours, while another VM collects garbage several times."""
    times = tuple(hours * HOURS for hours in (7, 13, 16, 19, 23, 26))
    return Cell(kind, (name,), faults, works=works, within=60 * HOURS, collections=times)


def ageing(effort: Effort) -> Tally:
    """Leases, their renewal, and garbage collection."""
    return _tallied(ageing_cells(effort.seed), effort)
