"""The end of a run: what is left is to close connections and to say how the builds ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ENOUGH = 3
"""Signals that end the process all the same, as they do while builds run."""


@contextmanager
def heard_out() -> Iterator[None]:
    """Once the block is over, let signals wait until the process ends.

    The event loop, when it stops hearing a signal, puts back the system's way with it: a Ctrl-C a moment too late took the
    summary and the exit status of a run that had ended well.
    """
    came = 0

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came >= _ENOUGH:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    try:
        yield
    finally:
        for number in _SIGNALS:
            signal.signal(number, hear)
