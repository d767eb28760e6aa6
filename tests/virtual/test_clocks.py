"""Clocks that jump: what is wall time is only shown, and what is measured goes on."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import VM, Place, image_spec, placed

import gilder.azure.clock
import gilder.build.site
import gilder.engine.run
import gilder.runtime.journal
from gilder.azure.labels import labelled
from gilder.build.leases import LEASE
from gilder.engine import RunOptions
from gilder.model.deadlines import Deadlines
from gilder.model.outcomes import Built, Outcome
from gilder.slots import Slot


class Jumping(ModuleType):
    """In place of the module `time`, with a wall clock that jumps by days, back and forth, at every look."""

    def __init__(self, seed: int) -> None:
        super().__init__("time")
        self._rng = Random(seed)

    def time(self) -> float:
        return time.time() + self._rng.uniform(-1e6, 1e6)


class Astray(datetime):
    """In place of the class `datetime`, three days ahead."""

    @classmethod
    def now(cls, tz: object = None) -> Astray:
        moment = datetime.now(UTC) + timedelta(days=3)
        return cls.fromtimestamp(moment.timestamp(), UTC)


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """gilder's own wall clocks; those of azure-identity must go right, or its tokens are thrown away too early or late."""
    for module in (gilder.engine.run, gilder.runtime.journal):
        monkeypatch.setattr(module, "time", Jumping(1))
    for module in (gilder.build.site, gilder.azure.clock):
        monkeypatch.setattr(module, "datetime", Astray)


async def outcomes(place: Place) -> list[Outcome]:
    """Eight builds with deadlines, one of which misses its own."""
    place.seconds = lambda build: 60.0
    deadlines = RunOptions(deadlines=Deadlines(300.0))
    late = image_spec("late").model_copy(update={"stage_deadlines": {"snapshot": 0.2}})
    return await place.build([*(image_spec(f"image{n}") for n in range(7)), late], deadlines)


def test_a_wall_clock_that_jumps_changes_nothing_but_what_is_shown(tmp_path: Path, jumping: None) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            found = await outcomes(place)
            assert [isinstance(outcome, Built) for outcome in found] == [True] * 7 + [False]
            timings = await place.journal.timings("run1")
            assert all(0 <= timing.seconds < 200 for timing in timings)
            assert place.left() == []
            assert all(60 < outcome.seconds < 120 for outcome in found)

    in_virtual_time(main)


def test_a_lease_is_by_the_clock_of_the_service(tmp_path: Path, jumping: None) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            seen: list[timedelta] = []

            class Looking(Place):
                async def work(self, job: object, slot: Slot, turns: object) -> None:
                    for one in await labelled(self.arm, VM.subscription, VM.resource_group):
                        if LEASE in one.tags:
                            service = datetime.fromtimestamp(self.world.clock(), UTC)
                            seen.append(datetime.fromisoformat(one.tags[LEASE]) - service)

            looking = Looking(place.world, place.application, place.plugs, place.arm, place.journal)
            (outcome,) = await looking.build([image_spec("one")])
            assert isinstance(outcome, Built), outcome
            assert len(seen) == 1
            assert timedelta(hours=11, minutes=55) < seen[0] <= timedelta(hours=12)

    in_virtual_time(main)
