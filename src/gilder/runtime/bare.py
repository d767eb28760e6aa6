"""A text without what a terminal does not show of it: escape sequences, NUL bytes and other control characters."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

Span = tuple[int, int]

_ESCAPE = (
    r"\x1b(?:"
    r"\[[0-?]*[ -/]*[@-~]?"  # control sequences (CSI): colours, movements
    r"|[\]PX^_][^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x1b?\Z)"  # strings: titles and links (OSC), DCS, SOS, PM, APC
    r"|[ -/]{0,2}[0-~]?)"  # the others; tput sgr0 begins with one of three characters
)
ESCAPES = re.compile(_ESCAPE)
"""Escape sequences (ECMA-48), also such as the end of the text breaks off. What is taken from a text that is shown is what
secrets are looked for behind: a sequence that only one of the two knew would show a secret."""
_UNSEEN = re.compile(
    rf"{_ESCAPE}"
    r"|_\x08(?=[^\x00-\x20])|\x08(?<=(.)\x08)\1"  # what man(1) prints: underlined, and bold
    r"|[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]+|\x08"  # not what stands between words and lines
)


class Bare(NamedTuple):
    """What a terminal shows of a text."""

    text: str
    original: str
    begins: Sequence[int]
    """Where the pieces that stand together in the original begin in the bare text, and `places` in the original."""
    places: Sequence[int]

    def place(self, at: int) -> int:
        """Where this character stands in the original."""
        piece = bisect_right(self.begins, at) - 1
        return self.places[piece] + at - self.begins[piece]

    def back(self, spans: Iterable[Span]) -> list[Span]:
        """The same spans, none of them empty, in the original."""
        return [(self.place(start), self._end(stop - 1)) for start, stop in spans]

    def _end(self, last: int) -> int:
        """Where this character ends in the original: when it is printed twice to be bold, after the second."""
        end = self.place(last) + 1
        while self.original.startswith(f"\b{self.text[last]}", end):
            end += 2
        return end


def bare(text: str) -> Bare:
    """The text without what a terminal does not show; the same one when there is nothing of that."""
    if text.isprintable():  # so with nearly every line
        return Bare(text, text, (0,), (0,))
    return _bare(text)


@lru_cache(maxsize=8)  # one line is asked about several times in a row
def _bare(text: str) -> Bare:
    pieces: list[str] = []
    begins: list[int] = []
    places: list[int] = []
    at = length = 0
    for start, end in [*(found.span() for found in _UNSEEN.finditer(text)), (len(text), len(text))]:
        if at < start:
            pieces.append(text[at:start])
            begins.append(length)
            places.append(at)
            length += start - at
        at = end
    return Bare("".join(pieces), text, begins, places)
