"""Texts with placeholders: filled in at once, or kept for the time when the build runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gilder.model.errors import UserError
from gilder.template.functions import Scope, functions
from gilder.template.go_evaluate import Evaluation, FunctionFailed
from gilder.template.go_lexer import LEFT, TemplateMistake
from gilder.template.go_parser import parse
from gilder.template.go_printf import Value
from gilder.template.go_syntax import Action, Dot, Field, Function, Statement, Syntax, Variable, walk
from gilder.template.spelling import did_you_mean, listed

_MAX_EXPANSIONS = 20
"""A variable's text may itself hold placeholders of a run-time text; deeper than this it is a circle."""


def render(text: str, scope: Scope, data: Mapping[str, Value] | None = None) -> str:
    """The text with its placeholders filled in, once; a missing field of `data` is `<no value>` as in Packer.

    Raises TemplateMistake.
    """
    if LEFT not in text:
        return text
    callables = functions(scope)
    return Evaluation(callables, data or {}, strict=False).text(parse(text, callables))


@dataclass(frozen=True)
class RunTimeText:
    """A text whose placeholders get their values when the build runs (a `gilder.model.spec.Delayed`).

    It was parsed, and what can be known before was checked, when it was loaded. Two are equal when their texts are.
    """

    text: str
    scope: Scope = field(compare=False, repr=False)

    def render(self, data: Mapping[str, str]) -> str:
        """The text with its placeholders filled in; raises UserError if it cannot be."""
        try:
            return _expand(self.text, self.scope, data, 0)
        except TemplateMistake as mistake:
            raise UserError(f"{self.text!r}: {mistake.message}", hint=mistake.hint or None) from None

    def __str__(self) -> str:
        return self.text


def _expand(text: str, scope: Scope, data: Mapping[str, str], depth: int) -> str:
    if LEFT not in text:
        return text
    if depth > _MAX_EXPANSIONS:
        raise TemplateMistake("this text contains itself without end", 0, len(text))

    def user(name: str) -> str:
        value = scope.user(name)
        try:
            return _expand(value, scope, data, depth + 1)
        except TemplateMistake as mistake:
            raise FunctionFailed(f"in the variable {name}: {mistake.message}", hint=mistake.hint) from None

    def build(key: str) -> str:
        if key not in data:
            raise FunctionFailed(f"the build does not tell {key} here")
        return data[key]

    callables = functions(replace(scope, user=user, build=build))
    return Evaluation(callables, data, strict=True).text(parse(text, callables))


@dataclass(frozen=True, slots=True)
class Promise:
    """What a run-time text may count on: fields (`{{.Device}}`) and values of the build (``{{build `ID`}}``)."""

    fields: frozenset[str] = frozenset()
    build: frozenset[str] = frozenset()


def run_time_text(text: str, scope: Scope, promise: Promise) -> RunTimeText:
    """A text for the time when the build runs; raises TemplateMistake for all that can be known to be wrong now."""
    _check(text, scope, promise, 0)
    return RunTimeText(text, scope)


def _check(text: str, scope: Scope, promise: Promise, depth: int) -> None:
    if LEFT not in text or depth > _MAX_EXPANSIONS:
        return

    def user(name: str) -> str:
        value = scope.user(name)
        try:
            _check(value, scope, promise, depth + 1)
        except TemplateMistake as mistake:
            raise FunctionFailed(f"in the variable {name}: {mistake.message}", hint=mistake.hint) from None
        return value

    def build(key: str) -> str:
        if key not in promise.build:
            raise FunctionFailed(
                f"loaded data, but couldnt find {key} in it.",
                hint=did_you_mean(key, promise.build, otherwise=f"what is known: {listed(promise.build)}"),
            )
        return key

    callables = functions(replace(scope, user=user, build=build))
    statements = parse(text, callables)
    nodes = [node for statement in statements for node in walk(statement)]
    _check_fields(nodes, promise)
    for statement in _known_now(statements):
        Evaluation(callables, {}, strict=False).text((statement,))


def _check_fields(nodes: Sequence[Syntax], promise: Promise) -> None:
    if any(isinstance(n, Action) is False and getattr(n, "keyword", "") in ("with", "range") for n in nodes):
        return  # there the dot means something else
    for node in nodes:
        if isinstance(node, Field) and node.names[0] not in promise.fields:
            known = ", ".join(f".{name}" for name in sorted(promise.fields)) or "nothing"
            raise TemplateMistake(
                f"there is no .{node.names[0]} here",
                node.start,
                node.end,
                hint=did_you_mean(node.names[0], promise.fields, otherwise=f"what is known: {known}"),
            )


def _known_now(statements: Iterable[Statement]) -> list[Statement]:
    """The actions whose value does not wait for data: they are tried at once, to find mistakes early."""
    return [
        s
        for s in statements
        if isinstance(s, Action)
        and not any(isinstance(n, Field | Dot | Variable) for n in walk(s))
        and not _uses_build_value(s)
    ]


def _uses_build_value(statement: Action) -> bool:
    """Whether a value of the running build is an argument of something: then its check cannot be tried now."""
    calls = [n for n in walk(statement) if isinstance(n, Function)]
    return any(n.name == "build" for n in calls) and len(calls) > 1
