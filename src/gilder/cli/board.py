"""The live board, as lines: a view, a moment and a size in, text out; pure.

With room for every image there is a row each. When the terminal is too small, finished rows collapse first (those that
went well before those that failed), then queued ones, then the images that began last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from gilder.cli.forecast import remaining
from gilder.cli.plain import seconds
from gilder.cli.view import Row, State, View
from gilder.model.gauges import Gauges

_NAME_MOST = 32
"""Columns for a name; longer ones are cut in the middle, because names of a matrix differ at their ends."""
_ELAPSED = 6


@dataclass(frozen=True, slots=True)
class Symbols:
    """What marks the state of a row. All are one column wide."""

    queued: str = "·"
    running: str = "▸"
    waiting: str = "◦"
    built: str = "✔"
    failed: str = "✘"
    cancelled: str = "■"
    more: str = "…"
    rule: str = "─"

    def of(self, row: Row) -> str:
        """The mark of a row."""
        if row.state is State.RUNNING and row.waiting:
            return self.waiting
        return str(getattr(self, row.state.value))


UNICODE = Symbols()
ASCII = Symbols(".", ">", "~", "+", "x", "#", "~", "-")


def render(view: View, now: float, width: int, height: int, symbols: Symbols = UNICODE) -> list[str]:
    """The board as at most `height` lines of at most `width` columns; the totals come last and are never left out."""
    if height < 1 or width < 1:
        return []
    shown, hidden = _chosen(list(view.rows.values()), height - 1)
    columns = _Columns.of(shown, now, width)
    lines = [_row(row, now, columns, symbols) for row in shown]
    if hidden:
        lines.append(_fit(f"{symbols.more} {_counted(hidden)} not shown", width, symbols))
    return [*lines, _fit(_totals(view, now, width, symbols), width, symbols)]


def _chosen(rows: list[Row], room: int) -> tuple[list[Row], list[Row]]:
    """The rows that are shown, in their order, and those for which there is no room."""
    if len(rows) <= room:
        return rows, []
    keep = {row.build for row in sorted(rows, key=_importance)[: max(0, room - 1)]}
    if room < 1:
        return [], []
    return [row for row in rows if row.build in keep], [row for row in rows if row.build not in keep]


def _importance(row: Row) -> tuple[int, float]:
    order = (State.RUNNING, State.QUEUED, State.FAILED, State.CANCELLED, State.BUILT)
    return order.index(row.state), row.started or 0.0


@dataclass(frozen=True, slots=True)
class _Columns:
    """The widths of what rows share: name, time and stage stand below each other."""

    width: int
    name: int
    stage: int

    @classmethod
    def of(cls, rows: Sequence[Row], now: float, width: int) -> _Columns:
        name = min(max((cell_len(row.build) for row in rows), default=0), _NAME_MOST, max(8, width // 3))
        widest = max((cell_len(_doing(row, now, width)) for row in rows if row.line), default=0)
        room = width - name - _ELAPSED - 5
        return cls(width, name, min(max(widest, 22), max(room // 2, room - 40)))


def _row(row: Row, now: float, columns: _Columns, symbols: Symbols) -> str:
    elapsed = row.took if row.state.over else now - row.started if row.started is not None else None
    time = "" if elapsed is None else seconds(max(0.0, elapsed))
    name = set_cell_size(_name(row.build, columns.name, symbols), columns.name)
    head = f"{symbols.of(row)} {name} {time:>{_ELAPSED}}"
    what = _doing(row, now, columns.width)
    room = columns.width - cell_len(head) - 2
    if room < 8:
        return _fit(head, columns.width, symbols).rstrip()
    beside = room - columns.stage - 2
    if not row.line or row.state is State.BUILT or beside < 12:
        return f"{head}  {_fit(what, room, symbols)}".rstrip()
    stage = set_cell_size(_fit(what, columns.stage, symbols), columns.stage)
    return f"{head}  {stage}  {_fit(row.line, beside, symbols)}".rstrip()


def _doing(row: Row, now: float, width: int) -> str:
    if row.state is State.QUEUED:
        return f"queued, waiting for {row.waiting}" if row.waiting else "queued"
    if row.state.over:
        left = f", {row.residues} left behind" if row.residues else ""
        where = row.failed_at or row.stage
        return f"{row.state}{left}, {where}" if where and row.state is not State.BUILT else f"{row.state}{left}"
    if row.waiting:
        return f"waiting for {row.waiting}"
    since = f" {seconds(max(0.0, now - row.stage_since))}" if width >= 100 else ""
    return f"{row.stage}{since}"


def _totals(view: View, now: float, width: int, symbols: Symbols) -> str:
    if all(row.state.over for row in view.rows.values()):
        return f"{_counted(view.rows.values())} in {seconds(max(0.0, now - view.started))}"
    left = remaining(view, now) or 0.0
    end = f", about {seconds(left)} to go" if left >= 1 else ""
    text = f"{_counted(view.rows.values())}, {seconds(max(0.0, now - view.started))} so far{end}"
    slots, requests = _gauged(view.gauges)
    for whole in (f"{text}{slots}{requests}", f"{text}{slots}", text):
        if cell_len(whole) <= width:
            return whole
    short = " ".join(f"{view.count(state)}{symbols.of(Row('', state))}" for state in State if view.count(state))
    return f"{short} {seconds(max(0.0, now - view.started))}"


def _gauged(gauges: Gauges) -> tuple[str, str]:
    """What the builds share, as two ends of the totals: slots in use, and the requests that Azure still allows."""
    slots = "" if gauges.slots is None else f"; {gauges.slots_used} of {gauges.slots} slots in use"
    left = ", ".join(f"{count} {what}" for what, count in gauges.requests)
    return slots, f"; Azure allows {left} more" if left else ""


def _counted(rows: Iterable[Row]) -> str:
    """How many there are in each state: `3 running, 1 built`."""
    states = [row.state for row in rows]
    return ", ".join(f"{states.count(state)} {state}" for state in State if state in states) or "nothing to build"


def _fit(text: str, width: int, symbols: Symbols) -> str:
    """The text, cut to at most `width` columns with a mark where something is missing."""
    if cell_len(text) <= width:
        return text
    if width < 1:
        return ""
    return set_cell_size(text, width - 1).rstrip() + symbols.more


def _name(text: str, width: int, symbols: Symbols) -> str:
    if cell_len(text) <= width:
        return text
    tail = text[-(width // 2) :]
    return set_cell_size(text, max(0, width - cell_len(tail) - 1)) + symbols.more + tail
