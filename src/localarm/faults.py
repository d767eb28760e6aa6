"""Faults on purpose: what goes wrong, for which request, and a record that it did.

One vocabulary for both doors: `POST /_localarm/faults` with `{"faults": [{...}]}`, or `Faults.add(Fault(...))` in-process.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Literal, get_args

from localarm.messages import Json
from localarm.routes import TABLE, TAGS

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
    "stranger-writes",
]

READS = ("GET", "HEAD")
METHODS = (*READS, "PUT", "PATCH", "POST", "DELETE")
ENDINGS = ("fail", "cancel", "preempt")
DEVICES = ("device-never", "device-late")
POLLS = ("locations/diskoperations", "locations/operations", "locations/capsoperations", "operationresults")
OPERATIONS = "operations"
"""What all polls are called."""
MOST_SECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        what: `refuse` (answer `status` and `code`, no effect), `throttle` (429 with `Retry-After` of `seconds`), `drop`
            (connection reset, no effect), `lose` (connection reset after the effect), `delay` (answer after `seconds` more),
            `hang` (effect, but no answer ever), `fail` and `cancel` (the operation ends Failed or Canceled with `code`),
            `preempt` (it ends Canceled, `OperationPreempted`), `stale` (a GET shows the state before the last change: of the
            resource, of what a list holds, or of the operation that is polled), `device-never`, `device-late` (by
            `seconds`), `stranger-attaches` (a new disk at `lun` or the next free one, before the request is handled),
            `stranger-detaches` (the disk at `lun`), `stranger-writes` (a change of the host machine that lasts `seconds` and
            leaves its disks as they are).
        method: HTTP method; empty is any.
        kind: kind of resource or action, such as `disks`, `resourcegroups` or
            `virtualmachines/attachdetachdatadisks`; `operations` are all polls; a path such as
            `metadata/identity/oauth2/token` where it is another service; empty is any.
        name: name of the resource; empty is any.
        nth: the how manyth matching request (1 is the first) from when the fault was added.
        times: for how many matching requests in a row from then on.

    Raises:
        ValueError: it could never strike, or a member is of the wrong kind.
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

    def __post_init__(self) -> None:
        if wrong := next(_wrong(self), None):
            raise ValueError(f"no such fault: {asdict(self)}: {wrong}")

    @classmethod
    def parsed(cls, given: Any) -> Fault:
        """A fault out of JSON.

        Raises:
            ValueError: it has an unknown member or value.
        """
        names = {each.name for each in fields(cls)}
        if not isinstance(given, dict) or "what" not in given or set(given) - names:
            raise ValueError(
                f"no such fault: {given}: it is an object with `what`, and maybe others of {sorted(names)}"
            )
        return cls(**given)

    def matches(self, method: str, kind: str, name: str) -> bool:
        """Whether it is about such a request."""
        kind = OPERATIONS if kind in POLLS else kind
        wanted = (self.method.upper(), self.kind.lower(), self.name.lower())
        return all(want in ("", have) for want, have in zip(wanted, (method, kind, name.lower()), strict=True))


def _wrong(fault: Fault) -> Any:
    """What is wrong with a fault."""
    for name in ("method", "kind", "name", "code", "message"):
        if not isinstance(getattr(fault, name), str):
            yield f"`{name}` is a string"
    for name, least, most in (("nth", 1, 1 << 31), ("times", 1, 1 << 31), ("status", 400, 599), ("lun", 0, 63)):
        value = getattr(fault, name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            yield f"`{name}` is an integer from {least} to {most}"
    if not _is_number(fault.seconds) or not 0 <= fault.seconds <= MOST_SECONDS:
        yield "`seconds` is a number that is not negative"
    if fault.what not in get_args(What):
        yield f"`what` is one of {', '.join(get_args(What))}"
    yield from _never(fault.what, fault.method.upper(), fault.kind.lower())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _never(what: str, method: str, kind: str) -> Any:
    """Why a fault would never strike."""
    if method and method not in METHODS:
        yield f"`method` is one of {', '.join(METHODS)}"
    if kind and not _elsewhere(kind):
        known = requests()
        if kind not in known:
            yield f"`kind` is one of {', '.join(sorted(known))}, or the path of another service"
        elif method and method not in known[kind]:
            yield f"{method} is no method of {kind}"
    if what == "stale" and method not in ("", *READS):
        yield "only what is read is stale"
    if what in ENDINGS and method in READS:
        yield "what is read starts no operation"
    if what in DEVICES and (method in (*READS, "DELETE") or (kind and not kind.startswith("virtualmachines"))):
        yield "a device appears after a PUT, PATCH or POST of a virtual machine"


@cache
def requests() -> dict[str, set[str]]:
    """The methods of each kind that a request to Resource Manager can have."""
    found: dict[str, set[str]] = {}
    for method, namespace, scope, path in TABLE:
        kind = path.replace("/{}", "")
        if not kind:
            kind = "resourcegroups" if scope == "group" else namespace
        found.setdefault(OPERATIONS if kind in POLLS else kind, set()).add(method)
    found.pop("", None)
    found.pop("microsoft.compute", None)
    for kind in list(found):
        found[f"{kind}/providers/tags"] = set(TAGS)
        found[f"{kind}/providers/permissions"] = {"GET"}
    return found | {"tags": set(TAGS), "permissions": {"GET"}}


def _elsewhere(kind: str) -> bool:
    """Whether a kind is the path of a service other than Resource Manager."""
    return kind.startswith("metadata/") or "/oauth2/" in kind or kind.endswith("/.well-known/openid-configuration")


@dataclass
class Armed:
    """A fault that waits, how many requests it was about, and how often it had an effect."""

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

    def due(self, method: str, kind: str, name: str) -> list[Armed]:
        """The faults whose turn it is at this request; whether they have an effect is yet to be seen."""
        found = []
        for armed in self.armed:
            fault = armed.fault
            if not fault.matches(method, kind, name):
                continue
            armed.seen += 1
            if fault.nth <= armed.seen < fault.nth + fault.times:
                found.append(armed)
        return found

    def shown(self) -> list[Json]:
        """All faults with their counts, as JSON."""
        return [{**asdict(armed.fault), "seen": armed.seen, "fired": armed.fired} for armed in self.armed]
