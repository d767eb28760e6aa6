"""A text with a name, and regions of it: so that every mistake can say where it stands."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from gilder.model.diagnostics import LINE_END, Span


@dataclass(frozen=True)
class Source:
    """The text of one file."""

    file: str
    text: str

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(end.end() for end in LINE_END.finditer(self.text))]

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        """The span of the characters start..end (end exclusive), kept inside the text."""
        start = min(max(start, 0), len(self.text))
        end = min(max(end, start), len(self.text))
        return Span(self.file, *self._place(start), *self._place(end))


@dataclass(frozen=True, slots=True)
class Region:
    """The characters start..end of a source; end is exclusive."""

    source: Source
    start: int
    end: int

    @property
    def span(self) -> Span:
        """Where this is, in lines and columns."""
        return self.source.span(self.start, self.end)
