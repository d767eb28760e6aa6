"""Mistakes in a user's text, as data: what, where, and what to do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

LINE_END = re.compile(r"\r\n|\r|\n")
"""What ends a line to an editor; U+2028 and its like may stand inside a text."""
_WIDEST = 110
"""Characters of a line that are shown: templates may be minified."""


class Severity(StrEnum):
    """How bad it is: an error stops, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one file. Lines and columns count from 1; the end column is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: a short summary, a detail that says what to do, and where it stands (None: nowhere in a file)."""

    severity: Severity
    summary: str
    detail: str = ""
    where: Span | None = None


def render(
    diagnostic: Diagnostic, source: str | None, whole: Callable[[str], Iterable[tuple[int, int]]] = lambda line: ()
) -> list[str]:
    """The lines to show a person: `file:line:column: error: summary`, the source line with a caret, the detail.

    `whole` says which stretches of a line are never cut: a part of a secret would not be known for one.
    """
    where = diagnostic.where
    place = f"{where.file}:{where.line}:{where.column}: " if where else ""
    lines = [f"{place}{diagnostic.severity}: {diagnostic.summary}"]
    text = LINE_END.split(source) if source is not None else []
    if where and 0 < where.line <= len(text):
        row = text[where.line - 1].expandtabs(1)
        end = where.end_column - 1 if where.end_line == where.line else len(row)
        shown, carets = _marked(row, where.column - 1, end, whole(row))
        gutter = f"{where.line:>5} | "
        lines += [gutter + shown, " " * (len(gutter) - 2) + "| " + carets]
    lines.extend(f"  hint: {line}" for line in diagnostic.detail.splitlines() if line)
    return lines


def _marked(row: str, start: int, end: int, whole: Iterable[tuple[int, int]]) -> tuple[str, str]:
    """What is worth showing of a line, and carets for what stands below its characters start..end."""
    first, last = 0, len(row)
    if last > _WIDEST:
        first = max(0, min(start - _WIDEST // 3, last - _WIDEST))
        last = first + _WIDEST
        stretches = sorted(whole)
        for a, b in stretches:
            last = b if a < last < b else last
        for a, b in sorted(stretches, key=lambda stretch: -stretch[1]):
            first = a if a < first < b else first
    before, after = "…" * (first > 0), "…" * (last < len(row))
    space = " " * (len(before) + _columns(row[first:start]))
    return before + row[first:last] + after, space + "^" * max(1, _columns(row[start : min(end, last)]))


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(c) in ("W", "F"))
        for c in text
    )
