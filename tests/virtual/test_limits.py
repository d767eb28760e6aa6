"""How many builds work on this machine at a time."""

from __future__ import annotations

from pathlib import Path

import anyio
from tests.virtual.loop import in_virtual_time

from gilder.build.limits import Limits
from gilder.build.story import Story
from gilder.host.pressure import crowded
from gilder.runtime.locks import KeyedLocks, Turns


class Workers:
    """Builds that work for ten seconds each, one core, CPUs crowded on demand."""

    def __init__(self) -> None:
        self.crowded = False
        self.now = self.most = self.done = 0
        self.limits = Limits(1, lambda: self.crowded)

    async def one(self) -> None:
        async with self.limits.working(Story("build", lambda event: None)):
            self.now += 1
            self.most = max(self.most, self.now)
            await anyio.sleep(10)
            self.now -= 1
            self.done += 1

    async def many(self, builds: int) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(builds):
                group.start_soon(self.one)


def test_crowded_cpus_take_fewer_builds() -> None:
    async def main() -> None:
        free, full = Workers(), Workers()
        full.crowded = True
        await free.many(20)
        await full.many(20)
        assert (free.most, free.done) == (8, 20)
        assert (full.most, full.done) == (5, 20)

    in_virtual_time(main)


def test_more_begin_when_the_cpus_have_time_again() -> None:
    async def main() -> None:
        workers = Workers()
        workers.crowded = True
        async with anyio.create_task_group() as group:
            group.start_soon(workers.many, 8)
            await anyio.sleep(5)
            assert workers.now == 5
            workers.crowded = False
            await anyio.sleep(1.1)
            assert workers.now == 6
            await anyio.sleep(3.1)
            assert workers.now == 7, "one for each CPU, then another look"

    in_virtual_time(main)


def test_no_more_begin_at_once_than_the_cpus_can_take_before_that_shows() -> None:
    async def main() -> None:
        workers = Workers()
        async with anyio.create_task_group() as group:
            group.start_soon(workers.many, 8)
            await anyio.sleep(0.1)
            assert workers.now == 5
            workers.crowded = True
            await anyio.sleep(5)
            assert workers.now == 5

    in_virtual_time(main)


def test_a_build_that_is_stopped_while_it_waits_holds_nobody_up() -> None:
    async def main() -> None:
        workers = Workers()
        workers.crowded = True
        async with anyio.create_task_group() as group:
            group.start_soon(workers.many, 5)
            await anyio.sleep(1)
            with anyio.move_on_after(1):
                await workers.one()
            group.start_soon(workers.one)
        assert workers.done == 6

    in_virtual_time(main)


def test_builds_that_wait_for_each_other_keep_nobody_from_the_cpus() -> None:
    """Twenty builds of one volume group once held all places, nineteen of them waiting, and kept all others from working."""

    async def main() -> None:
        workers, locks = Workers(), KeyedLocks()
        ended: dict[str, float] = {}

        async def clone(number: int) -> None:
            story = Story("build", lambda event: None)
            async with (
                workers.limits.working(story) as place,
                Turns(locks, story.waits_for, place.aside).held("volume group rootvg"),
            ):
                await anyio.sleep(100)
            ended["clones"] = anyio.current_time()

        async def plain() -> None:
            await workers.many(20)
            ended["plain"] = anyio.current_time()

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(clone, number)
            await anyio.sleep(1)
            group.start_soon(plain)
        assert workers.done == 20
        assert ended["plain"] < 200
        assert ended["clones"] >= 2000

    in_virtual_time(main)


def test_the_kernel_is_asked_and_need_not_know(tmp_path: Path) -> None:
    file = tmp_path / "cpu"
    for text, answer in {
        "some avg10=86.46 avg60=91.03 avg300=94.28 total=3003314393\nfull avg10=0.00": True,
        "some avg10=3.10 avg60=91.03 avg300=94.28 total=3\n": False,
        "": False,
        "something else": False,
    }.items():
        file.write_text(text)
        assert crowded(file) is answer
    assert crowded(tmp_path / "missing") is False
