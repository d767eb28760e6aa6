"""A lock between processes of one machine."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio


@asynccontextmanager
async def file_locked(path: Path, *, ephemeral: bool = False) -> AsyncIterator[None]:
    """Hold an exclusive lock on `path` while inside; the kernel drops it when the process dies.

    It is asked for again and again instead of waited for: a blocking flock in a thread could not be cancelled.
    An `ephemeral` lock is one that nobody waits for (they only look whether it is held): its file goes with it.
    Raises OSError when the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        pause = 0.01
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await anyio.sleep(pause)
                pause = min(pause * 1.5, 0.5)
        yield
    finally:
        if ephemeral:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def is_unlocked(path: Path) -> bool:
    """Whether nobody holds the lock on `path` at the moment (a missing file is held by nobody)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
