"""Locks between processes: held by one at a time, and looked at without being taken."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio

from gilder.runtime.filelock import file_locked, is_unlocked


def test_a_lock_whose_file_goes_with_it_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    """Who opened the file right before its holder took it away got the lock of a file that nobody else would ever see."""
    path, held, twice = tmp_path / "run", [], []

    async def rounds(me: int) -> None:
        for _ in range(1000):
            async with file_locked(path, ephemeral=True):
                held.append(me)
                await anyio.sleep(0)
                if held != [me] or is_unlocked(path):
                    twice.append(me)
                held.remove(me)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda me: anyio.run(rounds, me), range(4)))
    assert twice == []
    assert list(tmp_path.iterdir()) == []


def test_who_looks_at_a_lock_is_not_taken_for_its_holder(tmp_path: Path) -> None:
    """After kill -9 the file of a run stays: two who looked at the same time saw it live."""
    path = tmp_path / "run"
    path.touch()
    with ThreadPoolExecutor(4) as threads:
        seen = [
            unlocked
            for each in threads.map(lambda me: [is_unlocked(path) for _ in range(5000)], range(4))
            for unlocked in each
        ]
    assert all(seen)


async def test_a_lock_is_seen_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "run"
    async with file_locked(path):
        assert not is_unlocked(path)
    assert is_unlocked(path)
    assert is_unlocked(tmp_path / "none")
