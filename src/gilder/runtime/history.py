"""What the timings of earlier runs tell of a build; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gilder.model.effort import Effort
from gilder.model.events import WAITING_FOR
from gilder.runtime.journal import TimingRecord


def efforts(timings: Iterable[TimingRecord]) -> dict[str, Effort]:
    """What each build takes, by the timings of one run of it.

    Waits are told apart, within a stage too: the order of the next night would else go by the queues of the last one, and who
    waited longest there would come first here.
    """
    by_build: dict[str, list[TimingRecord]] = {}
    for timing in timings:
        by_build.setdefault(timing.build, []).append(timing)
    return {build: _effort(own) for build, own in by_build.items()}


def _effort(timings: Sequence[TimingRecord]) -> Effort:
    waits = [timing for timing in timings if timing.stage.startswith(WAITING_FOR)]
    found = Effort()
    for timing in timings:
        if timing.ok:  # a step that failed was tried again
            waited = sum(_together(timing, wait) for wait in waits)
            found = found.with_stage(timing.stage, max(0.0, timing.seconds - waited))
    return found


def _together(one: TimingRecord, other: TimingRecord) -> float:
    """The seconds in which both ran."""
    end = min(one.started + one.seconds, other.started + other.seconds)
    return max(0.0, end - max(one.started, other.started))
