"""Locks between processes of one machine."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import anyio

from gilder.model.errors import HostError


def nobody() -> None:
    """Whom nothing needs to be told."""


class Turn(Protocol):
    """Makes a block in which no other gilder process of this machine does the same; `busy` is told once when one does."""

    def __call__(self, busy: Callable[[], None] = nobody) -> AbstractAsyncContextManager[None]:
        """The block."""
        ...


_LONGEST_PAUSE = 0.2
"""Seconds between two tries: as long may a lock lie free while somebody wants it."""


def lock_now(path: Path) -> int | None:
    """Take the exclusive lock on `path` if nobody has it; returns the descriptor that holds it until closed.

    The kernel drops it when the process dies. Raises HostError when the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        hint = f"be root, and make {path.parent} writable"
        raise HostError(f"the lock {path} cannot be taken: {error.strerror}", hint=hint) from error
    if _flocked(descriptor, fcntl.LOCK_EX) and _is_at(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def _flocked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of this path: whoever had the lock may have taken the file away with it."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


@asynccontextmanager
async def file_locked(path: Path, *, ephemeral: bool = False, busy: Callable[[], None] = nobody) -> AsyncIterator[None]:
    """Hold an exclusive lock on `path` while inside; `busy` is told once when somebody else has it.

    It is asked for again and again instead of waited for: a blocking flock in a thread could not be cancelled.
    The file of an `ephemeral` lock goes with it.
    Raises HostError when the file cannot be made.
    """
    pause = 0.01
    while (descriptor := lock_now(path)) is None:
        busy()
        busy = nobody
        await anyio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    try:
        yield
    finally:
        if ephemeral:
            path.unlink(missing_ok=True)
        os.close(descriptor)


@asynccontextmanager
async def in_line(path: Path, *, busy: Callable[[], None] = nobody) -> AsyncIterator[None]:
    """Hold the lock on `path` as `file_locked` does, but let whoever waits for it go first.

    A process that gives a lock back and wants it again at once would always get it, for the others are asleep between two
    tries. So the right to be the next is a lock of its own, and who waits has it already.
    """
    async with AsyncExitStack() as turn:
        async with file_locked(_next(path), busy=busy):
            await turn.enter_async_context(file_locked(path, busy=busy))
        yield


def in_line_now(path: Path) -> int | None:
    """Take the lock on `path` as `lock_now` does, if nobody waits for it `in_line` either."""
    first = lock_now(_next(path))
    if first is None:
        return None
    try:
        return lock_now(path)
    finally:
        os.close(first)


def _next(path: Path) -> Path:
    return path.with_suffix(".next")


def is_unlocked(path: Path) -> bool:
    """Whether nobody holds the lock on `path` at the moment (a missing file is held by nobody)."""
    try:
        # To read only: what a killed run left may be on a disk that is read-only.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return _flocked(descriptor, fcntl.LOCK_SH)  # shared, so that two who look do not take each other for the holder
    finally:
        os.close(descriptor)
