"""Turns: locks known by a name, of this process and between the gilder processes of one machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import anyio

from gilder.runtime.filelock import in_line, in_line_now


def _unheard(key: str) -> None:
    """Where nobody listens."""


class KeyedLocks:
    """Locks that come into being when somebody asks for them and go when nobody does.

    With `folder` each is also a lock file there, so that the other gilder processes of this machine wait too, and get it
    before the next of this process does.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._locks: dict[str, anyio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def held(
        self,
        *keys: str,
        waiting: Callable[[str], None] = _unheard,
        aside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> AsyncIterator[None]:
        """Hold the locks of all keys, taken in sorted order, so that two who want several cannot wait for each other.

        `waiting` is told each key that somebody has at the moment, here or in another process, and "" once it is free.
        Such a wait is spent inside `aside()`.
        """
        async with AsyncExitStack() as held:
            for key in sorted(set(keys)):
                await held.enter_async_context(self._one(key, waiting, aside))
            yield

    @asynccontextmanager
    async def _one(
        self, key: str, waiting: Callable[[str], None], aside: Callable[[], AbstractAsyncContextManager[None]]
    ) -> AsyncIterator[None]:
        lock = self._locks.setdefault(key, anyio.Semaphore(1, max_value=1))
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with AsyncExitStack() as held:
                if not self._at_once(key, lock, held):
                    waiting(key)
                    async with aside():
                        await held.enter_async_context(lock)
                        if self._folder is not None:
                            await held.enter_async_context(in_line(self._file(self._folder, key)))
                    waiting("")
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]

    def _at_once(self, key: str, lock: anyio.Semaphore, held: AsyncExitStack) -> bool:
        """Take a lock if that needs no waiting."""
        try:
            lock.acquire_nowait()
        except anyio.WouldBlock:
            return False
        with ExitStack() as taken:
            taken.callback(lock.release)
            if self._folder is not None:
                descriptor = in_line_now(self._file(self._folder, key))
                if descriptor is None:
                    return False
                taken.callback(os.close, descriptor)
            held.callback(taken.pop_all().close)
        return True

    @staticmethod
    def _file(folder: Path, key: str) -> Path:
        return folder / hashlib.sha256(key.encode()).hexdigest()[:32]

    def __len__(self) -> int:
        """How many keys are in use."""
        return len(self._locks)


@dataclass(frozen=True, slots=True)
class Turns:
    """The locks as one build takes them: who hears of its waits, and what it lets go of meanwhile (see `KeyedLocks.held`)."""

    locks: KeyedLocks
    waiting: Callable[[str], None] = _unheard
    aside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext

    def held(self, *keys: str) -> AbstractAsyncContextManager[None]:
        """Hold the locks of all keys while inside."""
        return self.locks.held(*keys, waiting=self.waiting, aside=self.aside)
