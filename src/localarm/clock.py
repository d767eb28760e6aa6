"""Time as the services print it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Seconds since the epoch; injected, so that the same world runs in virtual time."""


def steady_clock() -> Clock:
    """The wall clock as it was at the call, from then on counted monotonically (a clock set back cannot undo time)."""
    base = time.time() - time.monotonic()
    return lambda: base + time.monotonic()


def timestamp(seconds: float) -> str:
    """`2024-12-06T07:42:24.0399461+00:00`: seven decimals, as the compute providers write times."""
    whole = datetime.fromtimestamp(int(seconds), UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{int((seconds % 1) * 10_000_000):07d}+00:00"


def http_date(seconds: float) -> str:
    """The form of the `Date` header."""
    return f"{datetime.fromtimestamp(int(seconds), UTC):%a, %d %b %Y %H:%M:%S} GMT"
