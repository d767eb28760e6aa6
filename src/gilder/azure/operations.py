"""Long-running operations: where to look, what was seen, and how often to look.

Azure's `Retry-After` on these is generous (30 s for an image that takes 5) and the SDK follows it, so gilder looks at
its own pace. `GetOperationResource` allows 45 looks at once for each operation (recorded header), which this never uses up.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import anyio


class Usual(float, Enum):
    """How long an operation usually goes on after its request is answered, in seconds.

    The medians of operations recorded 2021 to 2025, less what passes between their start and the answer: 0.15 s, 1.1 s for
    an image. Only the moments of looking depend on these; an operation may take any time.
    """

    CREATE_DISK = 0.62
    TAKE_SNAPSHOT = 0.63
    DELETE = 0.15
    CHANGE_DISKS = 7.65
    CREATE_IMAGE = 4.05
    DELETE_IMAGE = 4.95
    PUBLISH_SHALLOW = 30.1
    PUBLISH_VERSION = 430.0
    DELETE_VERSION = 90.1


def moments(usual: Usual) -> Iterator[float]:
    """When to look at an operation, in seconds: some early ones, few until it may end, closer ones when it should.

    A long one varies by a fifth (recorded), so the closer looks begin before its usual end.
    """
    at = 0.0
    for wait in (0.1, 0.25, 0.4):
        if at + wait < usual:
            at += wait
            yield at
    is_long = usual >= _LONG
    far = max(1.0, usual / (10 if is_long else 20))
    close = min(10.0, usual / 20) if usual > 20 else max(0.1 if usual < 1 else 0.2, usual / 40)
    ahead = close * (usual * 0.2 // close) if is_long else 0.0
    while at + far < usual - ahead:
        at += far
        yield at
    at = usual + 0.05 - ahead
    while at < (usual * 1.3 if is_long else usual * 1.6 + 1):
        yield at
        at += close / 2 if 1 < usual < 20 and at < usual * 1.1 else close
    while True:
        yield at
        at += min(30.0 if is_long else 20.0, max(1.0, usual / 3))


class Looks(Iterator[float]):
    """The waits between looks at an operation; made as soon as the request is answered, for its time runs since then.

    What a look takes is part of the time: four looks at a new disk take as long as half its creation. Moments that passed
    while something else was waited for, such as a throttling, are not made up for.
    """

    def __init__(self, usual: Usual, clock: Callable[[], float] = anyio.current_time) -> None:
        self._usual = usual
        self._clock = clock
        self._start = clock()
        self._moments = moments(usual)
        self.hurried = usual < _LONG
        """Whether anybody waits for it with something to hold, such as a LUN."""
        self.only_hopes = True
        """Whether the next look only hopes that the operation ends before its time."""

    def __next__(self) -> float:
        """Seconds until the next look."""
        while True:
            moment = next(self._moments)
            wait = self._start + moment - self._clock()
            if wait > -_PAST:
                self.only_hopes = moment < min(self._usual, _HOPE)
                return max(_LEAST, wait)


looks = Looks


_LEAST = 0.05
"""Seconds between the end of a look and the next, also when looks take long."""

_LONG = 60.0
"""Seconds from which on an operation is long: a publication, whose build holds nothing any more."""

_HOPE = 10.0
"""Seconds after which nobody only hopes that an operation ends earlier than usual: it may have failed, too."""

_PAST = 1.0
"""Seconds after which a moment to look has passed: no look takes that long."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation under way. `url` is followed as given (4 kB and signed); `by_location` says how it answers."""

    doing: str
    url: str
    by_location: bool = False

    def token(self) -> str:
        """All that another process needs to follow it, as text. The URL is signed, and holds no credential."""
        return json.dumps({"url": self.url, "by_location": self.by_location})

    @classmethod
    def resumed(cls, doing: str, token: str) -> Operation:
        """The operation that a token speaks of; raises ValueError if it is none."""
        try:
            told = json.loads(token)
            return cls(doing, str(told["url"]), bool(told["by_location"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the token of an operation: {token[:80]!r}") from error


Begun = Callable[[Operation], Awaitable[None]]
"""Hears of an operation that was accepted, before it is waited for: to write down where it can be followed."""


async def unheard(operation: Operation) -> None:
    """Nobody writes it down."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an operation did not succeed."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What one look at an operation showed."""

    done: bool
    error: Failure | None = None
    output: Mapping[str, Any] = field(default_factory=dict)
    """The resource that came of it, where the service tells: it does for disks and snapshots (recorded operation bodies)."""


def operation_of(doing: str, status: int, headers: Mapping[str, str]) -> Operation | None:
    """The operation that an answer speaks of; None when it was done at once (Azure's async-operations document)."""
    if url := headers.get("Azure-AsyncOperation"):
        return Operation(doing, url)
    if status == 202 and (url := headers.get("Location")):
        return Operation(doing, url, by_location=True)
    return None


def progress_of(operation: Operation, response: Any) -> Progress:
    """Read one look: a status body (always HTTP 200), or by Location 202 while it runs."""
    if operation.by_location:
        return Progress(done=response.status_code != 202)
    body = response.json()
    status = str(body.get("status", ""))
    if status == "Succeeded":
        return Progress(done=True, output=(body.get("properties") or {}).get("output") or {})
    if status in ("Failed", "Canceled"):
        error = body.get("error") or {}
        message = error.get("message") or f"the operation ended as {status}"
        return Progress(
            True,
            Failure(
                error.get("code") or status,
                f"{message} ({error.get('code') or status}, while {operation.doing})",
            ),
        )
    return Progress(done=False)  # anything else means: still running
