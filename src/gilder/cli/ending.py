"""The end of a run: what is left is to close connections and to say how the builds ended."""

from __future__ import annotations

import os
import signal
from types import FrameType

from gilder.engine import heeded

_ENOUGH = 3
"""Signals that end the process all the same, as they do while builds run."""


def hear_out() -> None:
    """From now on let signals wait until the process ends, where nobody else hears them; one that is ignored stays so.

    To be called before the builds are begun: a Ctrl-C a moment after their end took the summary and the exit status of a run
    that had ended well.
    """
    came = 0

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came >= _ENOUGH:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in heeded():
        signal.signal(number, hear)
