"""What a run looks like at one moment, folded from its events; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import median

from gilder.model.events import Event, Finished, LeftBehind, OutputLine, Said, StageFinished, StageStarted, Waiting
from gilder.model.gauges import Gauges

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""ECMA-48 control sequences (CSI), operating-system commands (OSC) and two-byte escapes."""
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")


class State(StrEnum):
    """How far an image is; the words are what a person reads."""

    QUEUED = "queued"
    RUNNING = "running"
    BUILT = "built"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self in (State.BUILT, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Row:
    """One image. Times are seconds of the monotonic clock that events carry."""

    build: str
    state: State = State.QUEUED
    started: float | None = None
    stage: str = ""
    """Where it is; between two stages, the one that has just ended."""
    stage_since: float = 0.0
    within: tuple[tuple[str, float], ...] = ()
    """The stages that are open, the innermost last, and since when."""
    failed_at: str = ""
    """The first stage that did not end well."""
    waiting: str = ""
    line: str = ""
    """The last line of output, or the last remark."""
    took: float = 0.0
    residues: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """A run: one row per image, in the order of the template. `usual` is how many seconds an image took last time."""

    started: float
    rows: Mapping[str, Row]
    usual: Mapping[str, float] = field(default_factory=dict)
    most: int = 0
    """The most images seen at work at the same time."""
    gauges: Gauges = field(default_factory=Gauges)

    @classmethod
    def of(cls, builds: Sequence[str], started: float, usual: Mapping[str, float] | None = None) -> View:
        """A run that has not begun."""
        return cls(started, {build: Row(build) for build in builds}, usual or {})

    def count(self, state: State) -> int:
        """How many images are in this state."""
        return sum(row.state is state for row in self.rows.values())


def fold(view: View, event: Event) -> View:
    """The view after an event."""
    row = _row(view.rows.get(event.build, Row(event.build)), event)
    rows = {**view.rows, event.build: row}
    running = sum(row.state is State.RUNNING for row in rows.values()) if isinstance(event, StageStarted) else 0
    return replace(view, rows=rows, most=max(view.most, running))


def _row(row: Row, event: Event) -> Row:
    match event:
        case StageStarted():
            started = event.at if row.started is None else row.started
            entered = replace(row, state=State.RUNNING, started=started, waiting="")
            return _standing(entered, (*row.within, (str(event.stage), event.at)))
        case StageFinished():
            failed_at = row.failed_at or ("" if event.ok else str(event.stage))
            return _standing(replace(row, waiting="", failed_at=failed_at), _left(row.within, str(event.stage)))
        case OutputLine():
            return replace(row, line=visible(event.text)) if event.text.strip() else row
        case Said():
            return replace(row, line=visible(event.text.strip().splitlines()[-1])) if event.text.strip() else row
        case Waiting():
            return replace(row, waiting=visible(event.what))
        case LeftBehind():
            return replace(row, residues=row.residues + 1)
        case Finished():
            state = State(event.status)
            line = visible((event.text.splitlines() or [""])[0]) or row.line
            return replace(row, state=state, took=event.seconds, waiting="", line=line)
        case _:
            return row


def _standing(row: Row, within: tuple[tuple[str, float], ...]) -> Row:
    """The row with these stages open; between two stages the last one stays in sight."""
    stage, since = within[-1] if within else (row.stage, row.stage_since)
    return replace(row, within=within, stage=stage, stage_since=since)


def _left(within: tuple[tuple[str, float], ...], ended: str) -> tuple[tuple[str, float], ...]:
    """The open stages without the innermost of this name."""
    for i in range(len(within) - 1, -1, -1):
        if within[i][0] == ended:
            return within[:i] + within[i + 1 :]
    return within


def visible(text: str) -> str:
    """A line of output without what moves a cursor or changes colours."""
    return _ESCAPES.sub("", text).translate(_CONTROLS).strip()


def remaining(view: View, now: float) -> float | None:
    """Seconds until all are built, as far as one can tell; None when nothing is known.

    What an image takes is known from its last build, else from the images of this run that are finished. The queue is
    assumed to be worked off as wide as the run has been so far.
    """
    done = [row.took for row in view.rows.values() if row.state is State.BUILT]
    typical = median(done) if done else None
    ahead: list[float] = []
    work = 0.0
    for row in view.rows.values():
        if row.state.over:
            continue
        usual = view.usual.get(row.build, typical)
        if usual is None:
            return None
        left = max(0.0, usual - (now - row.started)) if row.started is not None else usual
        ahead.append(left)
        work += left
    if not ahead:
        return None
    return max(*ahead, work / max(1, view.most)) if len(ahead) > 1 else ahead[0]
