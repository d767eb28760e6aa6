"""How the event loop learns that a program has ended."""

from __future__ import annotations

import asyncio
import os
import sys


def watch_programs_by_pidfd() -> None:
    """Have the kernel tell of it (pidfd_open(2)), as Python does by itself from 3.12 on.

    Before, a thread is started for every program, only to wait for it: on a small machine that was a quarter of the time from
    the attach of many disks to their snapshots. Where the kernel (before 5.3) or a filter refuses, the threads stay.
    """
    if sys.version_info >= (3, 12):
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return
    asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
