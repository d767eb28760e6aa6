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
