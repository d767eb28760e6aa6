"""Signals that this process was started to ignore, and that programs under test are to hear all the same."""

from __future__ import annotations

import signal
from typing import Any


def heard_by_children() -> None:
    """Let programs that are started from here on hear SIGINT and SIGHUP.

    A background job of a script ignores the first, what nohup starts the second, and programs inherit that: in such a sweep
    Ctrl-C ended no build. A handler, also one that does nothing, goes with exec (execve(2)).
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _unmoved)


def _unmoved(number: int, frame: Any) -> None:
    """As this process was asked to be."""
