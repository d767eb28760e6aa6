"""What is at hand while a template is read: where mistakes are collected, and how a text gets its meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gilder.model.diagnostics import Diagnostic, Severity, Span
from gilder.template.functions import Scope
from gilder.template.go_lexer import TemplateMistake
from gilder.template.nodes import Text
from gilder.template.texts import Promise, RunTimeText, render, run_time_text

_MANY = 3
_PARTICULAR = re.compile(r""" "[^"]*" | '[^']*' | /\S+ | \d+ """, re.VERBOSE)
"""What in a summary may differ between the cells of a matrix that share a mistake: values, paths, numbers."""


class Notes:
    """The diagnostics found so far; the same one is kept once, however many builds share the mistake."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}
        self._aside: dict[Diagnostic, None] = {}
        """Mistakes that no build which will be asked for has."""
        self._unwanted = False
        self.errors = 0
        """How many mistakes there were, counting one again for each build that has it."""
        self.asked_vm = False
        """Whether the template asks for facts about the VM."""
        self.unknowns = 0
        """How often something was asked for that nobody knows here: whatever was made of it is no mistake of its own."""
        self.looking_at: Span | None = None
        """The text that is being filled in: where a warning stands that comes from inside a function."""

    def error(self, summary: str, where: Span | None, hint: str = "") -> None:
        """A mistake; nothing will be built."""
        self.add(Diagnostic(Severity.ERROR, summary, hint, where))

    def warning(self, summary: str, where: Span | None, hint: str = "") -> None:
        """Something that is allowed but probably not meant."""
        self.add(Diagnostic(Severity.WARNING, summary, hint, where))

    def add(self, diagnostic: Diagnostic) -> None:
        """One found elsewhere."""
        wrong = diagnostic.severity is Severity.ERROR
        self.errors += wrong
        (self._aside if wrong and self._unwanted else self._found)[diagnostic] = None

    @contextmanager
    def aside(self, *, unless: bool) -> Iterator[None]:
        """While inside, mistakes are those of a build that nobody asks for: they become warnings."""
        before = self._unwanted
        self._unwanted = not unless
        yield
        self._unwanted = before

    def in_order(self) -> tuple[Diagnostic, ...]:
        """All of them, in the order of the text. A mistake that many cells of a matrix share is shown a few times."""

        def place(diagnostic: Diagnostic) -> tuple[str, int, int]:
            where = diagnostic.where
            return (where.file, where.line, where.column) if where else ("", 0, 0)

        at_place: dict[tuple[Severity, Span | None, str], list[Diagnostic]] = {}
        for diagnostic in (*self._found, *(_warned(d) for d in self._aside if d not in self._found)):
            kind = _PARTICULAR.sub("", diagnostic.summary)
            at_place.setdefault((diagnostic.severity, diagnostic.where, kind), []).append(diagnostic)
        return tuple(sorted((d for group in at_place.values() for d in _few(group)), key=place))


def _warned(mistake: Diagnostic) -> Diagnostic:
    detail = f"{mistake.detail}\nnone of the chosen builds has it".strip()
    return replace(mistake, severity=Severity.WARNING, detail=detail)


def _few(alike: list[Diagnostic]) -> list[Diagnostic]:
    if alike[0].where is None or len(alike) <= _MANY:
        return alike
    last = alike[_MANY - 1]
    more = f"and {len(alike) - _MANY} more like this"
    return [*alike[: _MANY - 1], replace(last, detail=f"{last.detail}\n{more}".strip())]


@dataclass(frozen=True)
class Reading:
    """How the texts of one build are read."""

    notes: Notes
    scope: Scope

    def within(self, scope: Scope) -> Reading:
        """The same with another scope."""
        return replace(self, scope=scope)

    def text(self, node: Text, name: str) -> str | None:
        """The meaning of a text; None when it has a mistake, which is then noted. `name` says what it is for.

        A text that cannot be filled in because of something that is not known here stays as written.
        """
        self.notes.looking_at = node.region.span
        before = self.notes.unknowns
        try:
            return render(node.value, self.scope)
        except TemplateMistake as mistake:
            if self.notes.unknowns > before:
                return node.value
            self._note(mistake, node, name)
            return None

    def later(self, node: Text, name: str, promise: Promise) -> RunTimeText | None:
        """A text for run time; None when it has a mistake, which is then noted."""
        self.notes.looking_at = node.region.span
        before = self.notes.unknowns
        try:
            return run_time_text(node.value, self.scope, promise)
        except TemplateMistake as mistake:
            if self.notes.unknowns > before:
                return RunTimeText(node.value, self.scope)
            self._note(mistake, node, name)
            return None

    def _note(self, mistake: TemplateMistake, node: Text, name: str) -> None:
        self.notes.error(f"{name}: {mistake.message}", node.part(mistake.start, mistake.end), mistake.hint)
