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
_LOW = 6
"""Lines of a terminal that is too low for a second line of totals."""


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
    totals = _totals(view, now, width, symbols)[: 1 if height < _LOW else None]
    shown, hidden = _chosen(list(view.rows.values()), height - len(totals))
    columns = _Columns.of(shown, now, width)
    lines = [_row(row, now, columns, symbols) for row in shown]
    if hidden:
        lines.append(_fit(f"{symbols.more} {_counted(hidden)} not shown", width, symbols))
    return [*lines, *(_fit(line, width, symbols) for line in totals)]


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


def _totals(view: View, now: float, width: int, symbols: Symbols) -> list[str]:
    """How far the run is; then, in a line of its own where there is no room beside it, what the builds share."""
    so_far = seconds(max(0.0, now - view.started))
    if all(row.state.over for row in view.rows.values()):
        return [f"{_counted(view.rows.values())} in {so_far}"]
    left = remaining(view, now) or 0.0
    end = f", about {seconds(left)} to go" if left >= 1 else ""
    short = " ".join(f"{view.count(state)}{symbols.of(Row('', state))}" for state in State if view.count(state))
    head = _widest(
        [f"{_counted(view.rows.values())}, {so_far} so far{end}", f"{short} {so_far}{end}", f"{short} {so_far}"], width
    )
    shared = _gauged(view.gauges)
    if not shared:
        return [head]
    together = f"{head}; {shared[0]}"
    return [together] if cell_len(together) <= width else [head, _widest(shared, width)]


def _gauged(gauges: Gauges) -> list[str]:
    """What the builds share, in more words and in fewer: slots in use, and the requests that Azure still allows."""
    slots = "" if gauges.slots is None else f"{gauges.slots_used} of {gauges.slots} slots"
    left = ", ".join(f"{count} {what}" for what, count in gauges.requests)
    long = [f"{slots} in use" if slots else "", f"Azure allows {left} more" if left else ""]
    return ["; ".join(part for part in parts if part) for parts in (long, [slots, left])] if slots or left else []


def _widest(texts: Sequence[str], width: int) -> str:
    """The first that fits, else the last."""
    return next((text for text in texts if cell_len(text) <= width), texts[-1])


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
