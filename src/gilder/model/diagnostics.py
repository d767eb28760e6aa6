"""Mistakes in a user's text, as data: what, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


def render(diagnostic: Diagnostic, source: str | None) -> list[str]:
    """The lines to show a person: `file:line:column: error: summary`, the source line with a caret, the detail."""
    where = diagnostic.where
    place = f"{where.file}:{where.line}:{where.column}: " if where else ""
    lines = [f"{place}{diagnostic.severity}: {diagnostic.summary}"]
    text = source.splitlines() if source is not None else []
    if where and 0 < where.line <= len(text):
        row = text[where.line - 1].expandtabs(1)
        end = where.end_column if where.end_line == where.line else len(row) + 1
        gutter = f"{where.line:>5} | "
        lines.append(gutter + row)
        lines.append(" " * (len(gutter) - 2) + "| " + " " * (where.column - 1) + "^" * max(1, end - where.column))
    lines.extend(f"  hint: {line}" for line in diagnostic.detail.splitlines() if line)
    return lines
