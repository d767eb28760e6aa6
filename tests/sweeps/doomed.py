"""gilder that gets a signal at one point of its life: `python -m tests.sweeps.doomed POINT SIGNALS ARGUMENTS…`.

A point is `KIND:SIDE:NUMBER`, such as `record:before:7`: the seventh record of the journal, written and not yet
committed. `count:FILE` sends nothing and writes into FILE how many of each kind there were. SIGNALS are names with commas
between them, `SIGINT,SIGTERM`; one comes a moment after the other.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Literal

import anyio
from azure.core.pipeline.transport import AioHttpTransport

from gilder.cli import main
from gilder.runtime.journal import Journal

Kind = Literal["record", "program", "request"]
Side = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Point:
    """Where gilder is struck: at the `number`th record of the journal, program started, or request that changes something;
    `before` it takes effect or just `after`, when nothing else has been done yet."""

    kind: Kind
    side: Side
    number: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.side}:{self.number}"


_seen: Counter[tuple[str, str]] = Counter()
_point = ""
_signals: list[signal.Signals] = []
_BETWEEN = 0.1
"""Seconds from one signal to the next; those that come together may count as one."""


def reached(kind: Kind, side: Side) -> None:
    """Count, and send the signals when it is the point."""
    _seen[kind, side] += 1
    if _point == f"{kind}:{side}:{_seen[kind, side]}":
        os.kill(os.getpid(), _signals[0])
        threading.Thread(target=_more, daemon=True).start()


def _more() -> None:
    for number in _signals[1:]:
        time.sleep(_BETWEEN)
        os.kill(os.getpid(), number)


def doom_records() -> None:
    """Count what is committed to the journal; what only reads it does not count."""
    do = Journal._do

    async def counted(self: Journal, work: Callable[[Connection], Any]) -> Any:
        wrote = False

        def watched(database: Connection) -> Any:
            nonlocal wrote
            before = database.total_changes
            result = work(database)
            if wrote := database.total_changes > before:
                reached("record", "before")
            return result

        result = await do(self, watched)
        if wrote:
            reached("record", "after")
        return result

    Journal._do = counted  # type: ignore[method-assign]


def doom_programs() -> None:
    """Count what is started: each by `gilder.host.run`, the sandboxes among them."""
    start = anyio.open_process

    async def counted(*args: Any, **options: Any) -> Any:
        reached("program", "before")
        process = await start(*args, **options)
        reached("program", "after")
        return process

    anyio.open_process = counted


def doom_requests() -> None:
    """Count the requests that change something in the cloud."""
    send = AioHttpTransport.send

    async def counted(self: Any, request: Any, **options: Any) -> Any:
        if request.method.upper() == "GET":
            return await send(self, request, **options)
        reached("request", "before")
        response = await send(self, request, **options)
        reached("request", "after")
        return response

    AioHttpTransport.send = counted


if __name__ == "__main__":
    _point, signals = sys.argv.pop(1), sys.argv.pop(1)
    _signals = [signal.Signals[name] for name in signals.split(",")]
    doom_records()
    doom_programs()
    doom_requests()
    try:
        main()
    finally:
        if _point.startswith("count:"):
            counts = {f"{kind}:{side}": number for (kind, side), number in _seen.items()}
            Path(_point.removeprefix("count:")).write_text(json.dumps(counts))
