"""Turns by name: exclusive, without deadlock, gone when unused."""

from __future__ import annotations

from pathlib import Path

import anyio

from gilder.runtime.locks import KeyedLocks


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
    async with ours.held("volume group rootvg"):
        with anyio.move_on_after(0.05) as scope:
            async with theirs.held("volume group rootvg"):
                raise AssertionError("not reached")
        assert scope.cancelled_caught
        async with theirs.held("volume group other"):
            pass
    async with theirs.held("volume group rootvg"):
        pass
