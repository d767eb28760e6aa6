"""`events.jsonl`: what happened in a run, one JSON object a line, for programs. Its format is in docs/cli.md."""

from __future__ import annotations

import json
import re
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import anyio

from gilder.model.events import Event, Stage

NAME = "events.jsonl"


class EventLog(AbstractContextManager["EventLog"]):
    """A sink that writes each event to `FOLDER/events.jsonl` at once; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / NAME).open("a", encoding="ascii")

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk, which `Together` has told of; it is closed all the same
            self._file.close()

    def __call__(self, event: Event) -> None:
        self._write(as_json(event, time.time() - anyio.current_time()))

    def run(self, kind: str, **values: object) -> None:
        """Note what concerns the whole run: its begin and its end. A full disk must not fail it, as for other events."""
        with suppress(OSError):
            self._write({"type": kind, "time": _iso(time.time()), **values})

    def _write(self, value: dict[str, object]) -> None:
        self._file.write(json.dumps(value) + "\n")
        self._file.flush()


def as_json(event: Event, epoch: float) -> dict[str, object]:
    """An event as it is written: `type`, `time`, `build`, then its other fields. `epoch` is when monotonic time was 0."""
    own = {field.name: _value(getattr(event, field.name)) for field in fields(event) if field.name not in _FIRST}
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(event).__name__).lower()
    return {"type": kind, "time": _iso(epoch + event.at), "at": round(event.at, 6), "build": event.build, **own}


_FIRST = ("build", "at")


def _value(value: object) -> object:
    match value:
        case Stage():
            return value.name.lower().replace("_", "-")
        case float():
            return round(value, 6)
        case _:
            return value


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
