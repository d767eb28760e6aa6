"""Cloud: every operation of a build × every fault × {first, middle, last occurrence} × {1, 8 builds}, in virtual time.

With one build also each fault that does not pass any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random

from tests.sweeps.cells import Cell, examined
from tests.sweeps.frame import Effort, Tally
from tests.sweeps.scenarios import SCENARIOS
from tests.sweeps.spread import tallied

from localarm.arm import Address
from localarm.faults import Fault

EIGHTFOLD = ("image", "old service", "both")
"""Scenarios that are also tried with eight builds: the others differ in what concerns one build alone."""

DOOMED = ("image fails", "version fails")
"""Scenarios whose builds fail anyway."""

SAMPLE = 120
SAMPLE_LASTING = 20
"""Cells of the quick part."""

FOR_EVER = 99_999
"""As often as a fault strikes that does not pass."""

PATIENCE = 8 * 3600.0
"""Seconds within which a run ends whose trouble does not pass: each operation of which nothing is heard costs an hour."""

POLL = "operations"
MACHINE = "virtualmachines"
BATCH = "virtualmachines/attachdetachdatadisks"

ANSWERS = (
    Fault("refuse", status=400, code="InvalidParameter"),
    Fault("refuse", status=403, code="AuthorizationFailed"),
    Fault("refuse", status=409, code="Conflict"),
    Fault("refuse", status=409, code="AnotherOperationInProgress"),
    Fault("refuse", status=500),
    Fault("refuse", status=503, code="ServiceUnavailable"),
    Fault("throttle", seconds=20),
    Fault("drop"),
    Fault("lose"),
    Fault("delay", seconds=90),
    Fault("hang"),
    Fault("stranger-attaches", lun=0),
    Fault("stranger-detaches", lun=0),
)
"""What may go wrong with any request."""

ENDINGS = (
    Fault("fail"),
    Fault("fail", code="RetryableError"),
    Fault("cancel", code="OperationCancelled"),
    Fault("preempt"),
)
"""What may go wrong with what a request starts."""

REFUSALS = (
    Fault("refuse", status=401, code="ExpiredAuthenticationToken"),
    Fault("refuse", status=404, code="ResourceNotFound"),
    Fault("refuse", status=408, code="RequestTimeout"),
    Fault("refuse", status=412, code="PreconditionFailed"),
    Fault("refuse", status=429, code="TooManyRequests"),
)
"""More that Azure may say; the last without telling when to come again."""

READS = (Fault("stale"),)
FORGOTTEN = Fault("refuse", status=404, code="NotFound")
"""What becomes of the record of an operation, which Azure keeps for a day."""
DEVICES = (Fault("device-never"), Fault("device-late", seconds=30))
WRITES = (Fault("stranger-writes", seconds=90), Fault("stranger-writes", seconds=300))
"""What others do to the VM: most of their writes last seconds, and one in twenty over a minute (see figures.json)."""

Operation = tuple[str, str]
"""Method and kind, as faults are aimed."""


def operations(requests: Iterable[tuple[str, str]]) -> Counter[Operation]:
    """The operations of a run, and how often each occurred."""
    found: Counter[Operation] = Counter()
    for method, path in requests:
        address = Address.parse(path)
        kind = address.kind if address is not None else path.strip("/").lower()
        if kind.startswith("locations/") and kind.endswith("operations"):
            kind = POLL
        found[method, kind] += 1
    return found


def faults_of(operation: Operation) -> Iterator[Fault]:
    """All that can go wrong with an operation."""
    method, kind = operation
    yield from (*ANSWERS, *REFUSALS)
    if kind in (MACHINE, BATCH):
        yield from WRITES
    if method == "GET":
        yield from READS
        if kind == POLL:
            yield FORGOTTEN
    elif "token" not in kind:
        yield from ENDINGS
        if kind in (MACHINE, BATCH):
            yield from DEVICES


PASSING = {"throttle", "drop", "lose", "delay", "hang", "preempt", "stale", "device-late", "stranger-writes"}
PASSING_CODES = {
    "InternalServerError",
    "ServiceUnavailable",
    "AnotherOperationInProgress",
    "RetryableError",
    "RequestTimeout",
    "TooManyRequests",
}


def passes(fault: Fault) -> bool:
    """Whether the same request may succeed a little later, so that a fault of one occurrence is no reason to lose a build."""
    if fault.what == "refuse":
        only_a_look = fault.kind == POLL and fault.status in (400, 404, 409, 412)
        found_nothing = fault.method == "DELETE" and fault.status == 404
        return only_a_look or found_nothing or fault.code in PASSING_CODES
    return fault.what in PASSING or (fault.what == "fail" and fault.code == "RetryableError")


def may_last(fault: Fault) -> bool:
    """Whether a fault is also tried as one that never passes: not where nothing would ever show what there is."""
    missing = fault.what == "refuse" and fault.status == 404
    never_ends = fault.what == "stale" and fault.kind == POLL
    return not (fault.method == "GET" and (missing or never_ends))


def places(operation: Operation, times: int) -> list[int]:
    """Which occurrences are struck: first, middle and last; of polls, which stand for many operations, eight."""
    parts = 8 if operation[1] == POLL else 3
    return sorted({1 + (times - 1) * part // (parts - 1) for part in range(parts)})


def cells(scenarios: Sequence[str] = tuple(SCENARIOS), builds: Sequence[int] = (1, 8)) -> list[Cell]:
    """All cells of these scenarios, by running each once without a fault."""
    found = []
    for name in scenarios:
        for number in builds:
            names = (name,) * number
            calm = examined(Cell("calm", names))
            if calm.violations:
                raise AssertionError(f"{name}: violations without a fault: {calm.violations}")
            for operation, times in sorted(operations(calm.requests).items()):
                method, kind = operation
                for fault in faults_of(operation):
                    for nth in places(operation, times):
                        aimed = replace(fault, method=method, kind=kind, nth=nth)
                        passing = passes(aimed) and name not in DOOMED
                        found.append(Cell(f"{method} {kind}", names, (aimed,), passing=passing))
    return found


def lasting(cells: Iterable[Cell]) -> Iterator[Cell]:
    """Those of these cells that strike first, and of polls all, with their fault for ever; only the recovery is without."""
    for cell in cells:
        (fault,) = cell.faults
        if may_last(fault) and (fault.nth == 1 or fault.kind == POLL):
            for_ever = (replace(fault, times=FOR_EVER),)
            kind = f"{cell.kind}, for ever"
            yield replace(cell, kind=kind, faults=for_ever, passing=False, within=PATIENCE)


def sweep(effort: Effort) -> Tally:
    """All cells, or a sample of those of few builds."""
    once = cells(builds=(1,))
    if effort.everything:
        return tallied([*once, *lasting(once), *cells(EIGHTFOLD, (8,))], effort)
    random = Random(effort.seed)
    return tallied([*random.sample(once, SAMPLE), *random.sample(list(lasting(once)), SAMPLE_LASTING)], effort)
