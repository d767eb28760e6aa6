"""The same images night after night: in which order they begin, and what a run says of its end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import Place, image_spec, placed

from gilder.cli.forecast import remaining
from gilder.cli.view import View, fold
from gilder.engine import RunOptions
from gilder.engine.order import in_order
from gilder.model.effort import Effort
from gilder.model.events import Event
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


@pytest.mark.parametrize(
    ("slots", "builds", "seconds", "share", "parallel", "within"),
    [
        pytest.param(4, 24, 30.0, 0.25, 0, 0.15, id="slots"),
        pytest.param(32, 100, 30.0, 0.25, 0, 0.3, id="writes and images"),
        pytest.param(32, 48, 60.0, 0.9, 0, 0.3, id="CPUs"),
        pytest.param(32, 16, 60.0, 0.25, 0, 0.15, id="nothing"),
        pytest.param(32, 16, 60.0, 0.25, 4, 0.15, id="parallel builds"),
    ],
)
def test_the_end_is_foretold(
    tmp_path: Path, slots: int, builds: int, seconds: float, share: float, parallel: int, within: float
) -> None:
    """To a part of the run, whatever limits it: on the second night from its start on, on the first once one is built."""
    names = [f"image{number:03}" for number in range(builds)]
    options = RunOptions(force=True, parallel_builds=parallel)

    async def main() -> None:
        async with placed(tmp_path, slots) as place:
            place.seconds, place.cpu_share = lambda name: seconds, share
            for first in (True, False):
                await anyio.sleep(NIGHT)
                usual = efforts(await place.journal.last_timings())
                said, took = await foretold(place, names, options, usual)
                known = [(at, left) for at, left in said if left is not None]
                assert first or len(known) == len(said)
                assert all(abs(left - (took - at)) < within * took for at, left in known), (took, known)

    in_virtual_time(main)


async def foretold(
    place: Place, names: list[str], options: RunOptions, usual: dict[str, Effort]
) -> tuple[list[tuple[float, float | None]], float]:
    """Build, and note every five seconds what is said of the end; the notes, and the seconds until the end."""
    start = anyio.current_time()
    view = View.of(names, start, usual)
    said: list[tuple[float, float | None]] = []

    def tell(event: Event) -> None:
        nonlocal view
        view = fold(view, event)

    async def watch() -> None:
        while True:
            await anyio.sleep(5)
            assert place.site is not None
            gauges = replace(place.site.gauges(), builds=options.parallel_builds or None)
            now = anyio.current_time()
            said.append((now - start, remaining(replace(view, gauges=gauges), now)))

    place.tell = tell
    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await place.build([image_spec(name) for name in names], options)
        group.cancel_scope.cancel()
    return said, anyio.current_time() - start
