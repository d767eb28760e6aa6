"""What callers want of the VM's disk list, and which wishes go into the next write: pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from gilder.model.ids import ArmId
from gilder.model.spec import Caching

_numbers = itertools.count(1)

GATHERING = 2.0
"""Seconds that the first attach of a burst waits for announced others, so that they share one write."""

LAZINESS = 60.0
"""Seconds after which a finished disk's detach goes even if nothing else needs the write."""


_SLACK = 0.001
"""Seconds by which a wait may end early: rounding must not make the writer look again and again without time passing."""


@dataclass(slots=True, eq=False)
class Attach:
    """Attach this disk at a LUN of the writer's choice."""

    disk: ArmId
    caching: Caching
    since: float
    number: int = field(default_factory=lambda: next(_numbers))
    lun: int | None = None
    error: Exception | None = None
    tries: int = 0
    sent: anyio.Event = field(default_factory=anyio.Event)
    """Set once a request with it was accepted, or none will be."""
    settled: anyio.Event = field(default_factory=anyio.Event)
    waiting: Callable[[str], None] = lambda what: None
    """Told what the wish waits for, "" when it goes into a write."""


@dataclass(slots=True, eq=False)
class Detach:
    """Detach this disk from its LUN."""

    disk: ArmId
    lun: int
    since: float
    number: int = field(default_factory=lambda: next(_numbers))
    error: Exception | None = None
    tries: int = 0
    settled: anyio.Event = field(default_factory=anyio.Event)


Wish = Attach | Detach


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the choice of the next write depends on."""

    attaches: Sequence[Attach]
    detaches: Sequence[Detach]
    room: int
    """How many LUNs are free."""
    announced: int
    """How many attaches are known to come soon."""
    working: int
    """How many attached disks are still worked on."""
    now: float
    hurried: bool = False
    """Whether the run is to end as soon as it can."""


def due(s: Situation) -> bool:
    """Whether a write should go now.

    A detach goes when an attach needs its LUN, when it can ride along with an attach, or when no attached build is
    still working. A greedy writer would send one for the first finisher and make everyone behind it wait. In a hurry it
    goes at once: a build that hangs would keep the finished ones from detaching until the time for that is over.
    """
    if s.hurried and s.detaches:
        return True
    if s.attaches:
        if s.room == 0:
            return bool(s.detaches)
        gathered = s.announced == 0 or len(s.attaches) >= s.room
        return gathered or s.now - min(a.since for a in s.attaches) >= GATHERING - _SLACK
    if s.detaches:
        return (s.working == 0 and s.announced == 0) or (s.now - min(d.since for d in s.detaches) >= LAZINESS - _SLACK)
    return False


def next_look(s: Situation) -> float | None:
    """Seconds until `due` may become true by time alone; None if only an event can change it."""
    waits = []
    if s.attaches and s.room:
        waits.append(min(a.since for a in s.attaches) + GATHERING - s.now)
    if s.detaches and not s.attaches:
        waits.append(min(d.since for d in s.detaches) + LAZINESS - s.now)
    return max(0.0, min(waits)) if waits else None


def batch(s: Situation) -> tuple[list[Attach], list[Detach]]:
    """What the next write carries: every detach, and the attaches there is room for, first come first served.

    A LUN being freed by the same write cannot be used by it (409 AttachDiskWhileBeingDetached), so it does not count.
    """
    first = sorted(s.attaches, key=lambda a: a.number)
    return first[: s.room], list(s.detaches)


def halves(attaches: Sequence[Attach]) -> tuple[list[Attach], list[Attach]]:
    """A refused batch in two, to find the disk that it was refused for."""
    middle = (len(attaches) + 1) // 2
    return list(attaches[:middle]), list(attaches[middle:])
