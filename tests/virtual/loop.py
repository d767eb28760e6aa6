"""An event loop in which time jumps to the next timer instead of passing."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class Jumping(selectors.DefaultSelector):
    """A selector whose loop never waits. Not for code that uses threads or child processes: their time is real."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        elif not ready and timeout is None:
            raise RuntimeError("everything waits for something that will never come")
        return ready


@contextmanager
def ageing(clock: Callable[[], float]) -> Iterator[None]:
    """Let the wall clock go as `clock` does in an event loop: azure-identity reads it, and tokens would expire unseen."""
    real = time.time

    def now() -> float:
        try:
            return clock()
        except RuntimeError:  # no event loop
            return real()

    time.time = now
    try:
        yield
    finally:
        time.time = real


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, T]], selector: Jumping | None = None) -> tuple[T, float]:
    """Run a coroutine function; its result, and how many virtual seconds it took."""
    selector = selector or Jumping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign] # the one hook asyncio has for its clock
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main()), selector.now
