"""How long to wait before the next try: pure arithmetic, no clock."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random


def retry_delays(rng: Random, *, first: float = 0.5, factor: float = 2.0, ceiling: float = 30.0) -> Iterator[float]:
    """Endless waits in seconds, exponential up to `ceiling`, each with jitter between half and the whole of it.

    The jitter matters when many builds meet the same throttle: without it they come back together.
    """
    for step in itertools.count():
        whole = min(ceiling, first * factor ** min(step, 32))
        yield whole * (0.5 + rng.random() / 2)


class Pace:
    """Turns of many: some at once, then so many a second, in the order in which they are asked for."""

    def __init__(self, at_once: int, a_second: float) -> None:
        self._step = 1 / a_second
        self._ahead = at_once * self._step
        self._until = 0.0

    def left(self, now: float) -> float:
        """How many may take a turn at once."""
        return (self._ahead - max(0.0, self._until - now)) / self._step

    def wait(self, now: float) -> float:
        """Take a turn: the seconds until it comes."""
        self._until = max(self._until, now) + self._step
        return max(0.0, self._until - self._ahead - now)
