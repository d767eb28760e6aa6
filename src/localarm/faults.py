"""Faults on purpose: what goes wrong, for which request, and a record that it did.

One vocabulary for both doors: `POST /_localarm/faults` with `{"faults": [{...}]}`, or `Faults.add(Fault(...))` in-process.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from localarm.messages import Json

What = Literal[
    "refuse",
    "throttle",
    "drop",
    "lose",
    "delay",
    "hang",
    "fail",
    "cancel",
    "preempt",
    "stale",
    "device-never",
    "device-late",
    "stranger-attaches",
    "stranger-detaches",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        what: `refuse` (answer `status` and `code`, no effect), `throttle` (429 with `Retry-After` of `seconds`), `drop`
            (connection reset, no effect), `lose` (connection reset after the effect), `delay` (answer after `seconds` more),
            `hang` (effect, but no answer ever), `fail` and `cancel` (the operation ends Failed or Canceled with `code`),
            `preempt` (it ends Canceled, `OperationPreempted`), `stale` (a GET shows the state before the last change),
            `device-never`, `device-late` (by `seconds`), `stranger-attaches` (a new disk at `lun` or the next free one,
            before the request is handled), `stranger-detaches` (the disk at `lun`).
        method: HTTP method; empty is any.
        kind: kind of resource or action, such as `disks` or `virtualmachines/attachdetachdatadisks`; `operations` are
            all polls; empty is any.
        name: name of the resource; empty is any.
        nth: the how manyth matching request (1 is the first) from when the fault was added.
        times: for how many matching requests in a row from then on.
    """

    what: What
    method: str = ""
    kind: str = ""
    name: str = ""
    nth: int = 1
    times: int = 1
    status: int = 500
    code: str = "InternalServerError"
    message: str = "Injected."
    seconds: float = 1.0
    lun: int = 0

    @classmethod
    def parsed(cls, given: Json) -> Fault:
        """A fault out of JSON.

        Raises:
            ValueError: it has an unknown member or value.
        """
        names = {each.name for each in fields(cls)}
        unknown = set(given) - names
        if unknown or given.get("what") not in get_args(What):
            raise ValueError(f"no such fault: {given}; members are {sorted(names)}, `what` is one of {get_args(What)}")
        return cls(**given)

    def matches(self, method: str, kind: str, name: str) -> bool:
        """Whether it is about such a request."""
        polls = ("locations/diskoperations", "locations/operations", "locations/capsoperations", "operationresults")
        kind = "operations" if kind in polls else kind
        wanted = (self.method.upper(), self.kind.lower(), self.name.lower())
        return all(want in ("", have) for want, have in zip(wanted, (method, kind, name.lower()), strict=True))


@dataclass
class Armed:
    """A fault that waits, and how often it was passed by and fired."""

    fault: Fault
    seen: int = 0
    fired: int = 0


class Faults:
    """The plan of what goes wrong."""

    def __init__(self) -> None:
        self.armed: list[Armed] = []

    def add(self, fault: Fault) -> Armed:
        """Arm a fault; what is returned counts its firings."""
        armed = Armed(fault)
        self.armed.append(armed)
        return armed

    def clear(self) -> None:
        """Disarm all."""
        self.armed = []

    def due(self, method: str, kind: str, name: str) -> list[Fault]:
        """The faults that strike this request, counted as fired."""
        found = []
        for armed in self.armed:
            fault = armed.fault
            if not fault.matches(method, kind, name):
                continue
            armed.seen += 1
            if fault.nth <= armed.seen < fault.nth + fault.times:
                armed.fired += 1
                found.append(fault)
        return found

    def shown(self) -> list[dict[str, Any]]:
        """All faults with their counts, as JSON."""
        return [
            {
                **{each.name: getattr(armed.fault, each.name) for each in fields(Fault)},
                "seen": armed.seen,
                "fired": armed.fired,
            }
            for armed in self.armed
        ]
