"""The question at the terminal, when the terminal goes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

PROGRAM = """
import fcntl, signal, sys, termios
import anyio
from gilder.cli.asking import Asker

signal.signal(signal.SIGHUP, signal.SIG_IGN)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)

async def main():
    print(bool(await Asker(lambda line: print(line, flush=True), lambda: None)("well?")))
    sys.stdin.close()
    print(bool(await Asker(print, lambda: None)("again?")))

anyio.run(main)
"""


def test_nobody_can_answer_once_the_terminal_is_gone() -> None:
    terminal, shown = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=shown, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    os.close(shown)
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "well?\n"
        os.close(terminal)
        assert program.stdout.read() == "False\nFalse\n"
