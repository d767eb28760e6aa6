"""Asking once for what many want to know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


class Once:
    """Answers remembered by key. Who asks while the answer is being fetched waits for it.

    Failures are not remembered: the next who asks tries again.
    """

    def __init__(self) -> None:
        self._answers: dict[Hashable, Any] = {}
        self._asking: dict[Hashable, anyio.Event] = {}

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer for `key`, by `ask` if there is none yet; raises what `ask` raises."""
        while key not in self._answers:
            if (asking := self._asking.get(key)) is not None:
                await asking.wait()
                continue
            self._asking[key] = done = anyio.Event()
            try:
                self._answers[key] = await ask()
            finally:
                del self._asking[key]
                done.set()
        answer: T = self._answers[key]
        return answer
