"""The same images night after night: in which order they begin."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import Place, image_spec, placed

from gilder.engine import RunOptions
from gilder.engine.order import in_order
from gilder.model.outcomes import Built
from gilder.runtime.history import efforts

NIGHT = 600.0
"""Seconds between two runs: Azure's buckets are full again, and access tokens, which know no virtual time, still serve."""


async def night(place: Place, names: list[str]) -> float:
    """Build them all, anew; the seconds it took."""
    await anyio.sleep(NIGHT)
    start = anyio.current_time()
    outcomes = await place.build([image_spec(name) for name in names], RunOptions(force=True))
    assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
    return anyio.current_time() - start


def test_the_longest_work_begins_first_every_night(tmp_path: Path) -> None:
    """What they took counts, not where they stood in the queue: the last in it would else be the first of the next night."""
    names = [f"image{number:02}" for number in range(24)]
    long = {"image11", "image20"}

    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            place.seconds = lambda name: 150.0 if name in long else 20.0
            for _ in range(3):
                await night(place, names)
                known = efforts(await place.journal.last_timings())
                assert set(in_order(names, known)[:2]) == long
                assert all(known[name].working == pytest.approx(place.seconds(name), rel=0.05) for name in names)
                assert all(known[name].attaching < 15 for name in names)

    in_virtual_time(main)


def test_images_that_wait_for_azure_are_not_taken_for_long_ones(tmp_path: Path) -> None:
    """It allows sixty images at once, then twenty a minute."""
    names = [f"image{number:02}" for number in range(80)]

    async def main() -> None:
        async with placed(tmp_path) as place:
            assert await night(place, names) > 60
            known = efforts(await place.journal.last_timings())
            assert max(effort.after for effort in known.values()) < 15

    in_virtual_time(main)
