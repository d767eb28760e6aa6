"""How a program's end is told: its status or signal in words, and what a person can do about it."""

from __future__ import annotations

import signal
from collections.abc import Sequence

_SIGNALS = {number.value: number.name for number in signal.Signals}
_FATAL = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE,
          signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE, signal.SIGTERM)  # fmt: skip
"""Those that usually end programs."""
_SHELL = 128
"""Shells end with this and the signal's number when a program in them was ended by a signal (POSIX, 2.8.2)."""
_FULL = "No space left on device"
"""What every program says of ENOSPC (strerror)."""


def ending(status: int) -> str:
    """How a program ended, such as `was ended by SIGKILL`."""
    if status < 0:
        return f"was ended by {_name(-status)}"
    if status - _SHELL in _FATAL:
        return f"ended with status {status} (a program in it was ended by {_name(status - _SHELL)}, it seems)"
    return f"ended with status {status}"


def advice(status: int, tail: Sequence[str]) -> str | None:
    """What to do about it, when the status or the last lines tell."""
    if status in (-signal.SIGKILL, _SHELL + signal.SIGKILL):
        return "if nobody killed it, this machine ran out of memory: `dmesg` tells; build fewer at once (--parallel-builds)"
    if any(_FULL in line for line in tail):
        return (
            "a disk is full: the guest's grows with os_disk_size_gb and grow_root, see `df` for those of this machine"
        )
    return None


def _name(number: int) -> str:
    return _SIGNALS.get(number, f"signal {number}")
