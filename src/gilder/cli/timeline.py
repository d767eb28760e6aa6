"""Where the time of a run went, worked out from the times of its stages; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from gilder.model.events import WAITING_FOR
from gilder.runtime.journal import TimingRecord

_NOTHING = 0.2
"""Seconds between two stages that are no wait: gilder itself takes some."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time of one build, in a stage or waiting: for what `stage` says, or "" between stages. Since 1970."""

    build: str
    stage: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.start

    @property
    def waits(self) -> bool:
        """Whether the build stood still."""
        return not self.stage or self.stage.startswith(WAITING_FOR)


@dataclass(frozen=True, slots=True)
class StageTotal:
    """A stage over all builds: their seconds together, and the seconds in which at least one was in it."""

    stage: str
    times: int
    seconds: float
    wall: float
    longest: Span


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run's time: `spans` has the stretches of each build without gaps, in order, from the run's start on."""

    start: float
    end: float
    spans: Mapping[str, Sequence[Span]]

    @classmethod
    def of(cls, timings: Iterable[TimingRecord], start: float, end: float) -> Timeline:
        """The timeline of the stages recorded; `start` and `end` are those of the run."""
        stages: dict[str, list[Span]] = {}
        for t in timings:
            stages.setdefault(t.build, []).append(Span(t.build, t.stage, t.started, t.started + t.seconds))
        return cls(start, end, {build: list(_without_gaps(build, _flat(own), start)) for build, own in stages.items()})

    @property
    def seconds(self) -> float:
        """The wall time of the run."""
        return self.end - self.start

    @property
    def work(self) -> float:
        """The seconds of all builds in their stages together."""
        return sum(span.seconds for own in self.spans.values() for span in own if not span.waits)

    @property
    def waits(self) -> float:
        """The seconds in which builds stood still: waiting for a slot, a write to the VM, a CPU, their turn, or gilder."""
        return sum(span.seconds for own in self.spans.values() for span in own if span.waits)

    def totals(self) -> list[StageTotal]:
        """Each stage over all builds, the costliest first; waiting comes as the stage ""."""
        by_stage: dict[str, list[Span]] = {}
        for own in self.spans.values():
            for span in own:
                by_stage.setdefault(span.stage, []).append(span)
        found = [
            StageTotal(stage, len(spans), sum(s.seconds for s in spans), _covered(spans), max(spans, key=_seconds))
            for stage, spans in by_stage.items()
        ]
        return sorted(found, key=lambda total: -total.seconds)

    def busiest(self) -> int:
        """The most builds that were in a stage at the same time."""
        steps = sorted(
            step
            for own in self.spans.values()
            for span in own
            if not span.waits
            for step in ((span.start, 1), (span.end, -1))
        )
        most = now = 0
        for _, change in steps:
            now += change
            most = max(most, now)
        return most

    def critical_path(self) -> list[Span]:
        """What the run's end waited for, from its start on: shortening anything else would not have ended it sooner.

        Walked backwards from the build that ended last. Where a build waited, the path goes on in the build whose stage
        ended last before the wait was over, if that was during the wait: it is what gave way.
        """
        ends = [(own[-1].end, build) for build, own in self.spans.items() if own]
        if not ends:
            return []
        moment, build = max(ends)
        path: list[Span] = []
        while (span := self._before(build, moment)) is not None:
            other = self._gave_way(span, moment) if span.waits else None
            if other is not None:
                build, moment = other.build, other.end
                continue
            path.append(replace(span, end=min(span.end, moment)))
            moment = span.start
        return list(_joined(reversed(path)))

    def _before(self, build: str, moment: float) -> Span | None:
        return next((span for span in reversed(self.spans[build]) if span.start < moment), None)

    def _gave_way(self, wait: Span, moment: float) -> Span | None:
        during = [
            span
            for build, own in self.spans.items()
            if build != wait.build
            for span in own
            if not span.waits and wait.start < span.end <= moment
        ]
        return max(during, key=lambda span: span.end, default=None)


def _seconds(span: Span) -> float:
    return span.seconds


def _flat(spans: Iterable[Span]) -> list[Span]:
    """Stretches that do not overlap: where a stage runs within another, the one begun later counts."""
    given = sorted(spans, key=lambda span: (span.start, -span.end))
    moments = sorted({moment for span in given for moment in (span.start, span.end)})
    found: list[Span] = []
    for start, end in pairwise(moments):
        inside = [span for span in given if span.start <= start and end <= span.end]
        if inside:
            found.append(replace(inside[-1], start=start, end=end))
    return list(_joined(found))


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """Neighbours of the same build and stage become one."""
    last: Span | None = None
    for span in spans:
        if last and last.build == span.build and last.stage == span.stage and span.start <= last.end + _NOTHING:
            last = replace(last, end=span.end)
            continue
        if last:
            yield last
        last = span
    if last:
        yield last


def _without_gaps(build: str, spans: Sequence[Span], start: float) -> Iterator[Span]:
    """The stretches with the waits between them."""
    at = start
    for span in spans:
        if span.start - at > _NOTHING:
            yield Span(build, "", at, span.start)
        yield span
        at = span.end


def _covered(spans: Iterable[Span]) -> float:
    """The seconds in which at least one of them runs."""
    total, until = 0.0, float("-inf")
    for span in sorted(spans, key=lambda span: span.start):
        total += max(0.0, span.end - max(span.start, until))
        until = max(until, span.end)
    return total
