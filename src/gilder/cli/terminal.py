"""Lines that stay at the bottom of a terminal while other lines scroll by above them.

Uses four control sequences of ECMA-48 (cursor up, erase to the end, colours) and DEC's synchronised output, which
terminals that do not know it ignore. The cursor is never hidden and no mode is left on: a program that is killed leaves
the terminal as it was, with the last drawing standing above the prompt.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TextIO

from rich.cells import cell_len

from gilder.cli.board import ASCII, UNICODE, Symbols

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_ERASE = "\r\x1b[J"
_COLOURS = {"built": "32", "failed": "31", "cancelled": "33", "running": "36", "waiting": "33", "queued": "2"}


class Bottom:
    """The lines at the bottom of a terminal. May be drawn from any thread; one draws at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn: tuple[str, ...] = ()
        self._over = False
        self._one = threading.Lock()

    def size(self) -> tuple[int, int]:
        """Columns and lines; 80 and 24 where the terminal does not tell."""
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            columns, lines = 0, 0
        return columns or 80, lines or 24

    def draw(
        self, lines: Sequence[str], above: deque[str] | None = None, *, patience: float = -1.0, last: bool = False
    ) -> bool:
        """Let `lines` be what stands at the bottom; nothing is written when nothing changed.

        What is in `above` is taken out of it and scrolls by first. After the `last` drawing there are no others, however
        late they come. False when another drawing holds the terminal (it may be stopped by Ctrl-S) for longer than
        `patience` seconds (-1: no limit). Raises OSError when the terminal is gone.
        """
        if not self._one.acquire(timeout=patience):
            return False
        try:
            if self._over:
                return True
            self._over = last
            passing = [above.popleft() for _ in range(len(above))] if above else []
            if passing or tuple(lines) != self._drawn:
                new = "".join(f"{line}\n" for line in (*passing, *lines))
                self._stream.write(f"{_BEGIN}{self._erased()}{new}{_END}")
                self._stream.flush()
                self._drawn = tuple(lines)
            return True
        finally:
            self._one.release()

    def up(self) -> None:
        """Move the cursor up by one line, for somebody else has moved it down."""
        with self._one, suppress(OSError, ValueError):
            self._stream.write("\x1b[A\r")
            self._stream.flush()

    def _erased(self) -> str:
        """What moves the cursor to the first drawn line and erases from there. A narrower terminal has wrapped them."""
        columns, lines = self.size()
        rows = sum(max(1, math.ceil(cell_len(plain(line)) / columns)) for line in self._drawn)
        up = min(rows, lines - 1)
        return f"\x1b[{up}A{_ERASE}" if up else _ERASE


def plain(line: str) -> str:
    """A line without its colours."""
    return "".join(part.partition("m")[2] if i else part for i, part in enumerate(line.split("\x1b[")))


@dataclass(frozen=True, slots=True)
class Painted:
    """How a drawing is coloured: the mark that a line begins with gets the colour of its state, if there are colours."""

    symbols: Symbols
    colour: bool

    def __call__(self, lines: Sequence[str]) -> list[str]:
        codes = {getattr(self.symbols, state): code for state, code in _COLOURS.items()} if self.colour else {}
        return [
            f"\x1b[{codes[line[0]]}m{line[0]}\x1b[0m{line[1:]}" if line[0:1] in codes and line[1:2] == " " else line
            for line in lines
        ]


def is_live(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether lines can stay at the bottom of this stream."""
    return stream.isatty() and environment.get("TERM", "dumb") not in ("dumb", "unknown", "")


def has_colour(wanted: bool, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether colours are welcome: not with `-color=false`, nor where NO_COLOR (no-color.org) or PACKER_NO_COLOR is set."""
    return wanted and not environment.get("NO_COLOR") and not environment.get("PACKER_NO_COLOR")


_NAMES = [field.name for field in fields(Symbols)]


def symbols_for(stream: TextIO) -> Symbols:
    """The marks that the stream's encoding can show."""
    try:
        "".join(getattr(UNICODE, name) for name in _NAMES).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE
