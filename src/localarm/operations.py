"""Long-running operations: what is still to happen, when, and what a client sees of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from localarm.clock import timestamp
from localarm.messages import Json

Status = Literal["InProgress", "Succeeded", "Failed", "Canceled"]
Fate = tuple[Literal["Failed", "Canceled"], str, str]
"""An end that is certain from the beginning: status, code and message."""
Family = Literal["DiskOperations", "operations", "capsOperations", "operationresults"]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens at a moment of an operation: an action of `localarm.actions` by name, as data.

    Data and not a function, because a restarted process must be able to go on.
    """

    at: float
    do: str
    args: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One asynchronous operation.

    Attributes:
        id: the guid clients poll.
        family: which poll address it has (disks and snapshots, virtual machines and images, galleries each their own).
        kind: what it does, such as `disk.create.platform`; durations and faults go by it.
        target: the id of the resource it changes.
        steps: what is still to happen, in order of time.
        work: local work (copying a blob) that must be done before any step, as data; None when there is none or it is done.
        started, ended: seconds since the epoch.
        shows_output: whether the status body carries the resulting resource.
        output: what the monitor address answers at the end (grants of access).
        fate: an injected end.
    """

    id: str
    family: Family
    kind: str
    subscription: str
    location: str
    api_version: str
    target: str
    started: float
    steps: tuple[Step, ...] = ()
    work: Json | None = None
    status: Status = "InProgress"
    ended: float | None = None
    error: Json | None = None
    shows_output: bool = False
    output: Any = None
    fate: Fate | None = None

    def over(self, at: float, status: Status, error: Json | None = None, output: Any = None) -> Operation:
        """The same operation, ended."""
        return replace(self, ended=at, status=status, error=error, steps=(), work=None, output=output or self.output)

    def body(self) -> Json:
        """The status body that polling shows (always with HTTP 200)."""
        found: Json = {"startTime": timestamp(self.started)}
        if self.ended is not None:
            found["endTime"] = timestamp(self.ended)
        found["status"] = self.status
        if self.status == "Succeeded" and self.shows_output and self.output is not None:
            found["properties"] = {"output": self.output}
        if self.error is not None:
            found["error"] = self.error
        found["name"] = self.id
        return found

    def url(self, base: str, *, monitor: bool = False) -> str:
        """The address to poll, several kilobytes long as on Azure: it is signed, and must be followed as given."""
        path = f"{base}/subscriptions/{self.subscription}"
        if self.family != "operationresults":
            path += f"/providers/Microsoft.Compute/locations/{self.location}"
        query = f"p={self._partition()}&" if self.family in ("DiskOperations", "operations") else ""
        query += ("monitor=true&" if monitor else "") + f"api-version={self.api_version}"
        ticks = int((self.started + 62135596800) * 10_000_000)
        return f"{path}/{self.family}/{self.id}?{query}&t={ticks}&{self.signature()}"

    def signature(self) -> str:
        """The signed part of the poll address: random-looking, but the same each time."""
        text = hashlib.shake_256(self.id.encode()).hexdigest(1800)
        return f"c={text[:3000]}&s={text[3000:3384]}&h={text[3384:3427]}"

    def _partition(self) -> str:
        digest = hashlib.sha256(self.subscription.encode()).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
