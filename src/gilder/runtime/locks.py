"""Turns: locks known by a name, of this process and between the gilder processes of one machine."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio

from gilder.runtime.filelock import file_locked


def _unheard(key: str) -> None:
    """Where nobody listens."""


class KeyedLocks:
    """Locks that come into being when somebody asks for them and go when nobody does.

    With `folder` each is also a lock file there, so that the other gilder processes of this machine wait too.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._locks: dict[str, anyio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def held(self, *keys: str, waiting: Callable[[str], None] = _unheard) -> AsyncIterator[None]:
        """Hold the locks of all keys, taken in sorted order, so that two who want several cannot wait for each other.

        `waiting` is told each key that somebody of this process has at the moment, and "" once it is free.
        """
        async with AsyncExitStack() as stack:
            for key in sorted(set(keys)):
                await stack.enter_async_context(self._one(key, waiting))
            yield

    @asynccontextmanager
    async def _one(self, key: str, waiting: Callable[[str], None]) -> AsyncIterator[None]:
        lock = self._locks.setdefault(key, anyio.Semaphore(1, max_value=1))
        self._users[key] = self._users.get(key, 0) + 1
        try:
            if taken := not lock.value:
                waiting(key)
            async with lock, AsyncExitStack() as stack:
                if taken:
                    waiting("")
                if self._folder is not None:
                    name = hashlib.sha256(key.encode()).hexdigest()[:32]
                    await stack.enter_async_context(file_locked(self._folder / name))
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]

    def __len__(self) -> int:
        """How many keys are in use."""
        return len(self._locks)
