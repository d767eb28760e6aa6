"""Turns by name: exclusive, without deadlock, gone when unused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from tests.virtual.loop import in_virtual_time

from gilder.runtime.filelock import in_line
from gilder.runtime.locks import KeyedLocks, Turns


async def test_one_at_a_time_for_a_key_and_side_by_side_for_others() -> None:
    locks = KeyedLocks()
    inside: list[str] = []
    most: dict[str, int] = {"a": 0, "b": 0}
    waited: list[str] = []

    async def one(key: str) -> None:
        async with locks.held(key, waiting=waited.append):
            inside.append(key)
            most[key] = max(most[key], inside.count(key))
            await anyio.sleep(0.01)
            inside.remove(key)

    async with anyio.create_task_group() as group:
        for key in "aabba":
            group.start_soon(one, key)
        await anyio.sleep(0.005)
        assert sorted(inside) == ["a", "b"]
    assert most == {"a": 1, "b": 1}
    assert sorted(waited) == ["", "", "", "a", "a", "b"]
    assert len(locks) == 0


async def test_several_keys_in_any_order_do_not_deadlock() -> None:
    locks = KeyedLocks()

    async def one(*keys: str) -> None:
        for _ in range(20):
            async with locks.held(*keys):
                await anyio.sleep(0)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(one, "a", "b", "c")
            group.start_soon(one, "c", "b", "a")
            group.start_soon(one, "b", "b")
    assert len(locks) == 0


async def test_a_cancelled_waiter_leaves_no_trace() -> None:
    locks = KeyedLocks()
    async with locks.held("a"):
        with anyio.move_on_after(0.01) as scope:
            async with locks.held("b", "a"):
                raise AssertionError("not reached")
        assert scope.cancelled_caught
        assert len(locks) == 1
    assert len(locks) == 0


async def test_another_process_waits_too(tmp_path: Path) -> None:
    ours, theirs = KeyedLocks(tmp_path), KeyedLocks(tmp_path)  # two tables are as good as two processes
    waited: list[str] = []
    async with ours.held("volume group rootvg"):
        with anyio.move_on_after(0.05) as scope:
            async with theirs.held("volume group rootvg", waiting=waited.append):
                raise AssertionError("not reached")
        assert scope.cancelled_caught
        assert waited == ["volume group rootvg"]
        async with theirs.held("volume group other"):
            pass
    async with theirs.held("volume group rootvg"):
        pass


async def test_who_waits_does_so_aside_and_comes_back_before_going_on(tmp_path: Path) -> None:
    locks, told = KeyedLocks(tmp_path), list[str]()

    @asynccontextmanager
    async def aside() -> AsyncIterator[None]:
        told.append("aside")
        yield
        told.append("back")

    turns = Turns(locks, told.append, aside)
    async with anyio.create_task_group() as group, turns.held("a"):
        assert told == [], "nobody had it"

        async def second() -> None:
            async with turns.held("a"):
                told.append("in")

        group.start_soon(second)
        await anyio.sleep(0.01)
        assert told == ["a", "aside"]
    assert told == ["a", "aside", "back", "", "in"]


async def test_who_comes_back_to_no_place_gives_the_lock_to_others() -> None:
    locks = KeyedLocks()

    @asynccontextmanager
    async def aside() -> AsyncIterator[None]:
        yield
        raise OSError("no place any more")

    async def second() -> None:
        with pytest.raises(OSError, match="no place"):
            async with locks.held("a", aside=aside):
                raise AssertionError("not reached")

    async with anyio.create_task_group() as group, locks.held("a"):
        group.start_soon(second)
        await anyio.sleep(0.01)
    assert len(locks) == 0
    async with locks.held("a"):
        pass


def test_whoever_waits_is_the_next(tmp_path: Path) -> None:
    """A process that gives a lock back and asks again at once would always get it: others are asleep between two tries."""

    async def main() -> None:
        order: list[str] = []

        async def greedy() -> None:
            for _ in range(5):
                async with in_line(tmp_path / "lock"):
                    order.append("greedy")
                    await anyio.sleep(10)

        async def modest() -> None:
            busy: list[str] = []
            await anyio.sleep(1)
            async with in_line(tmp_path / "lock", busy=lambda: busy.append("busy")):
                order.append("modest")
            assert busy == ["busy"]

        async with anyio.create_task_group() as group:
            group.start_soon(greedy)
            group.start_soon(modest)
        assert order == ["greedy", "modest", *["greedy"] * 4]

    in_virtual_time(main)


def test_another_process_comes_before_all_who_wait_in_this_one(tmp_path: Path) -> None:
    """It came after the last: whoever gave a lock back handed it on before the other process had looked again."""

    async def main() -> None:
        ours, theirs = KeyedLocks(tmp_path), KeyedLocks(tmp_path)
        order: list[str] = []

        async def one(locks: KeyedLocks, name: str) -> None:
            async with locks.held("a"):
                order.append(name)
                await anyio.sleep(10)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one, ours, "ours")
            await anyio.sleep(1)
            group.start_soon(one, theirs, "theirs")
        assert order == ["ours", "theirs", *["ours"] * 4]

    in_virtual_time(main)


def test_a_lock_just_given_back_is_left_to_whoever_waits(tmp_path: Path) -> None:
    """Those who wait are asleep between two tries: who came just then, and found nobody before it here, took it."""

    async def main() -> None:
        ours, theirs = KeyedLocks(tmp_path), KeyedLocks(tmp_path)
        order: list[str] = []

        async def waits() -> None:
            async with theirs.held("a"):
                order.append("theirs")

        async with anyio.create_task_group() as group:
            async with ours.held("a"):
                group.start_soon(waits)
                await anyio.sleep(10)
            async with ours.held("a"):
                order.append("ours")
        assert order == ["theirs", "ours"]

    in_virtual_time(main)
