"""What a run looks like at one moment, folded from its events; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gilder.model.effort import Effort
from gilder.model.events import Event, Finished, LeftBehind, OutputLine, Said, StageFinished, StageStarted, Waiting
from gilder.model.gauges import Gauges
from gilder.runtime.bare import ESCAPES

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
class Open:
    """A stage that a build is in: since when, and how long the build had waited by then."""

    stage: str
    since: float
    waited: float


@dataclass(frozen=True, slots=True)
class Row:
    """One image. Times are seconds of the monotonic clock that events carry."""

    build: str
    state: State = State.QUEUED
    started: float | None = None
    stage: str = ""
    """Where it is; between two stages, the one that has just ended."""
    stage_since: float = 0.0
    within: tuple[Open, ...] = ()
    """The stages that are open, the innermost last."""
    failed_at: str = ""
    """The first stage that did not end well."""
    waiting: str = ""
    waiting_since: float = 0.0
    waited: float = 0.0
    """Seconds of its waits that are over, since its first stage began."""
    effort: Effort = field(default_factory=Effort)
    """What it has taken in the stages that are over."""
    line: str = ""
    """The last line of output, or the last remark."""
    took: float = 0.0
    ended: float = 0.0
    residues: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """A run: one row per image, in the order of the template. `usual` is what an image took last time."""

    started: float
    rows: Mapping[str, Row]
    usual: Mapping[str, Effort] = field(default_factory=dict)
    gauges: Gauges = field(default_factory=Gauges)

    @classmethod
    def of(cls, builds: Sequence[str], started: float, usual: Mapping[str, Effort] | None = None) -> View:
        """A run that has not begun."""
        return cls(started, {build: Row(build) for build in builds}, usual or {})

    def count(self, state: State) -> int:
        """How many images are in this state."""
        return sum(row.state is state for row in self.rows.values())


def fold(view: View, event: Event) -> View:
    """The view after an event."""
    row = _row(view.rows.get(event.build, Row(event.build)), event)
    return replace(view, rows={**view.rows, event.build: row})


def _row(row: Row, event: Event) -> Row:
    match event:
        case StageStarted():
            row = _waiting(row, "", event.at)
            started = event.at if row.started is None else row.started
            entered = replace(row, state=State.RUNNING, started=started)
            return _standing(entered, (*row.within, Open(str(event.stage), event.at, row.waited)))
        case StageFinished():
            return _left(_waiting(row, "", event.at), event)
        case OutputLine():
            return replace(row, line=visible(event.text)) if event.text.strip() else row
        case Said():
            return replace(row, line=visible(event.text.strip().splitlines()[-1])) if event.text.strip() else row
        case Waiting():
            return _waiting(row, visible(event.what), event.at)
        case LeftBehind():
            return replace(row, residues=row.residues + 1)
        case Finished():
            state = State(event.status)
            line = visible((event.text.splitlines() or [""])[0]) or row.line
            return replace(row, state=state, took=event.seconds, ended=event.at, waiting="", line=line)
        case _:
            return row


def _waiting(row: Row, what: str, at: float) -> Row:
    """The row when the build begins to wait for something, or ("") goes on."""
    over = at - row.waiting_since if row.waiting and row.started is not None else 0.0
    return replace(row, waiting=what, waiting_since=at, waited=row.waited + over)


def _standing(row: Row, within: tuple[Open, ...]) -> Row:
    """The row with these stages open; between two stages the last one stays in sight."""
    stage, since = (within[-1].stage, within[-1].since) if within else (row.stage, row.stage_since)
    return replace(row, within=within, stage=stage, stage_since=since)


def _left(row: Row, event: StageFinished) -> Row:
    """The row without the innermost of its open stages of this name, whose time without the waits is known now."""
    for i, entered in reversed(list(enumerate(row.within))):
        if entered.stage == event.stage:
            without_waits = max(0.0, event.seconds - (row.waited - entered.waited))
            effort = row.effort.with_stage(event.stage, without_waits) if event.ok else row.effort
            row = _standing(replace(row, effort=effort), row.within[:i] + row.within[i + 1 :])
            break
    return row if event.ok or row.failed_at else replace(row, failed_at=str(event.stage))


def visible(text: str) -> str:
    """A line of output without what moves a cursor or changes colours."""
    return ESCAPES.sub("", text).translate(_CONTROLS).strip()
