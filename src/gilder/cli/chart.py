"""A timeline as text for a person; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from gilder.cli.plain import seconds
from gilder.cli.timeline import Span, Timeline
from gilder.model.events import WAITING_FOR, Stage

WAITING = "waiting"
_MOST_ROWS = 100
_LETTERS: dict[str, str] = {
    Stage.RESOLVE: "r",
    Stage.CREATE_DISK: "c",
    Stage.ATTACH: "a",
    Stage.PRE_MOUNT: "e",
    Stage.MOUNT: "m",
    Stage.POST_MOUNT: "o",
    Stage.CHROOT: "h",
    Stage.PROVISION: "P",
    Stage.PRE_UNMOUNT: "b",
    Stage.CHROOT_LEFT: "l",
    Stage.UNMOUNT: "u",
    Stage.SNAPSHOT: "s",
    Stage.PUBLISH: "I",
    Stage.DETACH: "d",
    Stage.CLEAN_UP: "x",
    Stage.POST_PROCESS: "p",
}


def chart(line: Timeline, width: int) -> Iterator[str]:
    """A bar for each build, what each stage cost, the overlap, and what the end waited for."""
    yield from _bars(line, width)
    yield ""
    yield from _stages(line)
    yield ""
    yield from _overlap(line)
    yield ""
    yield from _path(line)


def _bars(line: Timeline, width: int) -> Iterator[str]:
    names = max((cell_len(build) for build in line.spans), default=0)
    names = min(names, max(8, width // 4))
    room = max(10, width - names - 12)
    used: dict[str, str] = {}
    seen: set[str] = set()
    rows = sorted(line.spans.items(), key=lambda item: (_begin(item[1]), item[0]))
    for build, spans in rows[:_MOST_ROWS]:
        bar = "".join(_letter(_at(spans, line, column, room)) for column in range(room)).rstrip()
        used.update({_letter(span.stage): WAITING if span.waits else span.stage for span in spans})
        seen.update(bar)
        took = sum(span.seconds for span in spans if not span.waits)
        yield f"{set_cell_size(build, names)}  {seconds(took):>6}  {bar}"
    if len(rows) > _MOST_ROWS:
        yield f"… and {len(rows) - _MOST_ROWS} more builds"
    legend = [f"{letter} {stage}" for letter, stage in sorted(used.items()) if letter in seen]
    yield ""
    yield f"each letter is {line.seconds / room:.2g} s: {', '.join(legend)}"


def _begin(spans: Sequence[Span]) -> float:
    """When the first stage began."""
    return next((span.start for span in spans if not span.waits), 0.0)


def _at(spans: Sequence[Span], line: Timeline, column: int, room: int) -> str | None:
    """The stage that took most of a column's time; None: none."""
    start = line.start + line.seconds * column / room
    end = line.start + line.seconds * (column + 1) / room
    share: dict[str, float] = {}
    for span in spans:
        inside = min(end, span.end) - max(start, span.start)
        if inside > 0:
            share[span.stage] = share.get(span.stage, 0.0) + inside
    return max(share, key=lambda stage: share[stage], default=None)


def _letter(stage: str | None) -> str:
    if stage is None:
        return " "
    return "." if not stage or stage.startswith(WAITING_FOR) else _LETTERS.get(stage, "?")


def _stages(line: Timeline) -> Iterator[str]:
    totals = line.totals()
    width = max((cell_len(total.stage or WAITING) for total in totals), default=5)
    yield f"{'stage':{width}}    times  together   average   longest                  wall"
    for total in totals:
        average = seconds(total.seconds / total.times)
        longest = f"{seconds(total.longest.seconds):>7} {set_cell_size(total.longest.build, 16)}"
        yield (
            f"{total.stage or WAITING:{width}}  {total.times:>7}  {seconds(total.seconds):>8}  {average:>8}  "
            f"{longest}  {seconds(total.wall):>6}"
        )


def _overlap(line: Timeline) -> Iterator[str]:
    if line.seconds <= 0:
        return
    yield (
        f"overlap: {seconds(line.work)} of stages in {seconds(line.seconds)}, "
        f"{line.work / line.seconds:.1f} builds at work on average, {line.busiest()} at most"
    )
    yield f"waits:   {seconds(line.waits)} of all builds together"


def _path(line: Timeline) -> Iterator[str]:
    path = line.critical_path()
    if not path:
        return
    yield "critical path (what the end waited for):"
    width = max(cell_len(span.stage or WAITING) for span in path)
    for span in path:
        share = 100 * span.seconds / line.seconds if line.seconds > 0 else 0
        at = seconds(max(0.0, span.start - line.start))
        yield f"  {at:>6}  {span.stage or WAITING:{width}}  {seconds(span.seconds):>6} {share:4.0f} %  {span.build}"
