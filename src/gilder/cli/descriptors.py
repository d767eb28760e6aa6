"""The standard input and output of a program that was started without them, as services and some schedulers do."""

from __future__ import annotations

import os
import sys


def standard_ones_there() -> None:
    """Have /dev/null stand in for those that are closed (`<&-`, `2>&-`). To be called before anything else opens files.

    Python has None for such a stream, and a build ended where it asked it whether it is a terminal. The free number would be
    that of the next file opened, the journal or a socket, and programs that gilder starts would write their errors there.
    """
    missing = [number for number in range(3) if not _is_open(number)]
    for number in missing:
        opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
        assert opened == number
        os.set_inheritable(opened, True)
    if 0 in missing:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 — by number, and until the end
    if 1 in missing:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if 2 in missing:
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
