"""Asking the person at the terminal, while progress is shown there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import anyio


def has_terminal() -> bool:
    """Whether there is a terminal to ask at: typed lines come from it, and progress goes there."""
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except ValueError:  # closed
        return False


class Asker:
    """Asks one question at a time. `say` shows a line, `entered` is told when a line was typed (the cursor has moved)."""

    def __init__(self, say: Callable[[str], None], entered: Callable[[], None]) -> None:
        self._say = say
        self._entered = entered
        self._turn = anyio.Lock()

    async def __call__(self, question: str) -> str | None:
        """What was typed, with its line end; "" at the end of the input, None when nobody can answer."""
        async with self._turn:
            try:
                descriptor = sys.stdin.fileno()
                if not _in_foreground(descriptor):
                    return None
                for line in question.splitlines():
                    self._say(line)
                # Waited for, not read in a thread: a Ctrl-C must end the question, and the terminal gives whole lines.
                await anyio.wait_readable(descriptor)
                typed = os.read(descriptor, 4096).decode(errors="replace")
            except (OSError, ValueError):  # the terminal is gone, or standard input was closed
                return None
            self._entered()
            return typed


def _in_foreground(descriptor: int) -> bool:
    """Whether the terminal is ours to read: it stops a background job that does (SIGTTIN)."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False
