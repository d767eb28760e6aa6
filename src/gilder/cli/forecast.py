"""When a run will be over, as far as one can tell; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gilder.cli.view import Row, State, View
from gilder.model.effort import Effort
from gilder.model.events import THROTTLED

_RECENT = 60.0
"""Seconds whose finished builds tell at which pace Azure lets a run go on when it throttles: it allows so many a minute."""


@dataclass(frozen=True, slots=True)
class _Left:
    """Seconds that one build still takes: in all, while it has a slot, while it works here, and after the slot."""

    whole: float
    in_slot: float
    working: float
    after: float

    @classmethod
    def of(cls, row: Row, usual: Effort, now: float) -> _Left:
        """Of a build that usually takes so much. Waits count neither there nor here."""
        waited = row.waited + (now - row.waiting_since if row.waiting else 0.0)
        done = 0.0 if row.started is None else max(0.0, now - row.started - waited)
        whole = max(0.0, usual.whole - done)
        before = max(0.0, whole - usual.after)
        in_slot = min(usual.in_slot, before + usual.leaving) if before else 0.0
        return cls(whole, in_slot, min(usual.working, before), whole - before)


def remaining(view: View, now: float) -> float | None:
    """Seconds until all are built; None when nothing is known.

    What an image takes is known from its last build, else from the images of this run that are finished, else from the last
    builds of the others. The longest that is left counts, or what all together still need of what they share, whichever is
    more.
    """
    rows = [row for row in view.rows.values() if not row.state.over]
    here = [row.effort for row in view.rows.values() if row.state is State.BUILT]
    typical = Effort.typical(here or list(view.usual.values()))
    if not rows or typical is None or view.gauges.slots is None:
        return None
    left = [_Left.of(row, view.usual.get(row.build, typical), now) for row in rows]
    # Work that was measured on crowded CPUs goes faster with fewer beside it; all together are as fast as before.
    faster = [view.gauges.crowded and row.build not in view.usual for row in rows]
    alone = [one.whole - one.working * crowded for one, crowded in zip(left, faster, strict=True)]
    return max(*alone, *_shared(view, left), _throttled(view, now, len(rows)))


def _shared(view: View, left: Sequence[_Left]) -> Iterator[float]:
    """The seconds that they need at least for the slots, for this machine's CPUs, and for places among --parallel-builds."""
    gauges, end = view.gauges, min(one.after for one in left)
    if gauges.slots:
        yield sum(one.in_slot for one in left) / gauges.slots + end
    if gauges.places:
        yield sum(one.working for one in left) / gauges.places + end
    if gauges.builds:
        yield sum(one.whole for one in left) / gauges.builds


def _throttled(view: View, now: float, builds: int) -> float:
    """The seconds that so many builds need at the pace at which Azure lets them go on, while it throttles."""
    if not any(row.waiting == THROTTLED for row in view.rows.values()):
        return 0.0
    recent = sum(row.state is State.BUILT and row.ended > now - _RECENT for row in view.rows.values())
    return builds * _RECENT / recent if recent else 0.0
