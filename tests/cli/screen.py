"""A terminal small enough to read: what it would show of the bytes written to it, and a program run in one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from rich.cells import cell_len

_SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Screen:
    """The rows of a terminal that understands what gilder writes, and refuses anything else.

    Rows that scrolled off the top are kept in `past`. Lines longer than the terminal wrap.
    """

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.columns = columns
        self.lines = lines
        self.past: list[str] = []
        self.rows: list[str] = [""]
        self.at = 0
        self.column = 0
        self.modes: set[str] = set()
        self.colours: set[str] = set()

    def feed(self, text: str) -> None:
        place = 0
        while place < len(text):
            if found := _SEQUENCE.match(text, place):
                self._control(found[1], found[2])
                place = found.end()
                continue
            self._put(text[place])
            place += 1

    def _control(self, argument: str, final: str) -> None:
        match final:
            case "A":
                self.at = max(0, self.at - int(argument or 1))
            case "J":
                assert self.column == 0, "erases from the first column"
                del self.rows[self.at :]
                self.rows.append("")
            case "m":
                self.colours.add(argument)
            case "h":
                self.modes.add(argument)
            case "l":
                self.modes.discard(argument)
            case _:
                raise AssertionError(f"an unknown control sequence: {argument}{final}")

    def _put(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            self._down()
            self.column = 0
        else:
            assert letter.isprintable(), repr(letter)
            width = cell_len(letter)
            if self.column + width > self.columns:
                self._down()
                self.column = 0
            row = self.rows[self.at].ljust(self.column)
            self.rows[self.at] = row[: self.column] + letter + row[self.column + 1 :]
            self.column += width

    def _down(self) -> None:
        self.at += 1
        if self.at == len(self.rows):
            self.rows.append("")
        if len(self.rows) > self.lines:
            self.past.append(self.rows.pop(0))
            self.at -= 1

    @property
    def shown(self) -> list[str]:
        """The rows down to the last one with something in it."""
        rows = [row.rstrip() for row in self.rows]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def everything(self) -> list[str]:
        """All rows, also those that scrolled away."""
        return [row.rstrip() for row in self.past] + self.shown


class Session:
    """A program in a terminal of its own; use as a context manager."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        columns: int = 80,
        lines: int = 24,
        cwd: Path = Path("/"),
    ) -> None:
        self.screen = Screen(columns, lines)
        self.raw = ""
        self.times: list[float] = []
        self._master, slave = pty.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.attributes = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=dict(environment), cwd=cwd, preexec_fn=self._own
        )

    def _own(self) -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._slave)
        os.close(self._master)

    def read(self, until: Callable[[Screen], bool], within: float = 30.0) -> None:
        """Take what the program writes until `until` holds of the screen."""
        deadline = time.monotonic() + within
        os.set_blocking(self._master, False)
        while not until(self.screen):
            assert time.monotonic() < deadline, f"not seen in {within} s:\n" + "\n".join(self.screen.everything)
            self._take()

    def _take(self) -> None:
        try:
            text = os.read(self._master, 65536).decode()
        except BlockingIOError:
            time.sleep(0.01)
            return
        self.raw += text
        self.times.append(time.monotonic())
        self.screen.feed(text)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal."""
        self.screen.columns, self.screen.lines = columns, lines
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def ended(self, within: float = 60.0) -> int:
        """Wait for the program's end and take all it wrote; returns its exit status."""
        self.read(lambda _: self.process.poll() is not None, within)
        before = -1
        while before != len(self.raw):
            before = len(self.raw)
            self._take()
        assert termios.tcgetattr(self._slave) == self.attributes, "the terminal is as it was"
        return self.process.wait()
